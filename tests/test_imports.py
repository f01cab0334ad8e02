"""The import rule: a package imports itself and those before it, without cycles or exceptions."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "hangtag"
# From the ground up.
ORDER = (
    "errors", "console", "cores", "processes", "storage", "library", "sample", "dataset",
    "tagging", "quality", "index", "training", "export", "tuning", "review", "service", "sagemaker",
    "cluster", "api", "cli",
)  # fmt: skip
# Packages that import these load them for everybody who imports hangtag.
TORCH = {"torch", "torchvision", "timm", "accelerate", "onnx_ir", "onnxscript"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    )


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(name: str) -> set[str]:
    """Return the absolute names that a module imports, those inside functions included."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{name} has a relative import"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def package(name: str) -> str:
    """Return the package of a module: its second name."""
    return [*name.split("."), ""][1]


def own_imports(name: str) -> set[str]:
    """Return the modules of hangtag that a module imports, but the root, which is lazy."""
    return {other for other in imported(name) if other in MODULES and other != "hangtag"}


def test_every_package_has_its_place() -> None:
    assert {package(name) for name in MODULES} - {"", "__main__"} <= set(ORDER)


@pytest.mark.parametrize("name", [n for n in MODULES if package(n) in ORDER])
def test_a_module_imports_only_what_stands_before_it(name: str) -> None:
    limit = ORDER.index(package(name))
    assert not [other for other in own_imports(name) if ORDER.index(package(other)) > limit]


def test_no_modules_import_each_other() -> None:
    graph = {
        name: {other for other in own_imports(name) if other != name and other.count(".") > 1}
        for name in MODULES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_only_training_and_what_follows_imports_torch() -> None:
    for name in MODULES:
        if package(name) not in ("training", "tuning", "sagemaker"):
            assert not {other.split(".")[0] for other in imported(name)} & TORCH, name


def test_help_tagging_and_training_a_head_run_without_torch() -> None:
    code = (
        "import sys; import hangtag.cli.app, hangtag.tagging.bulk, hangtag.quality.evaluate\n"
        "import hangtag.training.train\n"
        "import hangtag.sagemaker.resources, hangtag.storage.mirror\n"
        "try:\n    hangtag.cli.app.app(['--help'])\nexcept SystemExit: pass\n"
        "extras = {'torch', 'timm', 'optuna', 'boto3', 'cv2', 'pyarrow', 'matplotlib'}\n"
        "assert not extras & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
