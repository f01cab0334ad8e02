"""Request bodies with a Content-Encoding (RFC 9110, section 8.4), decoded piece by piece."""

import asyncio
import zlib
from collections.abc import Iterator
from typing import Final

ENCODINGS: Final = "gzip, deflate"
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_PIECE: Final = 2**20  # bytes
_ENCODINGS: Final = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}


class Undecodable(Exception):
    """A body is not in its declared Content-Encoding."""


class Inflater:
    """Decodes the body of one request."""

    def __init__(self, encoding: str) -> None:
        """Raises KeyError for an unknown encoding, and for `identity`."""
        self.encoding = encoding
        self._bits = _ENCODINGS[encoding]
        self._stream = zlib.decompressobj(self._bits)
        self._begun = False

    async def pieces(self, data: bytes, limit: int) -> list[bytes]:
        """Decode the next part of a body; stop after more than `limit` bytes.

        Runs in a thread: a kilobyte may become a megabyte. Raises Undecodable.
        """
        return await asyncio.to_thread(self._pieces, data, limit)

    def end(self) -> None:
        """Raise Undecodable if the body ended early."""
        if self._begun and not self._stream.eof:
            raise Undecodable(f"the body ends before its {self.encoding} stream does")

    def _pieces(self, data: bytes, limit: int) -> list[bytes]:
        try:
            found: list[bytes] = []
            for piece in self._inflated(data):
                found.append(piece)
                limit -= len(piece)
                if limit < 0:
                    break
            return found
        except zlib.error as cause:
            raise Undecodable(f"the body is not {self.encoding}: {cause}") from cause

    def _inflated(self, data: bytes) -> Iterator[bytes]:
        if not self._begun and data:
            self._begun = True
            # Many clients omit the zlib header that the RFC requires; browsers read both.
            if self._bits == _ZLIB and not _has_zlib_header(data):
                self._stream = zlib.decompressobj(_RAW)
        while data:
            if self._stream.eof:
                if self._bits != _GZIP or not data.strip(b"\0"):
                    return  # padding
                self._stream = zlib.decompressobj(_GZIP)  # another member (RFC 1952, 2.2)
            yield self._stream.decompress(data, _PIECE)
            data = self._stream.unconsumed_tail or self._stream.unused_data
        # What did not fit into the last piece.
        while not self._stream.eof and (piece := self._stream.decompress(b"", _PIECE)):
            yield piece


def _has_zlib_header(data: bytes) -> bool:
    """Return whether data begins with a zlib header (RFC 1950); one byte is checked alone."""
    if data[0] & 0x0F != 8:
        return False
    return len(data) < 2 or int.from_bytes(data[:2], "big") % 31 == 0
