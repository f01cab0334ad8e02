"""The site's pages that are written from the code: all commands' help, the Python interface."""

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import hangtag
from hangtag.cli.app import app

# Below the exported names: modules for programs that need more than these.
MODULES = (
    "hangtag.tagging.tagger", "hangtag.tagging.model_folder", "hangtag.dataset.images",
    "hangtag.dataset.recordio", "hangtag.quality.metrics", "hangtag.quality.bootstrap",
    "hangtag.storage.mirror",
)  # fmt: skip
INTRODUCTION = """# Python reference

What `import hangtag` offers; [From Python](../python.md) shows it at work.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    commands = app.generate_docs(output_format="markdown", recursive=True)
    for name, text in (("commands", commands), ("python", _python())):
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def _python() -> str:
    """Return the page of the Python interface: functions, classes, errors, then modules."""
    kinds: dict[str, list[str]] = {"Functions": [], "Classes": [], "Errors": []}
    for name in hangtag.__all__:
        kinds[_kind(getattr(hangtag, name))].append(f"hangtag.{name}")
    lines = [INTRODUCTION]
    for title, names in kinds.items():
        lines += [f"## {title}", *map(_entry, names)]
    lines += ["## More modules", *map(_entry, MODULES)]
    return "\n\n".join(lines)


def _kind(one: object) -> str:
    if not isinstance(one, type):
        return "Functions"
    return "Errors" if issubclass(one, hangtag.HangtagError) else "Classes"


def _entry(path: str) -> str:
    return f"::: {path}\n    options:\n      heading_level: 3"
