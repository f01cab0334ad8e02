"""What a file is that no decoder opens, by its first bytes: to name it in an error message."""

import re
from typing import Final

_SAVE: Final = "save it as PNG"
_COPY: Final = "copy or download the image again"
# Beginnings of files, what they are, what to do.
_KINDS: Final = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), kind, advice)
    for pattern, kind, advice in (
        (rb"version https://git-lfs", "a Git LFS pointer", "run `git lfs pull`"),
        (rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)?<(?:!doctype\s+)?html", "an HTML page", _COPY),
        (rb"\0\x05\x16[\0\x07]", "macOS metadata (AppleDouble)", "delete it"),
        (rb".{4}ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)", "HEIC", _SAVE),
        (rb".{4}ftyp", "a video", _SAVE),
        (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL", _SAVE),
        (rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  ", "JPEG 2000", _SAVE),
        (rb"8BPS", "a Photoshop document (PSD)", _SAVE),
        (rb"%PDF", "a PDF", "save it as SVG or PNG"),
        (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript (EPS)", "save it as SVG or PNG"),
        (rb"gimp xcf", "a GIMP document (XCF)", _SAVE),
        (rb"\0\0[\x01\x02]\0", "an icon (ICO)", _SAVE),
        (rb"PK\x03\x04", "a ZIP archive", "extract it"),
        (rb"Rar!|7z\xbc\xaf", "an archive", "extract it"),
        (rb"\0{16}", "empty data (zero bytes)", _COPY),
        (rb"[{\[]\s*\"", "JSON", _COPY),
    )
)


def described(data: bytes) -> str:
    """Return what a file is instead of an image, and what to do; "" if it is unknown."""
    for pattern, kind, advice in _KINDS:
        if pattern.match(data[:1024]):
            return f"{kind}: {advice}"
    return ""
