"""What torch can train on here."""

import torch


def devices() -> dict[str, str]:
    """Return the GPUs that torch sees, or that there are none, and what it knows of the CPU."""
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        gpus.append("Apple GPU (mps)")
    capability = str(torch.backends.cpu.get_cpu_capability())
    return {"torch": ", ".join(gpus) or "CPU only", "cpu": capability}
