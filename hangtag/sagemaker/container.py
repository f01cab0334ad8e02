"""The commands of a SageMaker container, `train` and `serve`, as the developer guide specifies them
in "Use Your Own Training Algorithms" and "Use Your Own Inference Code".

    python -m hangtag.sagemaker.container train

Serving needs no torch, and neither does training a tag head on hangtag-base.
"""

import logging
import os
import re
import shutil
import sys
import traceback
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hangtag.console import note
from hangtag.errors import ConfigError, HangtagError, Remedy, Stopped
from hangtag.storage.archives import unpack
from hangtag.storage.files import read_object, write_text
from hangtag.training.threads import share_cores

if TYPE_CHECKING:
    from hangtag.training.config import TrainConfig

# The variable that moves /opt/ml in SageMaker's own containers too.
BASE_VARIABLE: Final = "SAGEMAKER_BASE_DIR"
PORT_VARIABLE: Final = "SAGEMAKER_BIND_TO_PORT"
MASTER_PORT: Final = 29_400
TERMINATED: Final = 143  # 128 + SIGTERM: not finished, but saved
_LONGEST_REASON: Final = 1024  # SageMaker shows no more
_RUN: Final = "run"
_REMEDIES: Final = {
    Remedy.OVERWRITE: "give the job another S3Uri in its CheckpointConfig, or empty that one",
    Remedy.TAGS: "add a file tags.json, or tags.txt with one tag a line, to a channel",
}


def base() -> Path:
    """Return the container's base folder, /opt/ml unless the environment moves it."""
    return Path(os.environ.get(BASE_VARIABLE, "/opt/ml"))


def serve() -> None:
    """Serve the model that SageMaker has unpacked, on its port, until SIGTERM.

    Raises ModelError, ConfigError.
    """
    from hangtag.service.config import ServeConfig
    from hangtag.service.serve import serve as run_server

    # Public within the container: IAM guards the endpoint.
    port = int(os.environ.get(PORT_VARIABLE, "8080"))
    run_server(base() / "model", ServeConfig(host="0.0.0.0", port=port, public=True))


def train() -> None:
    """Train as one host of a job: with as many processes as it has GPUs, at least one.

    Raises HangtagError; in a process of a parallel run, that of `train_here`.
    """
    config = base() / "input" / "config"
    resources = _object(config / "resourceconfig.json")
    host = resources.get("current_host", "algo-1")
    hosts = sorted(resources.get("hosts") or [host])
    from hangtag.sagemaker.hyperparameters import config_of

    given = _hyperparameters(config / "hyperparameters.json")
    # A tag head alone trains in one process.
    alone = "freeze" in given and config_of(given, tags=1, designs=1)[0].freeze
    gpus = _gpus()
    if len(hosts) == 1 and (gpus <= 1 or alone):
        train_here()
        return
    if not gpus:
        os.environ["ACCELERATE_USE_CPU"] = "true"  # else each process would train alone
    if resources.get("network_interface_name"):
        for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(variable, resources["network_interface_name"])
    command = [
        sys.executable, "-m", "torch.distributed.run",
        "--nnodes", str(len(hosts)),
        "--node-rank", str(hosts.index(host)),
        "--nproc-per-node", str(max(1, gpus)),
        "--master-addr", hosts[0],
        "--master-port", str(MASTER_PORT),
        "-m", "hangtag.sagemaker.container", "train-here",
    ]  # fmt: skip
    _become(command)


def _gpus() -> int:
    """Return how many GPUs this host can train on: none in an image without torch."""
    if find_spec("torch") is None:
        return 0
    from hangtag.training.speed import gpus

    return gpus()


def _become(command: list[str]) -> None:
    """Replace this process, so that SageMaker's signals reach the launcher itself."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(command[0], command)


def train_here() -> None:
    """Train in this process, alone or one of many, and put the model where SageMaker expects it.

    Raises HangtagError.
    """
    from hangtag.sagemaker.inputs import dataset_of
    from hangtag.training.session import Session
    from hangtag.training.train import train as run

    root = base()
    config = root / "input" / "config"
    given = _hyperparameters(config / "hyperparameters.json")
    declared = _object(config / "inputdataconfig.json")
    first = int(os.environ.get("LOCAL_RANK", "0")) == 0
    work = root / "hangtag" / f"dataset-{os.environ.get('LOCAL_RANK', '0')}"
    channels = root / "input" / "data"
    dataset = dataset_of(channels, declared, work, packed_size=int(given.get("resize", "256")))
    # SageMaker syncs this folder to S3: a job on spot capacity resumes from there.
    model = root / "checkpoints" / _RUN
    epochs: dict[int, Mapping[str, float]] = {}

    def after_epoch(record: Mapping[str, float]) -> None:
        epochs[round(record["epoch"])] = record
        _print_metrics(record)

    result = run(
        dataset,
        model,
        _config(given, dataset),
        continue_from=_earlier_model(channels / "model", root / "hangtag"),
        session=Session(after_epoch if int(os.environ.get("RANK", "0")) == 0 else None),
    )
    if first and (model / "config.json").exists():
        shutil.copytree(model, root / "model", dirs_exist_ok=True)
    if result.best_epoch in epochs:
        # The model is the best epoch's, and a tuning job compares the last printed metrics.
        _print_metrics(epochs[result.best_epoch])


def _config(given: Mapping[str, str], dataset: Path) -> "TrainConfig":
    from hangtag.dataset.dataset_folder import Dataset
    from hangtag.sagemaker.hyperparameters import config_of

    folder = Dataset.open(dataset)
    config, notes = config_of(
        given, tags=len(folder.vocabulary), designs=len(folder.labels("train"))
    )
    for line in notes:
        note(line)
    return config


def _print_metrics(record: Mapping[str, float]) -> None:
    """Print an epoch's metrics on one line, which the job's metric definitions match."""
    figures = " ".join(f"{name}={value:.6g}" for name, value in record.items() if name != "epoch")
    print(f"epoch={record['epoch']:.0f} {figures}", flush=True)


def _hyperparameters(path: Path) -> dict[str, str]:
    """Return a job's hyperparameters without those that SageMaker adds."""
    from hangtag.sagemaker.hyperparameters import read_hyperparameters

    given = read_hyperparameters(path) if path.exists() else {}
    return {
        name: value.strip('"')  # the SageMaker SDK writes strings as JSON
        for name, value in given.items()
        if not name.startswith(("_", "sagemaker_"))
    }


def _earlier_model(channel: Path, work: Path) -> Path | None:
    """Return the model folder of channel `model`, unpacked if it is a model.tar.gz."""
    if not channel.is_dir():
        return None
    archive = channel / "model.tar.gz"
    if not archive.exists():
        return channel
    folder = work / f"model-{os.environ.get('LOCAL_RANK', '0')}"
    unpack(archive, folder)
    return folder


def _object(path: Path) -> dict[str, Any]:
    """Return the JSON object of a job's file, empty where there is no such file."""
    return read_object(path, ConfigError) if path.exists() else {}


_COMMANDS: Final[Mapping[str, Callable[[], None]]] = {
    "train": train,
    "train-here": train_here,
    "serve": serve,
}


def main() -> None:
    """Run the command that the first argument names; report a failure's reason to SageMaker."""
    share_cores()
    logging.basicConfig(format="%(message)s")  # to stderr: a job's log keeps it
    logging.getLogger("hangtag").setLevel(logging.INFO)
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in _COMMANDS:
        print(f"usage: {' | '.join(('train', 'serve'))}; not {name!r}", file=sys.stderr)
        sys.exit(2)
    try:
        _COMMANDS[name]()
    except Stopped as error:
        print(f"hangtag: {error}", file=sys.stderr)
        sys.exit(TERMINATED)
    except HangtagError as error:
        _fail(_in_a_job(error))
    except Exception as error:  # SageMaker keeps only this text and the log
        traceback.print_exc()
        _fail(f"{type(error).__name__}: {error}; the job's log has more")


def _in_a_job(error: HangtagError) -> str:
    """Return an error's message, with remedies for a job instead of the command line."""
    text = error.message
    if error.remedy in _REMEDIES:
        text += f"; {_REMEDIES[error.remedy]}"
    return re.sub(r"--([a-z][a-z-]*)", lambda option: option[1].replace("-", "_"), text)


def _fail(reason: str) -> None:
    print(f"hangtag: {reason}", file=sys.stderr)
    write_text(base() / "output" / "failure", reason[:_LONGEST_REASON] + "\n")
    sys.exit(1)


if __name__ == "__main__":
    main()
