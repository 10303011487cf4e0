"""Arrays in files: .npy, .npz, MATLAB and HDF5 (no notebook; see `formats.raw`).

``axes`` and ``key`` are those of `reading.read`. A key may be left out where only one array has 3 or 4
dimensions; the cines have shape ``(n, t, y, x)``.
"""

from pathlib import Path

import numpy as np

from . import guard
from .ismrmrd import holds_acquisitions, ismrmrd
from .raw import (
    Raw,
    axes_in_doubt,
    axes_note,
    choose_key,
    error,
    list_text,
    put_in_order,
    reading_file,
    refuse_kspace,
    size_text,
)

_SIZES = {f"{sign}int{8 * size}": size for sign in ("", "u") for size in (1, 2, 4, 8)} | {
    "double": 8,
    "single": 4,
}


def npy(path: Path, axes: str | None = None) -> Raw:
    """Read a ``.npy``, which stays on disk (memory-mapped); pickled objects are never loaded."""
    with reading_file(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    return Raw(path, put_in_order(path, array, axes))


def npz(path: Path, key: str = "dataset", axes: str | None = None) -> Raw:
    """Read an array of a ``.npz``; pickled objects are never loaded.

    Its key ``groups`` or ``patient`` may say which cines belong together; the groups are handed on as they are. Its key
    ``coils`` may have the maps of the coils, ``(c, y, x)`` for all cines or ``(n, c, y, x)``.
    """
    with reading_file(path), path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        if key not in archive.files:
            raise error(path, list_text(map(repr, archive.files), "keys"), f"the key {key!r}", "key")
        known = next((name for name in ("groups", "patient") if name in archive.files), None)
        guard.npz(path, archive, [name for name in (key, known, "coils") if name in archive.files])
        groups = None if known is None else np.asarray(archive[known])
        array = np.asarray(archive[refuse_kspace(path, key)])
        maps = np.asarray(archive["coils"]) if "coils" in archive.files else None
    own = key == "dataset"  # what the course itself writes: its axes are known, and a doubt is only said
    doubt = axes_in_doubt(array.shape) if own and axes is None and array.ndim in (3, 4) else ""
    notes = [f"{doubt}: are the axes in another order?"] if doubt else []
    cines = put_in_order(path, array, axes, doubt=not own)
    coils = None if maps is None else _coil_maps(path, maps, cines.shape)
    return Raw(path, cines, groups, notes=notes, coils=coils)


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
        fits = [name for name, (shape, kind) in held.items() if len(shape) in (3, 4) and kind in _SIZES]
        listed = [f"{name!r} ({size_text(shape)} {kind})" for name, (shape, kind) in held.items()]
        key = choose_key(path, key and key.replace(".", "/"), list(held), fits, listed)
        if held[key][1] not in _SIZES:
            raise error(path, f"a {held[key][1]} under the key {key!r}", "an array of numbers")
        guard.fits(path, held[key][0], _SIZES[held[key][1]])
        array = fields[key] if "/" in key else io.loadmat(path, variable_names=[key])[key]
    return Raw(path, put_in_order(path, array, axes), notes=[axes_note(key, array, axes)])


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
            return ismrmrd(path, choose_key(path, key, raw_data, raw_data, map(repr, raw_data)))
        names: list[str] = []
        file.visit(names.append)
        held = {name: file[name] for name in names if not name.startswith("#")}  # where MATLAB keeps cells
        held = {name: item for name, item in held.items() if isinstance(item, h5py.Dataset)}
        fits = [name for name, item in held.items() if item.ndim in (3, 4) and _is_numeric(item)]
        reverse = {name: -1 if "MATLAB_class" in item.attrs else 1 for name, item in held.items()}
        listed = [
            f"{name!r} ({size_text(item.shape[:: reverse[name]])} {kind_text(item)})"
            for name, item in held.items()
        ]
        key = choose_key(path, key, list(held), fits, listed)
        if not _is_numeric(held[key]):
            raise error(path, f"{kind_text(held[key])} under the key {key!r}", "an array of numbers")
        guard.hdf5_array(path, held[key])
        array = held[key][()]
        if array.dtype.names:
            array = array[array.dtype.names[0]] + np.complex64(1j) * array[array.dtype.names[1]]
        array = array.T if reverse[key] < 0 else array
    return Raw(path, put_in_order(path, array, axes), notes=[axes_note(key, array, axes)])


def _is_numeric(item) -> bool:
    if item.dtype.names:
        return item.dtype.names in (("real", "imag"), ("r", "i"))
    return item.dtype.kind in "fciu" and kind_text(item) not in ("char", "logical", "cell")


def kind_text(item) -> str:
    """Name the type of an HDF5 array, in MATLAB's words where MATLAB wrote it."""
    kind = item.attrs.get("MATLAB_class", str(item.dtype))
    return kind.decode() if isinstance(kind, bytes) else str(kind)
