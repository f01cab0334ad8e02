"""Messages of libtiff while hangtag decodes a TIFF: collected, instead of printed.

libtiff writes warnings and errors to standard error through two handlers of the whole process. Ours
collect the messages of a thread that is decoding for hangtag, and pass all others to the handlers
that were there before, so that other users of Pillow are not affected.
https://libtiff.gitlab.io/libtiff/functions/TIFFError.html
"""

import atexit
import contextlib
import ctypes
import functools
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from PIL import _imaging

_MAX_MESSAGES: Final = 20  # a damaged TIFF can repeat one for every row
_MAX_LENGTH: Final = 300
# void (*TIFFErrorHandler)(const char *module, const char *format, va_list): on every platform that
# has wheels of Pillow, a va_list travels as a pointer or as an array, which is passed as one.
_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
_LIBTIFF_LINE: Final = re.compile(rb"(\w|[./<>-])+: ")
_collecting = threading.local()
_redirecting = threading.Lock()


@contextlib.contextmanager
def messages(collected: list[str]) -> Iterator[None]:
    """Append libtiff's messages of this thread and block to `collected`."""
    if not _install():
        with _redirected(collected):
            yield
        return
    _collecting.messages = collected
    try:
        yield
    finally:
        _collecting.messages = None


@functools.cache
def _install() -> bool:
    """Set our handlers, once; False where libtiff is not accessible, as in Pillow for Windows."""
    try:
        # The handle of a library also finds symbols of the libraries linked to it, such as libtiff.
        library = ctypes.CDLL(_imaging.__file__)
        printer = ctypes.CDLL(None).vsnprintf
        setters = (library.TIFFSetErrorHandler, library.TIFFSetWarningHandler)
    except (AttributeError, OSError, TypeError):
        return False
    for setter in setters:
        setter.restype, setter.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        _set_handler(setter, printer)
    return True


def _set_handler(setter: Any, printer: Any) -> None:
    # First, because a message between setting ours and knowing theirs would be lost.
    previous_address = setter(None)
    previous = _Handler(previous_address) if previous_address else None

    def handle(module: bytes | None, text: bytes, arguments: int) -> None:
        collected = getattr(_collecting, "messages", None)
        if collected is None:
            if previous is not None:
                previous(module, text, arguments)
        elif len(collected) < _MAX_MESSAGES:
            collected.append(_formatted(printer, text, arguments))

    handler = _Handler(handle)
    setter(ctypes.cast(handler, ctypes.c_void_p))
    # This also keeps the handler alive while libtiff has its address.
    atexit.register(lambda: (setter(previous_address), handler))


def _formatted(printer: Callable[..., int], text: bytes, arguments: int) -> str:
    buffer = ctypes.create_string_buffer(_MAX_LENGTH)
    length = ctypes.c_size_t(_MAX_LENGTH)
    printer(buffer, length, ctypes.c_char_p(text), ctypes.c_void_p(arguments))
    return " ".join(buffer.value.decode("utf-8", "replace").split())


@contextlib.contextmanager
def _redirected(collected: list[str]) -> Iterator[None]:
    """Redirect standard error to a file; afterwards print the lines that are not libtiff's.

    Standard error belongs to the whole process, so only one thread decodes at a time.
    """
    with _redirecting, tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            file.seek(0)
            for line in file:
                if not _LIBTIFF_LINE.match(line):
                    os.write(2, line)
                elif len(collected) < _MAX_MESSAGES:
                    text = line[:_MAX_LENGTH].decode("utf-8", "replace")
                    collected.append(" ".join(text.split()))
