"""The site's pages that are written from the code: all commands' help, the Python interface."""

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from hangtag.cli.app import app

# What a program of one's own would use.
MODULES = (
    "hangtag.tagging.tagger", "hangtag.library.catalog", "hangtag.library.vocabulary",
    "hangtag.dataset.config", "hangtag.dataset.pack", "hangtag.dataset.dataset_folder",
    "hangtag.dataset.recordio", "hangtag.dataset.images", "hangtag.training.config",
    "hangtag.training.train", "hangtag.tagging.model_folder", "hangtag.quality.metrics",
    "hangtag.quality.bootstrap",
    "hangtag.service.config", "hangtag.storage.mirror", "hangtag.errors",
)  # fmt: skip


def on_files(files: Files, config: MkDocsConfig) -> Files:
    commands = app.generate_docs(output_format="markdown", recursive=True)
    python = "\n\n".join(["# From Python", *(f"::: {module}" for module in MODULES)])
    for name, text in (("commands", commands), ("python", python)):
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files
