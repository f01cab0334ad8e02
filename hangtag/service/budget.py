"""A bound on the pixels that are decoded at a time, so that many large images take turns."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class PixelBudget:
    """Counts the pixels being decoded; for use in one event loop.

    The first waiting image that fits is next, so small images overtake a large one.
    """

    def __init__(self, pixels: int) -> None:
        self.free = self.pixels = pixels
        self._waiting: dict[asyncio.Future[None], int] = {}  # in order of arrival

    @asynccontextmanager
    async def taken(self, pixels: int) -> AsyncIterator[None]:
        """Wait until so many pixels (at most the whole budget) are free, and reserve them."""
        pixels = min(pixels, self.pixels)
        if pixels <= self.free:
            self.free -= pixels
        else:
            turn = asyncio.get_running_loop().create_future()
            self._waiting[turn] = pixels
            try:
                await turn
            except asyncio.CancelledError:
                del self._waiting[turn]
                if turn.done() and not turn.cancelled():  # its turn came at the same moment
                    self._give_back(pixels)
                raise
            del self._waiting[turn]
        try:
            yield
        finally:
            self._give_back(pixels)

    def _give_back(self, pixels: int) -> None:
        self.free += pixels
        for turn, wanted in self._waiting.items():
            if wanted <= self.free and not turn.done():
                self.free -= wanted
                turn.set_result(None)
