"""Files that no reader takes, named for what they are, with what to do then (no notebook; see `formats.raw`)."""

import os
import zipfile
from pathlib import Path

from .raw import DataError, count_text, error

_UNPACKED = "its files, unpacked into a folder"
_CONVERTED = "the images as NIfTI, DICOM or .npy"
_SCANNER = "the scanner's DICOM images, or cines of shape (n, t, y, x) in a .npz, NIfTI or HDF5"
_BEGINNINGS = (  # first bytes, what that is, what is expected instead
    (
        b"version https://git-lfs",
        "a pointer of Git LFS in place of the file",
        "the file itself (git lfs pull)",
    ),
    (b"/annex/objects/", "a pointer of git-annex in place of the file", "the file itself (git annex get)"),
    (b"<!DOCTYPE", "a web page, as a download without permission leaves it", "the file itself"),
    (b"<html", "a web page, as a download without permission leaves it", "the file itself"),
    (b"\x80", "a pickle, which is never loaded", "cines of shape (n, t, y, x) in a .npz or .npy"),
    (b"7z\xbc\xaf", "a 7-Zip archive", _UNPACKED),
    (b"Rar!", "a RAR archive", _UNPACKED),
    (b"BZh", "a file packed by bzip2", _UNPACKED),
    (b"\xfd7zXZ", "a file packed by xz", _UNPACKED),
    (b"\x89PNG", "a PNG picture", _CONVERTED),
    (b"\xff\xd8\xff", "a JPEG picture", _CONVERTED),
    (b"GIF8", "a GIF picture", _CONVERTED),
    (b"II*\0", "a TIFF picture", _CONVERTED),
    (b"MM\0*", "a TIFF picture", _CONVERTED),
    (b"RIFF", "a film or a sound", _CONVERTED),
    (b"NRRD", "a NRRD image", _CONVERTED),
    (b"ObjectType", "a MetaImage header", _CONVERTED),
    (b"%PDF", "a PDF document", _SCANNER),
)


def stranger(path: Path, head: bytes) -> DataError | None:
    """Name a file by what it begins with, if no reader takes it; ``head`` are its first 520 bytes."""
    if head.startswith(b"PK"):
        return _zip(path)
    if head[257:262] == b"ustar":
        return error(path, "a tar archive", _UNPACKED)
    if head[4:8] == b"ftyp":
        return error(path, "a film", _CONVERTED)
    for beginning, found, expected in _BEGINNINGS:
        if head.lower().startswith(beginning.lower()):
            return error(path, found, expected)
    return None


def _zip(path: Path) -> DataError | None:
    """Tell a zip of other files from a ``.npz``; of a damaged zip, nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
    except (OSError, zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError):
        return None
    if not names or any(name.endswith(".npy") or name == "dataset" for name in names):
        return None
    if any(name.endswith("data.pkl") for name in names):
        return error(path, "a file of PyTorch with pickled objects, which are never loaded", "a .npz or .npy")
    return error(
        path,
        f"a zip of {count_text(len(names), 'file')} (the first {os.path.basename(names[0])!r})",
        _UNPACKED,
    )
