"""Files of the user, written anew with all that belongs to them: owner, permissions, attributes.

A file that is renamed onto another one is a new file to the system. Extended attributes hold the
tags of file managers: macOS Finder's, and `user.xdg.tags` of Dolphin and Baloo on Linux.
"""

import ctypes
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from hangtag.errors import CatalogError
from hangtag.storage.files import atomic_path

_COPYFILE_ACL_AND_XATTR: Final = (1 << 0) | (1 << 2)  # copyfile(3) of macOS


def rewrite(target: Path, data: bytes) -> None:
    """Write a file, whole or not at all; one that is there keeps its owner and attributes.

    Raises CatalogError for a file that is read-only, and OSError for a folder.
    """
    refuse_read_only(target)
    with atomic_path(target) as temporary:
        temporary.write_bytes(data)
        if target.exists():
            _copy_attributes(target, temporary)


def remove(target: Path) -> None:
    """Remove a file, or the file that a link leads to. Raises as `rewrite`."""
    refuse_read_only(target)
    target.resolve().unlink()


def refuse_read_only(target: Path) -> None:
    """Raise CatalogError for a file that nobody, or not this user, may write to.

    A rename would replace it all the same on most systems.
    """
    if not target.exists():
        return
    if not target.stat().st_mode & 0o222 or not os.access(target, os.W_OK):
        raise CatalogError(f"{target}: read-only and left as it is; make it writable")


def _copy_attributes(source: Path, target: Path) -> None:
    """Copy owner, permissions and extended attributes, as far as the system allows it."""
    found = source.stat()
    if hasattr(os, "chown"):
        with suppress(OSError):  # another user's file, which is writable by its group
            os.chown(target, found.st_uid, found.st_gid)
    if sys.platform == "darwin":
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(None, use_errno=True)
            names = (os.fsencode(source.resolve()), os.fsencode(target))
            library.copyfile(*names, None, ctypes.c_uint32(_COPYFILE_ACL_AND_XATTR))
    if hasattr(os, "listxattr"):
        with suppress(OSError):  # a file system without them
            for name in os.listxattr(source):
                with suppress(OSError):  # `security.*` and others that only the system sets
                    os.setxattr(target, name, os.getxattr(source, name))
    shutil.copymode(source, target)
