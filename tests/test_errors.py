"""Errors cross process borders while packing and tagging; one that cannot would hang the run."""

import pickle

import pytest

from hangtag import errors

CLASSES = [
    c for c in vars(errors).values()
    if isinstance(c, type) and issubclass(c, errors.HangtagError) and c is not errors.HangtagError
]  # fmt: skip


def test_the_module_describes_every_error() -> None:
    assert not [kind.__name__ for kind in CLASSES if f" {kind.__name__} " not in errors.__doc__]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_survives_pickling(kind: type[errors.HangtagError]) -> None:
    two = kind in (errors.ImageError, errors.MissingExtra)
    error = kind("reason", "text") if two else kind("text")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
