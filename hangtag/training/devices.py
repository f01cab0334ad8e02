"""The devices that torch can train on."""

import torch


def devices() -> dict[str, str]:
    """Return torch's GPUs, or "CPU only", and the CPU's vector instructions."""
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        gpus.append("Apple GPU (mps)")
    capability = str(torch.backends.cpu.get_cpu_capability())
    return {"torch": ", ".join(gpus) or "CPU only", "cpu": capability}
