"""Features on disk: found by content, whole after a kill, no larger than what is used."""

from pathlib import Path

import numpy as np
import pytest

from hangtag.index.feature_store import FeatureStore, Rows, digest_of

DIGESTS = [digest_of(bytes([n])) for n in range(10)]
VALUES = np.random.default_rng(0).normal(size=(10, 6)).astype(np.float16).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    made = FeatureStore(tmp_path / "f", 6, {})
    made.append(DIGESTS[:7], VALUES[:7])
    return made


def test_rows_are_found_by_content(store: FeatureStore) -> None:
    again = FeatureStore(store.folder, 6, {})
    again.append(DIGESTS[7:], VALUES[7:])
    wanted = [9, 0, 3, 3]
    rows = Rows(again.stored(), again.positions([DIGESTS[n] for n in wanted]))
    assert (len(rows), rows.shape) == (4, (4, 6))
    np.testing.assert_array_equal(rows[:], VALUES[wanted])
    np.testing.assert_array_equal(rows[1:3], VALUES[[0, 3]])
    np.testing.assert_array_equal(rows[np.array([3, 0])], VALUES[[3, 9]])
    assert digest_of(b"never") not in again


@pytest.mark.parametrize(("name", "cut"), [("features.f16", 5), ("digests.bin", 3)])
def test_a_row_that_a_kill_cut_off_is_dropped(store: FeatureStore, name: str, cut: int) -> None:
    data = (store.folder / name).read_bytes()
    (store.folder / name).write_bytes(data[:-cut])
    again = FeatureStore(store.folder, 6, {})
    assert len(again) == 6
    again.append(DIGESTS[6:], VALUES[6:])
    rows = Rows(FeatureStore(store.folder, 6, {}).stored(), again.positions(DIGESTS))
    np.testing.assert_array_equal(rows[:], VALUES)


def test_what_is_no_longer_used_is_dropped_once_it_is_the_most(store: FeatureStore) -> None:
    store.drop_unused(set(DIGESTS[:4]))
    assert len(store) == 7
    store.drop_unused(set(DIGESTS[2:4]))
    again = FeatureStore(store.folder, 6, {})
    assert len(again) == len(store) == 2
    rows = Rows(again.stored(), again.positions([DIGESTS[3], DIGESTS[2]]))
    np.testing.assert_array_equal(rows[:], VALUES[[3, 2]])


def test_an_empty_store_has_no_rows(tmp_path: Path) -> None:
    assert FeatureStore(tmp_path / "f", 6, {}).stored().shape == (0, 6)
