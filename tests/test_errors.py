"""Errors cross process borders while packing and tagging; one that cannot would hang the run."""

import pickle

import pytest

from hangtag import errors

CLASSES = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, errors.HangtagError)
    and kind is not errors.HangtagError
]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_survives_pickling(kind: type[errors.HangtagError]) -> None:
    two = kind in (errors.ImageError, errors.MissingExtra)
    error = kind("reason", "text") if two else kind("text")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
