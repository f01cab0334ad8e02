"""How much memory one decoding takes at its worst: of every raster format, per pixel.

    python benchmarks/image_memory.py [MEGAPIXELS ...]

MEGAPIXELS default 25 100. Each file (noise over half of it, so that little compresses away) is
decoded to 256 pixels in a process of its own, whose peak is measured (Linux), less what
it has once hangtag is imported and less the file itself. Costs some four minutes and 4 GB for
the defaults. Prints a table.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

PROBE = "--probe"
Image.MAX_IMAGE_PIXELS = None
KINDS: dict[str, tuple[str, str, dict]] = {
    "PNG RGBA": ("PNG", "RGBA", {"compress_level": 1}),
    "PNG RGB": ("PNG", "RGB", {"compress_level": 1}),
    "JPEG": ("JPEG", "RGB", {}),
    "JPEG, progressive": ("JPEG", "RGB", {"progressive": True}),
    "WebP": ("WEBP", "RGBA", {"method": 0}),
    "WebP, animated": ("WEBP", "RGBA", {"method": 0, "save_all": True}),
    "GIF": ("GIF", "P", {}),
    "GIF, animated": ("GIF", "P", {"save_all": True}),
    "TIFF RGBA, LZW": ("TIFF", "RGBA", {"compression": "tiff_lzw"}),
    "TIFF CMYK": ("TIFF", "CMYK", {}),
    "AVIF": ("AVIF", "RGBA", {"speed": 10}),
    "BMP": ("BMP", "RGB", {}),
}


def main() -> None:
    sizes = [float(text) for text in sys.argv[1:]] or [25.0, 100.0]
    print("| format | megapixels | peak MB | bytes per pixel |\n|---|---|---|---|")
    for name, (kind, mode, options) in KINDS.items():
        for megapixels in sizes:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "image"
                try:
                    write(path, round((megapixels * 1e6) ** 0.5), kind, mode, options)
                except Exception as cause:  # some encoders refuse some sizes
                    print(f"| {name} | {megapixels:g} | not written: {cause} | |")
                    continue
                command = [sys.executable, __file__, PROBE, path, str(megapixels + 1)]
                run = subprocess.run(command, capture_output=True, text=True, timeout=600)
            peak = float(run.stdout) if run.returncode == 0 else float("nan")
            per_pixel = peak / megapixels / 1e6
            print(f"| {name} | {megapixels:g} | {peak / 1e6:.0f} | {per_pixel:.1f} |", flush=True)


def write(path: Path, side: int, kind: str, mode: str, options: dict) -> None:
    pixels = np.zeros((side, side, 4), np.uint8)
    noise = np.random.default_rng(0).integers(0, 255, (side // 2, side, 4), np.uint8)
    pixels[: side // 2] = noise
    pixels[..., 3] |= 128
    first = Image.fromarray(pixels)
    first = first.convert("RGB").convert(mode) if mode in ("CMYK", "P", "RGB") else first
    more = {"append_images": [first.transpose(Image.Transpose.ROTATE_180)]}
    first.save(path, kind, **options, **(more if "save_all" in options else {}))


def probe(path: Path, limit: float) -> None:
    from hangtag.dataset.images import decode

    data = path.read_bytes()
    before = kilobytes("VmRSS")
    decode(data, 256, limit)
    print((kilobytes("VmHWM") - before) * 1024)


def kilobytes(field: str) -> int:
    """Return a value of /proc/self/status; getrusage has the peak of the parent as well."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


if __name__ == "__main__":
    if sys.argv[1:2] == [PROBE]:
        probe(Path(sys.argv[2]), float(sys.argv[3]))
    else:
        main()
