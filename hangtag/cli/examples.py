"""An example of every command, with which its help ends."""

from typing import Final

from cyclopts import App

EXAMPLES: Final[dict[str, str]] = {
    "demo": "hangtag demo",
    "sample": "hangtag sample library",
    "import": "hangtag import xmp ~/Designs --out designs.csv",
    "vocabulary suggest": "hangtag vocabulary suggest designs.csv",
    "vocabulary rename": "hangtag vocabulary rename kitty cat",
    "vocabulary merge": "hangtag vocabulary merge kitten tomcat --into cat",
    "vocabulary split": 'hangtag vocabulary split bat --beside ball --into "baseball bat"',
    "vocabulary drop": "hangtag vocabulary drop misc untitled",
    "vocabulary suggest-names": "hangtag vocabulary suggest-names package model --language de",
    "vocabulary set-names": "hangtag vocabulary set-names model names.txt",
    "pack": "hangtag pack designs.csv dataset",
    "train": "hangtag train dataset model --minutes 30",
    "tune": "hangtag tune dataset study --trials 20",
    "study": "hangtag study study",
    "evaluate": "hangtag evaluate model dataset",
    "compare": "hangtag compare model other-model dataset",
    "tag": "hangtag tag model ~/Designs --out tags.jsonl",
    "untag": "hangtag untag ~/Designs --below 0.8",
    "watch": "hangtag watch model ~/Designs --xmp",
    "serve": "hangtag serve model --port 8080",
    "audit": "hangtag audit model designs.csv --out audit.csv",
    "review": "hangtag review model designs.csv --audit audit.csv",
    "review export": "hangtag review export designs.csv reviewed.csv",
    "index": "hangtag index designs.csv index --model model",
    "similar": "hangtag similar index heart.png --not star.png",
    "duplicates": "hangtag duplicates index --out duplicates.csv --page duplicates.html",
    "search": "hangtag search index 'red heart -black'",
    "teach": "hangtag teach model kawaii --yes a.png b.png c.png --index index",
    "export": "hangtag export model model.onnx",
    "import-model": "hangtag import-model model.tar.gz model --tags-file tags.txt",
    "merge": "hangtag merge dataset",
    "salvage": "hangtag salvage damaged.rec whole.rec",
    "sagemaker train": "hangtag sagemaker train s3://bucket/dataset --role ROLE --instance-type"
    " ml.g5.xlarge --max-hours 2 --image IMAGE",
    "sagemaker tune": "hangtag sagemaker tune s3://bucket/dataset --role ROLE --instance-type"
    " ml.g5.xlarge --max-hours 2 --image IMAGE --trials 10",
    "sagemaker deploy": "hangtag sagemaker deploy hangtag-train-1 --role ROLE --instance-type"
    " ml.c7i.large --image IMAGE",
    "sagemaker transform": "hangtag sagemaker transform hangtag-train-1 s3://bucket/designs"
    " s3://bucket/tags --role ROLE --instance-type ml.c7i.large --image IMAGE",
    "sagemaker invoke": "hangtag sagemaker invoke hangtag-endpoint-1 heart.png",
    "sagemaker status": "hangtag sagemaker status",
    "sagemaker delete": "hangtag sagemaker delete hangtag-endpoint-1",
    "doctor": "hangtag doctor --json",
}


def add_examples(app: App) -> None:
    """Let the help of every command end with its example."""
    for path, example in EXAMPLES.items():
        command = app
        for word in path.split():
            command = command[word]
        command.help_epilogue = f"Example: `{example}`"
