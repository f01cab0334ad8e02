"""Where designs are decoded: in worker processes of this machine, or elsewhere, as on a cluster."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


class Mapper(Protocol):
    """What does the work of `map_designs` elsewhere, with the same results."""

    def __call__(
        self,
        function: Callable[[bytes], Any],
        locations: Iterable[str | bytes],
        then: Callable[[list[Any]], Sequence[Any]] | None,
        timeout: float,
    ) -> Iterator[Any]: ...


@runtime_checkable
class ReadsFolder(Protocol):
    """A function for `then` that reads a folder: where it runs elsewhere, it gets a copy."""

    @property
    def folder(self) -> Path:
        """The folder."""

    def at(self, folder: Path) -> "ReadsFolder":
        """Return the same function that reads a copy of the folder."""

    def __call__(self, results: list[Any]) -> Sequence[Any]: ...


_mapper: ContextVar[Mapper | None] = ContextVar("mapper", default=None)


@contextmanager
def mapped_by(mapper: Mapper) -> Iterator[None]:
    """Let `mapper` do the work of `map_designs` in a block."""
    token = _mapper.set(mapper)
    try:
        yield
    finally:
        _mapper.reset(token)


def mapper_here() -> Mapper | None:
    """Return what does the work of `map_designs` now, if that is another than this machine."""
    return _mapper.get()


def is_elsewhere() -> bool:
    """Return whether `map_designs` uses other machines: they have more cores than this one."""
    return _mapper.get() is not None
