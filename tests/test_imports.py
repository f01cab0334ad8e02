"""The house's import rule: which room may import which, and what stays free of torch."""

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "hangtag"
# A room may import itself, what stands here, and the three modules that are open to all.
ALLOWED = {
    "library": {"library"},
    "dataset": {"library", "dataset"},
    "training": {"library", "dataset", "training"},
    "tagging": {"library", "dataset", "tagging"},
    "quality": {"library", "dataset", "tagging", "quality"},
    "service": {"library", "dataset", "tagging", "quality", "service"},
    "aws": {"library", "dataset", "training", "tagging", "quality", "service", "aws"},
}
OPEN_TO_ALL = {
    "hangtag",
    "hangtag.__version__",
    "hangtag.errors",
    "hangtag.storage.files",
    "hangtag.cores",
    "hangtag.console",
    "hangtag.quality.pages",
    "hangtag.storage.path_lookup",
}
PURE = {"hangtag.quality.metrics", "hangtag.quality.thresholds", "hangtag.tagging.model_folder"}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def modules() -> list[tuple[str, Path]]:
    return [(p.relative_to(PACKAGE).parts[0], p) for p in PACKAGE.glob("*/**/*.py")]


def test_rooms_import_only_what_lies_below_them() -> None:
    wrong = []
    for room, path in modules():
        for name in imported(path):
            parts = name.split(".")
            if parts[0] != "hangtag" or name in OPEN_TO_ALL or ".".join(parts[:2]) in OPEN_TO_ALL:
                continue
            open_module = ".".join(parts[:3]) in PURE or name in (
                "hangtag.quality",
                "hangtag.tagging",
            )
            if parts[1] not in ALLOWED[room] and not (
                open_module and room in ("training", "tagging")
            ):
                wrong.append(f"{path.name}: {name}")
    assert not wrong


def test_only_training_imports_torch() -> None:
    heavy = {"torch", "torchvision", "timm", "accelerate", "safetensors", "onnx", "onnxscript"}
    wrong = [
        f"{path}: {name}"
        for room, path in modules()
        if room != "training"
        for name in imported(path)
        if name.split(".")[0] in heavy
    ]
    assert not wrong


def test_pure_modules_need_only_numpy_and_the_standard_library() -> None:
    for module in PURE:
        code = (
            f"import sys, {module}\n"
            "tops = {name.split('.')[0] for name in sys.modules}\n"
            "print(sorted(tops & {'torch', 'PIL', 'cv2', 'onnxruntime', 'pyarrow', 'rich'}))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "[]", module


def test_help_and_tagging_run_without_torch() -> None:
    code = (
        "import sys; import hangtag.cli.app, hangtag.tagging.bulk, hangtag.quality.evaluate\n"
        "import hangtag.sagemaker.jobs, hangtag.storage.mirror\n"
        "try:\n    hangtag.cli.app(['--help'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'timm', 'optuna', 'boto3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
