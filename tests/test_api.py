"""What `import hangtag` offers: the names, what they return, and that nothing is printed."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hangtag
from hangtag.library.catalog import Catalog


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_exported_names() -> None:
    assert hangtag.__all__ == [
        "Catalog", "CatalogError", "ConfigError", "Dataset", "DatasetError", "Design",
        "HangtagError", "ImageError", "Index", "JobError", "MissingExtra", "Model", "ModelError",
        "PackConfig", "Progress", "RecordError", "Report", "Rules", "ServeConfig", "Stopped",
        "StorageError", "Study", "Suggestion", "TrainConfig", "TrainingError", "TuneConfig",
        "Vocabulary", "VocabularyError", "audit", "build_index", "compare", "draw_sample",
        "export_model", "export_review", "forget",
        "import_catalog", "import_model", "load_dataset", "load_index", "load_model",
        "load_study", "merge_dataset", "merge_tags", "pack", "pack_shard", "progress", "serve",
        "serve_review", "set_names", "suggest_names", "suggest_rules", "teach", "train", "tune",
        "untag", "watch",
    ]  # fmt: skip
    for name in hangtag.__all__:
        assert getattr(hangtag, name).__doc__, name
    assert set(hangtag.__all__) < set(dir(hangtag))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        hangtag.nothing  # noqa: B018


def test_the_import_is_quick_and_loads_nothing_heavy() -> None:
    """Under 0.15 s of a core, the least of five."""
    code = (
        "import sys, time; began = time.process_time(); import hangtag\n"
        "print(time.process_time() - began, *sorted({'numpy', 'PIL', 'torch'} & set(sys.modules)))"
    )
    seconds, *heavy = min(run(code) for _ in range(5)).split()
    assert float(seconds) < 0.15
    assert not heavy


@pytest.mark.slow
def test_importing_every_module_changes_nothing_for_others() -> None:
    """Libraries that hangtag imports set variables for themselves, under their own prefixes."""
    pytest.importorskip("torch", reason="needs the train extra, which some modules import")
    code = (
        "import importlib, logging, os, pkgutil, signal, sys\n"
        "import PIL.Image, torch\n"
        "theirs = ('LD_LIBRARY_PATH', 'TORCH', 'KMP_')\n"
        "def state():\n"
        "    own = {k: v for k, v in os.environ.items() if not k.startswith(theirs)}\n"
        "    return (own, PIL.Image.MAX_IMAGE_PIXELS, logging.root.handlers[:],\n"
        "            logging.getLogger('hangtag').handlers[:], signal.getsignal(signal.SIGINT),\n"
        "            torch.get_num_threads(), sys.getrecursionlimit())\n"
        "before = state()\n"
        "import hangtag\n"
        "for module in pkgutil.walk_packages(hangtag.__path__, 'hangtag.'):\n"
        "    if module.name != 'hangtag.__main__':\n"
        "        importlib.import_module(module.name)\n"
        "print([pair for pair in zip(before, state()) if pair[0] != pair[1]])"
    )
    assert run(code) == "[]"


def test_a_model_tags_designs(work: Path, library: Catalog) -> None:
    model = hangtag.load_model(str(work / "model"))
    path = library.location(library.designs[0])
    alone = model.tag(path)
    assert isinstance(alone[0], hangtag.Suggestion)
    assert all(one.score >= model.tagger.threshold_of[one.tag] for one in alone)
    assert alone == model.tag(Path(path).read_bytes())
    several = model.tag([path, Path(path)], top=2)
    assert [len(one) for one in several] == [2, 2]
    assert [one.tag for one in several[0]] == [one.tag for one in model.tag(path, top=2)]
    assert {one.tag for one in model.tag(path, min_score=0.0)} == set(model.vocabulary.names)
    with pytest.raises(hangtag.ImageError, match=r"nowhere\.png"):
        model.tag("nowhere.png")


def test_a_library_is_tagged_into_a_file_or_one_by_one(
    work: Path, library: Catalog, tmp_path: Path
) -> None:
    model = hangtag.load_model(work / "model")
    paths = [library.location(design) for design in library.designs[:3]]
    assert [design.image for design in model.tag_each(paths, top=1)] == paths
    summary = model.tag_library(paths, tmp_path / "tags.jsonl", top=1)
    assert (summary.tagged, summary.suggestions) == (3, 3)


def test_a_model_is_measured(work: Path, tmp_path: Path) -> None:
    dataset = hangtag.load_dataset(work / "dataset")
    report = hangtag.load_model(work / "model").evaluate(dataset)
    assert report.macro_map is not None
    assert 0 < report.macro_map <= 1
    assert report.figures["micro_map"] == report.micro_map
    assert {row["tag"] for row in report.per_tag} == set(dataset.vocabulary.names)
    assert report.save(tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_what_one_function_returns_the_next_one_takes(library: Catalog, tmp_path: Path) -> None:
    config = hangtag.PackConfig(size=32, min_count=3)
    dataset = hangtag.pack(library, os.fspath(tmp_path / "dataset"), config=config)
    assert sum(dataset.info.designs.values()) == len(library)
    settings = hangtag.TrainConfig(input_size=32)
    model = hangtag.train(dataset, tmp_path / "model", config=settings)
    assert model.training.epochs == 1
    comparison = hangtag.compare(model, tmp_path / "model", dataset)
    assert comparison.macro_map.a == comparison.macro_map.b


def test_a_library_prints_nothing_and_reports_through_logging_and_a_callback(
    work: Path, library: Catalog, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = (
        "import sys, hangtag\n"
        "stages = []\n"
        "with hangtag.progress(lambda p: stages.append((p.stage, p.done, p.total, p.finished))):\n"
        f"    hangtag.pack({str(library.root / 'designs.csv')!r}, {str(tmp_path / 'd')!r})\n"
        "assert stages[0] == ('packing', 0, 160, False), stages[0]\n"
        "assert stages[-1][1:] == (160, 160, True), stages[-1]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_messages_go_to_the_logger_hangtag(
    library: Catalog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hangtag")
    for _ in range(2):
        hangtag.pack(library, tmp_path / "d", config=hangtag.PackConfig(size=32, min_count=3))
    assert "is packed already" in caplog.text


def test_an_address_in_a_bucket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(hangtag.ConfigError, match=r"s3://bucket/model"):
        hangtag.load_model("s3://bucket/model")


@pytest.mark.slow
def test_a_script_needs_no_main_guard(library: Catalog, tmp_path: Path) -> None:
    """Worker processes would run the script once more, each of them."""
    script = tmp_path / "script.py"
    catalog = library.root / "designs.csv"
    script.write_text(
        "import hangtag\n"
        f"dataset = hangtag.pack({str(catalog)!r}, {str(tmp_path / 'd')!r}, workers=2)\n"
        "print(sum(dataset.info.designs.values()), __file__, __spec__)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout) == ("", f"160 {script} None\n")
