"""The notebooks, top to bottom: on this machine and, by one other cell, on moto's SageMaker."""

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from hangtag.sagemaker.artifacts import upload_model
from hangtag.storage import s3
from tests.sagemaker.test_jobs import ROLE
from tests.storage.conftest import Storage

pytestmark = pytest.mark.slow  # executes notebooks
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the notebooks run, one after the other as a reader would."""
    return tmp_path_factory.mktemp("notebooks")


def run(name: str, folder: Path, **settings: object) -> dict[str, Any]:
    """Run a notebook with some settings changed in its one cell of them; return its outputs."""

    def shown(kind: str) -> list[str]:
        return [output.data[kind] for output in outputs if kind in output.get("data", {})]

    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    (cell,) = [c for c in notebook.cells if "settings" in c.metadata.get("tags", [])]
    for setting in settings:
        assert re.search(rf"\b{setting}\b.* = ", cell.source), f"{name} has no {setting}"
    cell.source += "".join(f"\n{setting} = {value!r}" for setting, value in settings.items())
    NotebookClient(
        notebook, timeout=240, resources={"metadata": {"path": str(folder)}}, kernel_name="python3"
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return {
        "text": "".join(out.text for out in outputs if out.output_type == "stream"),
        "pictures": shown("image/png"),
        "pages": shown("text/html"),
    }


@pytest.fixture(scope="module")
def trained(folder: Path) -> dict[str, Any]:
    return run("train", folder, PACK="--size 64", SAMPLE="--designs 160")


def test_train(folder: Path, trained: dict[str, Any]) -> None:
    assert len(trained["pictures"]) == 2  # designs with their tags, curves
    assert "macro mAP" in trained["text"]
    assert "tagging nothing" in trained["text"]
    assert "Most confident and wrong" in trained["pages"][0]
    assert (folder / "work" / "model" / "config.json").exists()


def test_tune(folder: Path, trained: dict[str, Any]) -> None:
    settings = "--backbone test_resnet --input-size 32 --epochs 2"  # trials of a second
    found = run("tune", folder, SETTINGS=settings, TRIALS=2)
    assert "best validation:macro_map" in found["text"]
    assert "learning_rate" in found["pages"][0]
    assert (folder / "work" / "study" / "model" / "config.json").exists()


def test_deploy(folder: Path, trained: dict[str, Any]) -> None:
    found = run("deploy", folder)
    assert "answers at http://127.0.0.1:" in found["text"]
    assert "stopped with exit code 0" in found["text"]
    assert len(found["pictures"]) == 1


@pytest.fixture
def account(folder: Path, trained: dict[str, Any], storage: Storage) -> dict[str, Any]:
    """Settings for SageMaker, and in the bucket what moto, which trains nothing, does not make."""
    work = folder / "work"
    for path in (work / "library").rglob("*.*"):
        s3.upload(path, f"s3://library/{path.relative_to(work / 'library').as_posix()}")
    job = "s3://library/packed/output/hangtag-notebook/output"
    upload_model(work / "model", job, dry_run=False)
    return {
        "WHERE": "sagemaker",
        "ROLE": ROLE,
        "INSTANCE_TYPE": "ml.m5.large",
        "IMAGE": "123456789012.dkr.ecr.us-east-1.amazonaws.com/hangtag",
    }


def test_train_and_tune_on_sagemaker(folder: Path, account: dict[str, Any]) -> None:
    found = run(
        "train", folder, **account, CATALOG="s3://library/designs.csv",
        DATASET="s3://library/packed", PACK="--size 64", SETTINGS="--set epochs=3", MAX_HOURS=1,
    )  # fmt: skip
    assert "training job hangtag-notebook: Completed" in found["text"]
    assert "macro mAP" in found["text"]
    assert len(found["pictures"]) == 2
    found = run(
        "tune", folder, **account, DATASET="s3://library/packed", SETTINGS="--set epochs=3",
        MAX_HOURS=1,
    )  # fmt: skip
    assert "tuning job hangtag-notebook-tuning: Completed" in found["text"]


def test_deploy_on_sagemaker(
    folder: Path, account: dict[str, Any], endpoint: list[dict[str, str]], model: Path
) -> None:
    found = run(
        "deploy", folder, **account,
        MODEL="s3://library/packed/output/hangtag-notebook/output/model.tar.gz",
        TAGS=str(model / "tags.json"),
    )  # fmt: skip
    assert "endpoint hangtag-notebook: InService" in found["text"]
    assert found["text"].count("is removed") == 3
    assert "nothing that hangtag created in us-east-1" in found["text"]
    assert len(endpoint) == 5
    assert len(found["pictures"]) == 1


def test_the_notebooks_as_they_lie_here_were_run() -> None:
    """Their readers see pictures before they run anything, and no error."""
    for path in NOTEBOOKS.glob("*.ipynb"):
        notebook = json.loads(path.read_text())
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        assert all(cell["execution_count"] for cell in code), path.name
        outputs = [output for cell in code for output in cell["outputs"]]
        assert outputs
        assert not [output for output in outputs if output["output_type"] == "error"]
        assert path.stat().st_size < 600_000
