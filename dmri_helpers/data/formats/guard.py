"""What is refused before it is read: what is no plain file, what lies elsewhere, what memory cannot hold (no notebook).

A FIFO would be waited for without end, a link or an HDF5 file could show any file of the machine, and a header of a few
bytes can promise more than the machine has. Each check is one call at a door of the readers; see `formats.raw`.
"""

import math
import mmap
import os
import stat
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...results.memory import free_memory
from .raw import count_text, error

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_DEFLATED = b"1.2.840.10008.1.2.1.99"  # the syntax of a DICOM file that is packed as a whole
_HEAP = b"GCOL\1\0\0\0"  # begins a heap of values of different lengths in an HDF5 file
_MATRIX, _PACKED = 14, 15  # types of elements of a MATLAB file: an array, and one that is packed
_OF_NUMBERS = {*range(1, 8), 9, 12, 13}  # the types of parts that numbers may have in it
_OF_TEXT = _OF_NUMBERS | {16, 17, 18}
_TYPES = _OF_TEXT | {_MATRIX}
_TEXT, _SPARSE, _NUMBERS_AND_TEXT = 4, 5, {*range(4, 16)}  # kinds of arrays in it
_DEEPEST = 20  # so deep may structures and cells be nested


def plain(path: Path) -> None:
    """Refuse what is neither a file nor a folder; that it is missing is left to who opens it."""
    try:
        kind = _KINDS.get(stat.S_IFMT(os.stat(path).st_mode))
    except (OSError, ValueError):
        return
    if kind:
        raise error(path, kind, "a plain file")


def source(path: Path) -> None:
    """Refuse a path, or a folder with anything below it, that is no plain file or that a link leads out of it."""
    plain(path)
    inside = os.path.realpath(path) + os.sep
    for folder, folders, names in os.walk(path):
        for name in folders + [name for name in names if not name.startswith(".")]:
            entry = Path(folder, name)
            if entry.is_symlink() and entry.exists() and not os.path.realpath(entry).startswith(inside):
                raise error(entry, "a link out of the folder that is read", "the files themselves in it")
            plain(entry)


def fits(
    path: str | Path, shape: Sequence[int], bytes_each: float, expected: str = "fewer or smaller cines"
) -> None:
    """Refuse an array that the free memory does not hold, before it is allocated."""
    needed, free = math.prod(map(int, shape)) * bytes_each, free_memory()
    if needed > free:
        found = f"{' x '.join(map(str, shape))} values, {needed / 1e9:.3g} GB, and {free / 1e9:.3g} GB of free memory"
        raise error(path, found, expected)


def hdf5(path: Path, file) -> None:
    """Refuse an HDF5 file whose values lie in other files: external links, external storage, virtual data sets."""
    import h5py

    links: list[tuple[str, object]] = []
    file.visititems_links(lambda name, link: links.append((name, link)))
    for name, link in links:
        found = "a link" if isinstance(link, h5py.ExternalLink) else ""
        if isinstance(link, h5py.HardLink) and isinstance(item := file[name], h5py.Dataset):
            found = "an array" if item.is_virtual or item.external else ""
        if found:
            raise error(path, f"{found} into another file ({name!r})", "values that lie in the file itself")


def hdf5_chunks(path: Path, item) -> None:
    """Refuse an HDF5 array that is damaged where the library would read beyond memory, or take all of it.

    These are chunks that lie outside of the file, that are there twice or too short, and lines of raw data that claim
    to be longer than the file.
    """
    from h5py import h5t, h5z

    kind, plan, size = item.id.get_type(), item.id.get_create_plist(), path.stat().st_size
    filters = [plan.get_filter(number)[0] for number in range(plan.get_nfilters())]
    packed = bool(filters) and set(filters) <= {h5z.FILTER_SHUFFLE, h5z.FILTER_DEFLATE}
    members = range(kind.get_nmembers()) if kind.get_class() == h5t.COMPOUND else ()
    lengths = [  # where the length of a line stands, and the size of its values
        (kind.get_member_offset(number), kind.get_member_type(number).get_super().get_size())
        for number in members
        if kind.get_member_class(number) == h5t.VLEN
    ]
    whole, chunks = math.prod(item.chunks or ()) * kind.get_size(), []
    if item.chunks:
        item.id.chunk_iter(chunks.append)
    once = len({chunk.chunk_offset for chunk in chunks}) == len(chunks)
    for chunk in chunks:
        plain = not filters or chunk.filter_mask
        good = once and 0 < chunk.size <= size - chunk.byte_offset and (not plain or chunk.size == whole)
        if good and (lengths if plain else packed):
            values = item.id.read_direct_chunk(chunk.chunk_offset)[1]
            if not plain:
                good = len(zlib.decompressobj().decompress(values, whole + 1)) == whole
            for at, each in lengths if plain else ():
                counts = np.ndarray(whole // kind.get_size(), "<u4", values, at, (kind.get_size(),))
                good = good and int(counts.max()) * each <= size
        if not good:
            raise error(path, f"a damaged file (a chunk of {item.name!r})", "a whole one")


def hdf5_heaps(path: Path) -> None:
    """Refuse raw data whose heaps of lines have free space of no size: the library would go round there for ever."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        heap = content.find(_HEAP)
        while heap >= 0:
            at, end = (
                heap + 16,
                min(heap + int.from_bytes(content[heap + 8 : heap + 16], "little"), len(content)),
            )
            while at + 16 <= end:
                number, size = struct.unpack("<H6xQ", content[at : at + 16])
                if not number and not size:
                    raise error(path, "a damaged file (a heap with a hole of no size)", "a whole one")
                at += 16 + -(-size // 8) * 8 if number else size
            heap = content.find(_HEAP, heap + 8)


def hdf5_array(path: Path, item) -> None:
    """Refuse an HDF5 array that memory does not hold, also where a single chunk of it is larger than the whole."""
    fits(path, item.shape, item.dtype.itemsize)
    fits(path, item.chunks or (), item.dtype.itemsize)
    hdf5_chunks(path, item)


def npz(path: Path, archive, names: Sequence[str]) -> None:
    """Refuse members of a ``.npz`` that unpack to more than memory holds, or to more or less than their header says.

    Numpy reads what the header says; only where that is all of a member is its checksum looked at.
    """
    for member in archive.zip.infolist():
        name, _, kind = member.filename.rpartition(".")
        if name not in names or kind != "npy":
            continue
        if member.compress_type:  # what is not packed stays on disk
            fits(path, (member.file_size,), 1)
        shape, _, dtype, start = npy_header(archive, member)
        promised = start + math.prod(shape) * dtype.itemsize
        if promised != member.file_size and not dtype.hasobject:
            found = f"a damaged file ({member.filename} has {member.file_size} bytes, its header {promised})"
            raise error(path, found, "a whole one")


def npy_header(archive, member) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Of an array in a ``.npz``: shape, whether in Fortran's order, type, and the byte at which its values begin."""
    with archive.zip.open(member) as stream:
        old = np.lib.format.read_magic(stream) == (1, 0)
        read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
        return (*read(stream), stream.tell())


def matlab(path: Path) -> None:
    """Refuse a MATLAB file with an element that unpacks to more than memory holds, or is longer than what holds it.

    Parts that are longer than their array, or of a type that may not stand there, make scipy crash.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        order, start = "<II" if content[126:128] == b"IM" else ">II", 136
        while start <= len(content):
            kind, size = struct.unpack(order, content[start - 8 : start])
            if kind == _PACKED:
                inner = zlib.decompressobj().decompress(content[start : start + min(size, 1024)], 1024)
                unpacked = struct.unpack(order, inner[:8])[1]
                fits(path, (unpacked,), 1)
                if not _check_array(path, order, inner, 8, 8 + unpacked):
                    inner = zlib.decompressobj().decompress(content[start : start + size], 8 + unpacked)
                    _check_array(path, order, inner, 8, 8 + unpacked)
            elif kind == _MATRIX:
                _check_array(path, order, content, start, start + size)
            start += size + 8


def _check_array(path: Path, order: str, content, at: int, end: int, depth: int = 0) -> bool:
    """Check that an array of a MATLAB file has parts that lie inside it and are of types that may stand there.

    These are flags, dimensions, a name, and then values or, of a structure or cell, arrays. True if the content, which
    may stop early, was enough to tell.
    """
    kind_of_array, is_complex, place = 0, False, 0
    while at + 8 <= min(len(content), end):
        kind, length = struct.unpack(order, content[at : at + 8])
        if kind >> 16:  # up to four bytes are packed into the tag
            kind, length = kind & 0xFFFF, 0
        if place == 0:
            flags = struct.unpack(order, content[at + 8 : at + 16].ljust(8))[0]
            kind_of_array, is_complex = flags & 0xFF, bool(flags & 0x800)
        holds_arrays = place > 2 and kind_of_array not in _NUMBERS_AND_TEXT
        possible = _TYPES if holds_arrays else _OF_TEXT if kind_of_array == _TEXT else _OF_NUMBERS
        if at + 8 + length > end or kind not in possible or depth > _DEEPEST:
            raise error(path, "a damaged file (a part of an array is none or too long)", "a whole one")
        if kind == _MATRIX:
            _check_array(path, order, content, at + 8, at + 8 + length, depth + 1)
        at += 8 + -(-length // 8) * 8
        place += 1
    return at >= end or (place > 3 and kind_of_array in _NUMBERS_AND_TEXT - {_SPARSE} and not is_complex)


def dicom(path: Path, header) -> None:
    """Refuse a DICOM file that promises more frames than it can hold, or than memory can."""
    frames, size = int(header.get("NumberOfFrames") or 1), path.stat().st_size
    each = int(header.Rows) * int(header.Columns) * int(header.get("BitsAllocated") or 16) // 8
    syntax = header.file_meta.get("TransferSyntaxUID")
    packed = syntax is not None and (syntax.is_encapsulated or syntax.is_deflated)
    if frames * (8 if packed else each) > 1032 * size if packed else frames * each > size:
        raise error(
            path,
            f"a damaged file (of {size} bytes, which cannot hold its {count_text(frames, 'frame')})",
            "a whole one",
        )
    fits(path, (frames, int(header.Rows), int(header.Columns)), each / max(header.Rows * header.Columns, 1))


def deflated(path: Path) -> None:
    """Refuse a DICOM file that is packed as a whole and unpacks to more than memory holds."""
    with path.open("rb") as file:
        head = file.read(1024)
        if _DEFLATED not in head:
            return
        file.seek(144 + int.from_bytes(head[140:144], "little"))
        unpack, size, most = zlib.decompressobj(-15), 0, min(free_memory(), 2**31)
        while not unpack.eof and (data := unpack.unconsumed_tail or file.read(1 << 16)):
            size += len(unpack.decompress(data, 1 << 20))
            if size > most:
                raise error(path, f"a file that unpacks to more than {most / 1e9:.3g} GB", "a smaller one")


def nifti(path: Path, image) -> None:
    """Refuse a NIfTI file whose header promises more than memory holds; what is scaled becomes float64."""
    scaled = any(value not in (None, 0, 1) for value in (image.dataobj.slope, image.dataobj.inter))
    fits(path, image.shape, 8 if scaled else image.get_data_dtype().itemsize)
