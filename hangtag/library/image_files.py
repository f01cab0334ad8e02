"""Images below a folder or an `s3://` address. Others are left out and counted, such as unread
formats, and thumbnails and recycle bins that NAS systems keep among the designs."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from hangtag.console import warn
from hangtag.errors import CatalogError

_READ: Final = """
    png apng jpg jpeg jpe jfif jif jfi pjpeg pjp webp gif tif tiff bmp dib avif avifs svg svgz
"""
# Images and drawings that hangtag does not read; a warning counts them.
_UNREAD: Final = """
    heic heif hif jxl jp2 j2k jpf jpx jpc j2c jxr wdp hdp bpg flif qoi mng jng
    ico cur icns tga dds exr hdr pcx pbm pgm ppm pnm pam xbm xpm ras sgi wbmp
    psd psb xcf kra ora pdn psp pspimage cpt clip sai procreate afphoto
    ai eps epsf epsi ps pdf cdr sketch fig xd afdesign afpub indd wmf emf wmz emz cgm dxf dwg odg
    raw dng cr2 cr3 crw nef nrw arw srf sr2 orf rw2 raf pef srw x3f 3fr iiq erf kdc dcr mos mrw rwl
    gpr fff mef
"""
IMAGE_SUFFIXES: Final = frozenset(f".{name}" for name in _READ.split())
UNREAD_SUFFIXES: Final = frozenset(f".{name}" for name in _UNREAD.split())
# Suffixes that browsers and sites make: `.jpg_large` (Twitter), `.jpg!d`, `.png~` (a backup).
_ODD_SUFFIX: Final = re.compile(r"\.(png|jpe?g|webp|gif|tiff?|bmp|svg)[^a-z0-9]")

# Names of folders that only programs create. Those that people use as well (thumbs, originals,
# trash) are not listed, nor are those that begin with a dot, which are left out anyway.
_SYSTEM_FOLDERS: Final = frozenset(
    (
        "@eadir",  # Synology: thumbnails and indexes
        "#recycle",  # Synology, TerraMaster: the recycle bin of a shared folder
        "#snapshot",  # Synology: snapshots of a shared folder
        "@sharebin",  # Synology
        "@sharesnap",
        "@tmp",
        "@database",
        "@appdata",
        "@appconf",
        "@apphome",
        "@appstore",
        "@apptemp",
        "@synodrive",
        "@synoresource",
        "@recycle",  # QNAP: the recycle bin
        "@recently-snapshot",  # QNAP: snapshots
        "@__thumb",  # QNAP: thumbnails
        "~snapshot",  # NetApp: snapshots
        "$recycle.bin",  # Windows since Vista
        "recycler",  # Windows NT to XP
        "recycled",  # Windows 95 to ME
        "recycle bin",  # Windows, copied by its shown name
        "trashbox",  # Buffalo: the recycle bin of a shared folder
        "[originals]",  # ACDSee: designs before they were edited
        "system volume information",  # Windows: restore points
        "found.000",  # Windows: what chkdsk found
        "_vti_cnf",  # FrontPage: a text file under the name of each image
        "_vti_pvt",
        "lost+found",  # Linux: what fsck found
        "__macosx",  # macOS: resource forks in ZIP archives
        "network trash folder",  # macOS: AFP shares
        "temporary items",
        "thevolumesettingsfolder",
        "files_trashbin",  # Nextcloud, ownCloud
        "files_versions",
    )
)
# Nextcloud's previews; recycle bins of network drives; caches of Lightroom; the databases of
# Apple's Photos, iPhoto and Aperture, which hold every photo in several sizes.
_SYSTEM_FOLDER: Final = re.compile(
    r"appdata_oc[0-9a-z]{10}|found\.\d{3}|network recycle bin( \d+)?"
    r"|.+\.(lrdata|lrcat-data|photoslibrary|photolibrary|migratedphotolibrary|aplibrary)"
)
# Synology's thumbnails beside their folder, and the lock files of Office.
_SYSTEM_FILE: Final = re.compile(r"synophoto_(thumb|film)_.*|synoindex_media_info.*|~\$.*")
_FEW: Final = 12  # kinds of files, and of folders, that a warning names

_Words = tuple[str, str]  # a kind of what is left out, for one and for several


class LeftOut:
    """Counts what is left out of a library, for one warning."""

    def __init__(self) -> None:
        self._files: Counter[_Words] = Counter()
        self._folders: Counter[_Words] = Counter()
        self._in_folders: Counter[_Words] = Counter()  # files in folders that are left out

    def skips_folder(self, name: str) -> bool:
        """Return whether a folder is a system's own or hidden; if so, count it."""
        if is_system_folder(name):
            self._folders[f"folder {name}", f"folders {name}"] += 1
        elif name.startswith("."):
            self._folders["hidden folder", "hidden folders"] += 1
        else:
            return False
        return True

    def skips_file(self, name: str, suffixes: Collection[str]) -> bool:
        """Return whether a file is no image with one of `suffixes`; count another image."""
        suffix = PurePosixPath(name).suffix.lower()
        if name.startswith(".") and suffix == ".icloud":  # `.a.png.icloud` stands for a.png
            if is_image(name.removesuffix(PurePosixPath(name).suffix)):
                self._files["not downloaded from iCloud", "not downloaded from iCloud"] += 1
            return True
        if suffix not in suffixes:
            if not name.startswith(".") and is_image_suffix(suffix):
                self._files[suffix, suffix] += 1
            return True
        if not (name.startswith(".") or _SYSTEM_FILE.fullmatch(name.lower())):
            return False
        self._files["hidden file", "hidden files"] += 1
        return True

    def skips_key(self, name: str) -> bool:
        """Return whether an object below an `s3://` address is no design; if so, count it."""
        *folders, last = name.split("/")
        for folder in folders:
            if is_system_folder(folder) or folder.startswith("."):
                if is_image_suffix(PurePosixPath(last).suffix.lower()):
                    where = folder if is_system_folder(folder) else "hidden folders"
                    self._in_folders[f"file in {where}", f"files in {where}"] += 1
                return True
        return self.skips_file(last, IMAGE_SUFFIXES)

    def report(self, where: object) -> None:
        """Log one warning, if anything was left out."""
        kinds = [
            *_most_common(self._files, "file of another kind", "files of other kinds"),
            *_most_common(self._folders, "other folder", "other folders"),
            *_most_common(self._in_folders, "file in other folders", "files in other folders"),
        ]
        if kinds:
            warn(f"{where}: left out {', '.join(kinds)}")


def _most_common(counts: Counter[_Words], one_other: str, others: str) -> list[str]:
    """Return the most common kinds in words, with the number of the rest."""
    named = counts.most_common(_FEW)
    if rest := counts.total() - sum(count for _, count in named):
        named.append(((one_other, others), rest))
    return [f"{count:,} {one if count == 1 else several}" for (one, several), count in named]


def is_system_folder(name: str) -> bool:
    """Return whether only a system gives a folder this name, such as @eaDir or #recycle."""
    name = name.lower()
    return name in _SYSTEM_FOLDERS or bool(_SYSTEM_FOLDER.fullmatch(name))


def is_image(path: str) -> bool:
    """Return whether a path or address has the suffix of an image that hangtag reads."""
    return PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES


def is_image_suffix(suffix: str) -> bool:
    """Return whether a suffix, in lower case with its dot, is an image's, read or not."""
    return suffix in IMAGE_SUFFIXES or suffix in UNREAD_SUFFIXES or bool(_ODD_SUFFIX.match(suffix))


def image_files(folder: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> list[str]:
    """Return the images below `folder`, by suffix, as relative paths with `/`, sorted.

    `suffixes` are in lower case, with their dot. Links are followed. One warning counts what is
    left out: hidden files, folders that are hidden or a system's own, and images with other
    suffixes; more warnings name what cannot be listed, has no UTF-8 name or links back to a parent
    folder. Raises CatalogError for a missing folder.
    """
    if not folder.is_dir():
        raise CatalogError(f"{folder}: no such folder")
    found: list[str] = []
    left_out = LeftOut()
    walked = os.walk(folder, onerror=lambda cause: warn(f"left out: {cause}"), followlinks=True)
    for path, folders, files in walked:
        folders[:] = [
            name
            for name in folders
            if not left_out.skips_folder(name)
            and is_utf8(name)
            and not _leads_back(Path(path, name))
        ]
        below = PurePosixPath(Path(path).relative_to(folder).as_posix())
        found += [
            str(below / name)
            for name in files
            if not left_out.skips_file(name, suffixes) and is_utf8(name)
        ]
    left_out.report(folder)
    return sorted(found)


def designs_below(address: str, names: Iterable[str]) -> list[str]:
    """Return the addresses of the designs among `names`, which are below an `s3://` address.

    By the same rule as `image_files`, with a warning that counts what is left out.
    """
    left_out = LeftOut()
    found = [f"{address}/{name}" for name in names if not left_out.skips_key(name)]
    left_out.report(address)
    return found


def _leads_back(folder: Path) -> bool:
    """Return whether a link leads to a folder above itself: following it would never end."""
    if not folder.is_symlink():
        return False
    # The links on the way here count as well: two folders may link to each other.
    target = folder.resolve()
    if not any(above.resolve().is_relative_to(target) for above in folder.parents):
        return False
    warn(f"left out: {folder} leads back to a folder above it")
    return True


def is_utf8(name: str) -> bool:
    """Return whether a file's name can be written into a catalog; warn if it cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        warn(f"left out: {name!a} is not a UTF-8 name; rename it")
        return False
    return True
