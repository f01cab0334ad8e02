"""The model.tar.gz of an endpoint or a transform job: uploaded, or left by a job."""

import tarfile
import tempfile
from pathlib import Path

from hangtag.errors import ConfigError, JobError, ModelError
from hangtag.sagemaker.account import Account
from hangtag.sagemaker.requests import prefixed
from hangtag.sagemaker.resources import KINDS, described
from hangtag.storage import s3
from hangtag.storage.addresses import S3
from hangtag.tagging.model_folder import ModelFolder


def model_address(
    account: Account, model: str, upload: str | None, name: str, *, dry_run: bool
) -> str:
    """Return the address of MODEL's model.tar.gz; upload it first if MODEL is a local folder.

    MODEL: `s3://…/model.tar.gz`, a model folder, or the name of a training or tuning job. Raises
    ModelError, ConfigError, JobError, StorageError, OSError.
    """
    if model.startswith(S3):
        if not model.endswith(".tar.gz"):
            raise ModelError(f"{model}: name the model.tar.gz, or a local model folder")
        if s3.head(model) is None:
            raise ModelError(f"{model}: no such object")
        return model
    if Path(model).is_dir():
        if upload is None or not upload.startswith(S3):
            raise ConfigError(
                f"{model} is a local folder: give the address to upload it to with --upload "
                "s3://BUCKET/PREFIX"
            )
        return upload_model(Path(model), f"{upload.rstrip('/')}/{name}", dry_run=dry_run)
    return artifact_of(account, model)


def upload_model(folder: Path, address: str, *, dry_run: bool) -> str:
    """Write a model folder to `ADDRESS/model.tar.gz` and return that address.

    Checkpoints and reports are left out. With `dry_run` nothing is written. Raises ModelError,
    StorageError, OSError.
    """
    model = ModelFolder.open(folder)
    files = sorted(
        path
        for path in model.path.iterdir()
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".html"
    )
    target = f"{address}/model.tar.gz"
    if dry_run:
        return target
    with tempfile.TemporaryDirectory() as temporary:
        archive = Path(temporary) / "model.tar.gz"
        with tarfile.open(archive, "w:gz", compresslevel=1) as tar:  # weights hardly compress
            for path in files:
                tar.add(path, path.name)
        s3.upload(archive, target)
    return target


def artifact_of(account: Account, model: str) -> str:
    """Return the address of the model.tar.gz that a training or tuning job left.

    Raises JobError for a job that does not exist or has not succeeded.
    """
    kinds = {kind.noun: kind for kind in KINDS}
    for name in dict.fromkeys((model, prefixed(model))):
        tuned = described(account, kinds["hyper_parameter_tuning_job"], name)
        if tuned is not None and "BestTrainingJob" not in tuned:
            raise JobError(f"tuning job {name} has no best training job yet")
        best = tuned["BestTrainingJob"]["TrainingJobName"] if tuned else name
        trained = described(account, kinds["training_job"], best)
        if trained is None:
            continue
        status = trained["TrainingJobStatus"]
        artifact: str = trained.get("ModelArtifacts", {}).get("S3ModelArtifacts", "")
        # A job stopped by its time limit may have left a model too.
        if status == "Completed" or (status == "Stopped" and artifact and s3.head(artifact)):
            return artifact
        raise JobError(f"training job {best} is {status} and left no model")
    raise JobError(f"{model}: no model.tar.gz in a bucket, and no training or tuning job")
