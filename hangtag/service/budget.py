"""How many pixels may be under decoding at once, so that many large images take turns."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class PixelBudget:
    """Counts pixels under decoding; used in one event loop.

    The first that fits goes on, so that small images pass a large one that waits.
    """

    def __init__(self, pixels: int) -> None:
        self.free = self.pixels = pixels
        self._waiting: dict[asyncio.Future[None], int] = {}  # in order of arrival

    @asynccontextmanager
    async def taken(self, pixels: int) -> AsyncIterator[None]:
        """Wait until so many pixels are free, and hold them; at most all there are."""
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
                if turn.done() and not turn.cancelled():  # its turn had just come
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
