"""RDF and images as programs write them, for the tests of keywords."""

from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from hangtag.library.keywords.machine_tags import MachineTag
from hangtag.library.keywords.xmp import read_keywords
from hangtag.library.keywords.xmp_sidecars import write_sidecar

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"


def rdf(*tags: str, kind: str = "Bag", node: str = "rdf:Description") -> str:
    items = "".join(f"<rdf:li>{tag}</rdf:li>" for tag in tags)
    return (
        f'<rdf:RDF xmlns:rdf="{RDF}" xmlns:dc="{DC}" xmlns:cc="urn:cc"><{node} rdf:about="">'
        f"<dc:title>no tag</dc:title><dc:subject><rdf:{kind}>{items}</rdf:{kind}></dc:subject>"
        f"</{node}></rdf:RDF>"
    )


def packet(*tags: str) -> bytes:
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{rdf(*tags)}</x:xmpmeta>'.encode()


def picture() -> Image.Image:
    return Image.new("RGB", (8, 8), "red")


def save_png(path: Path, **texts: str) -> Path:
    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name.replace("_", " "), text, zip=len(text) > 200)
    picture().save(path, pnginfo=info)
    return path


def svg(metadata: str, doctype: str = "", rest: str = "") -> str:
    return (
        f'<?xml version="1.0"?>{doctype}<svg xmlns="http://www.w3.org/2000/svg" xmlns:dc="{DC}">'
        f"<metadata>{metadata}</metadata>{rest}</svg>"
    )


def mark(tag: str, score: float = 0.9, model: str = "m@0123456789ab") -> MachineTag:
    return MachineTag(tag, score, model)


def write(image: Path, tags: list[str]) -> Path:
    return write_sidecar(image, [mark(tag) for tag in tags])


def everything(image: Path) -> list[str]:
    """Return the tags of people, then those of machines."""
    found = read_keywords(image)
    return [*found.or_raise(), *(one.tag for one in found.machine)]
