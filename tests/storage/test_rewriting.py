"""Files of the user written anew: what belongs to them stays, read-only ones are left alone."""

import os
from pathlib import Path

import pytest

from hangtag.errors import CatalogError
from hangtag.storage.rewriting import remove, rewrite


def test_permissions_and_attributes_stay(tmp_path: Path) -> None:
    """Dolphin and Baloo keep a person's tags in `user.xdg.tags`, macOS Finder in another one."""
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    path.chmod(0o640)
    owner = path.stat().st_uid
    has_attributes = hasattr(os, "setxattr")
    if has_attributes:
        try:
            os.setxattr(path, "user.xdg.tags", b"mine")
        except OSError:  # a file system without them
            has_attributes = False
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # in a container: the owner is another one
        owner = 1234
        os.chown(path, owner, owner)
    rewrite(path, b"new")
    assert path.read_bytes() == b"new"
    assert (path.stat().st_uid, [*tmp_path.iterdir()]) == (owner, [path])
    assert os.name == "nt" or path.stat().st_mode & 0o777 == 0o640
    if has_attributes:
        assert os.getxattr(path, "user.xdg.tags") == b"mine"


def test_read_only_files_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    path.chmod(0o444)
    for change in (lambda: rewrite(path, b"new"), lambda: remove(path)):
        with pytest.raises(CatalogError, match=r"a\.png: read-only and left as it is"):
            change()
    assert path.read_bytes() == b"old"
    path.chmod(0o644)
    remove(path)
    assert not path.exists()


@pytest.mark.skipif(os.name == "nt", reason="needs links")
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    link = tmp_path / "a.xmp"
    link.symlink_to("inside/b.xmp")  # which is not there yet
    rewrite(link, b"new")
    assert (tmp_path / "inside" / "b.xmp").read_bytes() == b"new"
    remove(link)
    assert link.is_symlink()
    assert not link.exists()
