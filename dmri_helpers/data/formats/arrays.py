"""Arrays in files: .npy, .npz, MATLAB and HDF5 (no notebook; see `formats.raw`).

``axes`` and ``key`` are those of `reading.read`. A key may be left out where only one array has 3 or 4
dimensions; the cines have shape ``(n, t, y, x)``. An array is k-space if its name begins with ``kspace`` or
``kdata``, or if ``axes`` has a coil (`formats.kspace`).
"""

import struct
import zipfile
from pathlib import Path

import numpy as np

from . import guard
from .ismrmrd import holds_acquisitions, ismrmrd
from .kspace import axes_of, is_kspace_name, kspace
from .raw import (
    Raw,
    axes_in_doubt,
    axes_note,
    choose_key,
    error,
    list_text,
    put_in_order,
    reading_file,
    size_text,
)

_MAPPED = 2**20  # bytes from which on an array of a .npz stays on disk
_SIZES = {f"{sign}int{8 * size}": size for sign in ("", "u") for size in (1, 2, 4, 8)} | {
    "double": 8,
    "single": 4,
}


def npy(path: Path, axes: str | None = None) -> Raw:
    """Read a ``.npy``, which stays on disk (memory-mapped); pickled objects are never loaded."""
    with reading_file(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    if _is_kspace("", axes):
        return kspace(path, path.name, array, axes_of(path, path.name, array.shape, axes, False))
    return Raw(path, put_in_order(path, array, axes))


def npz(path: Path, key: str | None = None, axes: str | None = None) -> Raw:
    """Read an array of a ``.npz``, by default ``dataset`` or, where there is none, ``kspace``.

    What is not packed stays on disk (memory-mapped), as in all that the course writes.

    The key ``groups`` or ``patient`` may say which cines belong together; the groups are handed on as they are. The key
    ``coils`` may have the maps of the coils, ``(c, y, x)`` for all cines or ``(n, c, y, x)``, and the key ``mask`` the
    sampled lines of k-space. Pickled objects are never loaded.
    """
    with reading_file(path), path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        key = key or ("kspace" if "kspace" in archive.files and "dataset" not in archive.files else "dataset")
        if key not in archive.files:
            raise error(path, list_text(map(repr, archive.files), "keys"), f"the key {key!r}", "key")
        known = next((name for name in ("groups", "patient") if name in archive.files), None)
        guard.npz(path, archive, [name for name in (key, known, "coils", "mask") if name in archive.files])
        groups = None if known is None else np.asarray(archive[known])
        array = _member(path, archive, key)
        maps = np.asarray(archive["coils"]) if "coils" in archive.files else None
        mask = np.asarray(archive["mask"]) if "mask" in archive.files else None
    if _is_kspace(key, axes):
        axes = axes_of(path, key, array.shape, axes, False)
        raw = kspace(path, key, array, axes, _lines(mask), None, groups)
        raw.coils = None if maps is None else _coil_maps(path, maps, raw.kspace[:, 0].shape)
        return raw
    own = key == "dataset"  # what the course itself writes: its axes are known, and a doubt is only said
    doubt = axes_in_doubt(array.shape) if own and axes is None and array.ndim in (3, 4) else ""
    notes = [f"{doubt}: are the axes in another order?"] if doubt else []
    cines = put_in_order(path, array, axes, doubt=not own)
    coils = None if maps is None else _coil_maps(path, maps, cines.shape)
    return Raw(path, cines, groups, notes=notes, coils=coils)


def _member(path: Path, archive, key: str) -> np.ndarray:
    """An array of a ``.npz``; where it is large and not packed it stays on disk, after its checksum was compared."""
    info = next(info for info in archive.zip.infolist() if info.filename in (key, f"{key}.npy"))
    if info.compress_type != zipfile.ZIP_STORED or info.file_size < _MAPPED:
        return np.asarray(archive[key])
    shape, fortran, dtype, start = guard.npy_header(archive, info)
    if dtype.hasobject:
        return np.asarray(archive[key])  # numpy refuses it
    with archive.zip.open(info) as stream:
        while stream.read(1 << 20):
            pass  # the checksum is compared at the end
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
    start += info.header_offset + 30 + name + extra
    return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")


def _coil_maps(path: Path, maps: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Maps of the size of the cines, shape ``(1 or n, c, y, x)``."""
    n, _, y, x = shape
    found = maps.shape
    maps = maps[None] if maps.ndim == 3 else maps
    fits = maps.ndim == 4 and maps.size and len(maps) in (1, n) and maps.shape[2:] == (y, x)
    if not fits or maps.dtype.kind not in "fciu":
        expected = f"numbers of shape (c, {y}, {x}) or ({n}, c, {y}, {x})"
        raise error(path, f"coils of shape {found}, {maps.dtype}", expected)
    return maps


def _is_kspace(key: str, axes: str | None) -> bool:
    return "c" in axes if axes is not None and len(axes) > 3 else is_kspace_name(key)


def _lines(mask: np.ndarray | None) -> np.ndarray | None:
    """A mask of lines, without the axis of the readout that it may have at its end."""
    return mask[..., 0] if mask is not None and mask.ndim > 1 and mask.shape[-1] == 1 else mask


def matlab(path: Path, key: str | None = None, axes: str | None = None) -> Raw:
    """Read an array of a MATLAB file up to version 7; `hdf5` reads version 7.3.

    Axes count as MATLAB's ``size`` does. The key of a field in a structure is ``structure/field``, as in version
    7.3; ``structure.field`` is understood as well.
    """
    from scipy import io

    with reading_file(path):
        guard.matlab(path)
        held = {name: (shape, kind) for name, shape, kind in io.whosmat(path)}
        if structures := [name for name, (_, kind) in held.items() if kind == "struct"]:
            fields = _fields(io.loadmat(path, variable_names=structures, simplify_cells=False), structures)
            held |= {name: (np.shape(array), _matlab_kind(array)) for name, array in fields.items()}
        fits = [
            name for name, (shape, kind) in held.items() if _fits(name, len(shape), axes) and kind in _SIZES
        ]
        listed = [f"{name!r} ({size_text(shape)} {kind})" for name, (shape, kind) in held.items()]
        key = choose_key(path, key and key.replace(".", "/"), list(held), fits, listed, is_kspace_name)
        if held[key][1] not in _SIZES:
            raise error(path, f"a {held[key][1]} under the key {key!r}", "an array of numbers")
        guard.fits(path, held[key][0], _SIZES[held[key][1]])
        array = fields[key] if "/" in key else io.loadmat(path, variable_names=[key])[key]
    if _is_kspace(key, axes):
        return _matlab_kspace(path, key, array, axes)
    return Raw(path, put_in_order(path, array, axes), notes=[axes_note(key, array, axes)])


def _fits(name: str, dimensions: int, axes: str | None) -> bool:
    """Whether an array may be cines or k-space, by the number of its axes."""
    return dimensions in (3, 4) or (dimensions == 5 and _is_kspace(name, axes))


def _matlab_kspace(path: Path, key: str, array: np.ndarray, axes: str | None) -> Raw:
    """K-space of one patient, with the mask that the CMRxRecon challenges keep beside it in ``NAME_mask.mat`` [1]_.

    References
    ----------
    .. [1] Wang et al., CMRxRecon: a publicly available k-space dataset and benchmark to advance deep learning for
       cardiac MRI, Scientific Data 11:687 (2024).
    """
    beside, mask, notes = path.with_name(f"{path.stem}_mask.mat"), None, []
    if beside.is_file():
        mask = _only_array(beside)
        mask = mask.any(0).T  # (kx, ky) or (kx, ky, t)
        notes = [f"the mask is that of {beside.name}"]
    axes = axes_of(path, key, array.shape, axes, True)
    slices = array.shape[axes.index("n")] if "n" in axes else 1
    return kspace(path, key, array, axes, mask, groups=np.zeros(slices, int), notes=notes)


def _only_array(path: Path) -> np.ndarray:
    """The one array of a MATLAB file of either version, its axes as MATLAB's ``size`` counts them."""
    import h5py
    from scipy import io

    guard.plain(path)
    with reading_file(path):
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                guard.hdf5(path, file)
                arrays = [item[()].T for item in file.values() if isinstance(item, h5py.Dataset)]
        else:
            arrays = [array for name, array in io.loadmat(path).items() if not name.startswith("__")]
    arrays = [array for array in arrays if array.ndim in (2, 3) and array.dtype.kind in "biuf"]
    if len(arrays) != 1:
        raise error(path, f"{len(arrays)} arrays of 2 or 3 axes", "one mask")
    return arrays[0]


def _fields(held: dict, names: list[str], above: str = "") -> dict[str, np.ndarray]:
    """List the arrays in MATLAB structures, however deep, by their keys."""
    found = {}
    for name in names:
        array = held[name]
        if array.dtype.names and array.size == 1:
            found |= _fields(array.flat[0], array.dtype.names, f"{above}{name}/")
        elif above:
            found[f"{above}{name}"] = array
    return found


def _matlab_kind(array: np.ndarray) -> str:
    """Name the type of an array as MATLAB does."""
    names = {"float64": "double", "complex128": "double", "float32": "single", "complex64": "single"}
    return names.get(str(array.dtype), str(array.dtype))


def hdf5(path: Path, key: str | None = None, axes: str | None = None) -> Raw:
    """Read an array of an HDF5 file, among them MATLAB's version 7.3, or ISMRMRD raw data.

    Arrays that MATLAB wrote (they carry an attribute ``MATLAB_class``) lie in the file with their axes
    reversed; they are turned back, so that axes count as MATLAB's ``size`` does. Complex numbers may be pairs
    named ``real`` and ``imag``, or ``r`` and ``i``.
    """
    import h5py

    with reading_file(path), h5py.File(path, "r") as file:
        guard.hdf5(path, file)
        raw_data = [name for name, group in file.items() if holds_acquisitions(group)]
        if raw_data and axes is not None:
            raise error(path, "ISMRMRD raw data, in which the option axes means nothing", "no axes")
        if raw_data:
            guard.hdf5_heaps(path)
            key = choose_key(path, key, raw_data, raw_data, map(repr, raw_data))
            guard.hdf5_array(path, file[key]["data"])
            return ismrmrd(path, key)
        names: list[str] = []
        file.visit(names.append)
        held = {name: file[name] for name in names if not name.startswith("#")}  # where MATLAB keeps cells
        held = {name: item for name, item in held.items() if isinstance(item, h5py.Dataset)}
        fits = [name for name, item in held.items() if _fits(name, item.ndim, axes) and _is_numeric(item)]
        by_matlab = file.userblock_size >= 512 and _begins_as_matlab(path)
        reverse = {
            name: -1 if by_matlab or "MATLAB_class" in item.attrs else 1 for name, item in held.items()
        }
        listed = [
            f"{name!r} ({size_text(item.shape[:: reverse[name]])} {kind_text(item)})"
            for name, item in held.items()
        ]
        key = choose_key(path, key, list(held), fits, listed, is_kspace_name)
        if not _is_numeric(held[key]):
            raise error(path, f"{kind_text(held[key])} under the key {key!r}", "an array of numbers")
        guard.hdf5_array(path, held[key])
        array = held[key][()]
        if array.dtype.names:
            array = array[array.dtype.names[0]] + np.complex64(1j) * array[array.dtype.names[1]]
        array = array.T if reverse[key] < 0 else array
        mask = held["mask"][()] if "mask" in held and not reverse[key] < 0 else None
    if _is_kspace(key, axes) and reverse[key] < 0:
        return _matlab_kspace(path, key, array, axes)
    if _is_kspace(key, axes):
        return kspace(path, key, array, axes_of(path, key, array.shape, axes, False), _lines(mask))
    return Raw(path, put_in_order(path, array, axes), notes=[axes_note(key, array, axes)])


def _begins_as_matlab(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(6) == b"MATLAB"


def _is_numeric(item) -> bool:
    if item.dtype.names:
        return item.dtype.names in (("real", "imag"), ("r", "i"))
    return item.dtype.kind in "fciu" and kind_text(item) not in ("char", "logical", "cell")


def kind_text(item) -> str:
    """Name the type of an HDF5 array, in MATLAB's words where MATLAB wrote it."""
    kind = item.attrs.get("MATLAB_class", str(item.dtype))
    return kind.decode() if isinstance(kind, bytes) else str(kind)
