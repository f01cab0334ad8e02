"""The whole loop on a library that hangtag draws: demo."""

import shlex
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hangtag.cli.options import Output, Result
from hangtag.console import note


def demo(
    folder: Path | None = None, /, *, designs: int = 1600, output: Output | None = None
) -> Result:
    """Draw a library, learn its tags and put them on its designs, in a minute; resumable.

    The commands that do the same are printed as it goes.

    Parameters
    ----------
    folder
        The folder to write; by default a new temporary one.
    designs
        Number of designs.
    """
    from hangtag import api
    from hangtag.tagging.bulk import summary_line

    folder = folder or Path(mkdtemp(prefix="hangtag-demo-"))
    library, dataset, model = (folder / name for name in ("library", "dataset", "model"))
    catalog, tags = library / "designs.csv", folder / "tags.jsonl"
    _show("sample", library)
    api.draw_sample(library, designs=designs)
    _show("pack", catalog, dataset)
    packed = api.pack(catalog, dataset)
    _show("train", dataset, model)
    trained = api.train(packed, model)
    _show("evaluate", model, dataset)
    report = trained.evaluate(packed)
    page = report.save()
    _show("tag", model, library / "designs", "--out", tags)
    found = trained.tag_library([library / "designs"], tags)
    figures = {"macro_map": report.macro_map, "micro_map": report.micro_map}
    measured = ", ".join(
        f"{name.replace('_map', ' mAP')} {value:.3f}"
        for name, value in figures.items()
        if value is not None
    )
    return Result(
        [
            f"{measured} on designs that training never saw",
            summary_line(found, tags),
            f"report: {page}",
            f"next: hangtag serve {shlex.quote(str(model))}",
        ],
        {**figures, "folder": folder, "report": page, "tags": tags},
    )


def _show(command: str, *arguments: Any) -> None:
    note("$ " + shlex.join(["hangtag", command, *map(str, arguments)]))
