"""Cines of one size, in memory or on disk, and their split by patient."""

import os
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
import torch

from .formats import guard
from .formats.raw import error as _error


class Cines:
    """Cines of one size, checked, magnitudes in [0, 1].

    Parameters
    ----------
    array
        shape ``(n, t, y, x)``, float32 magnitude or complex64; memory-mapped it stays on disk
    source
        name without folder
    groups
        shape ``(n,)``, the patient of every cine; None where unknown
    notes
        what was done to the values on the way in
    phantom_seed
        of phantoms the seed of the set; None for other cines
    coils
        sensitivities of the receive coils, shape ``(1 or n, c, 1, y, x)``, complex64; None where they are unknown
    kspace
        what these coils measured, every line of it, shape ``(n, c, t, y, x)``, complex64; None where only images are
        known

    Attributes
    ----------
    source, groups, notes, phantom_seed, coils
        as above
    shape
        ``(n, t, y, x)``
    indices
        shape ``(n,)``, which cines of the source these are
    patients
        shape ``(n,)``, the names that a public set gives its patients (``patient001``); None where there are none
    """

    patients: np.ndarray | None = None

    def __init__(
        self,
        array: np.ndarray,
        source: str,
        groups: np.ndarray | None = None,
        notes: Sequence[str] = (),
        phantom_seed: int | None = None,
        coils: torch.Tensor | None = None,
        kspace: np.ndarray | None = None,
    ):
        self._kspace = kspace
        self._array, self.indices = array, np.arange(len(array))
        self.source, self.groups, self.notes = source, groups, list(notes)
        self.phantom_seed, self.coils = phantom_seed, coils

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> torch.Tensor:
        """Cine ``i``, shape ``(t, y, x)``: a copy, float32 magnitude or complex64."""
        return torch.from_numpy(np.array(self._array[self.indices[i]]))

    def __repr__(self) -> str:
        kind = "complex" if np.iscomplexobj(self._array) else "magnitude"
        return f"Cines({self.source!r}, {self.shape}, {kind})"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self), *self._array.shape[1:])

    def strips(self, indices: Sequence[int], start: Sequence[int], width: int) -> torch.Tensor:
        """Of each of these cines ``width`` columns from ``start`` on, shape ``(b, t, y, width)``: a copy."""
        windows = np.lib.stride_tricks.sliding_window_view(self._array, width, axis=-1)
        rows = self.indices[np.asarray(indices)]
        return torch.from_numpy(np.ascontiguousarray(windows[rows, :, :, np.asarray(start)]))

    @property
    def measured(self) -> bool:
        """Whether the k-space of these cines was measured, by several coils."""
        return self._kspace is not None

    def kspace(self, indices: Sequence[int]) -> torch.Tensor:
        """The measured k-space of these cines, every line of it, shape ``(b, c, t, y, x)``: a copy."""
        return torch.from_numpy(self._kspace[self.indices[np.asarray(indices)]])

    def subset(self, indices: Sequence[int]) -> "Cines":
        """Some of the cines, in the order given; shares memory with all of them."""
        rows = np.asarray(indices, dtype=int)
        part = Cines(self._array, self.source, None, self.notes, self.phantom_seed, self.coils, self._kspace)
        part.indices = self.indices[rows]
        part.groups = None if self.groups is None else self.groups[rows]
        if self.coils is not None and len(self.coils) > 1:
            part.coils = self.coils[torch.from_numpy(rows)]
        return part

    def magnitudes(self) -> "Cines":
        """The report's protocol: magnitudes, in memory, and one coil; cines that are so are returned as they are."""
        if not np.iscomplexobj(self._array) and self.coils is None:
            return self
        return Cines(np.abs(self.array()), self.source, self.groups, self.notes)

    def array(self) -> np.ndarray:
        """All cines at once, ``(n, t, y, x)``: all of a source without a copy, so leave it as it is."""
        whole = np.array_equal(self.indices, np.arange(len(self._array)))
        return self._array if whole else self._array[self.indices]

    def move_to(self, file: BinaryIO) -> None:
        """Keep the values at the end of a file and no longer in memory; where there is no room for them they stay."""
        start, array = file.seek(0, os.SEEK_END), np.ascontiguousarray(self._array)
        try:
            array.tofile(file)
        except OSError:  # a full disk
            return
        self._array = np.memmap(file, array.dtype, "r", start, array.shape)

    def tensor(self) -> torch.Tensor:
        """All cines at once, shape ``(n, t, y, x)``: a copy, float32 magnitude or complex64."""
        guard.fits(self.source, self.shape, self._array.itemsize)
        return torch.from_numpy(self._array[self.indices])


def split(cines: Cines, ratio: Sequence[float] = (4, 1, 2), seed: int = 0) -> tuple[Cines, Cines, Cines]:
    """Split into training, validation and test cines, never a patient on both sides.

    Groups are shuffled with the seed and dealt out in the given ratio, at least one to every part. Where
    groups are unknown every cine is a group of its own.

    Parameters
    ----------
    cines
        at least 3 groups
    ratio
        training : validation : test, counted in groups
    seed
        the same seed gives the same split on every machine

    Returns
    -------
        training, validation and test cines, each in the order they have in ``cines``

    Raises
    ------
    ValueError
        if the ratio is not three positive numbers
    DataError
        if there are fewer than 3 groups
    """
    if len(ratio) != 3 or not all(np.isfinite(r) and r > 0 for r in ratio):
        raise ValueError(
            f"expected three positive numbers training : validation : test, found {tuple(ratio)}"
        )
    groups = np.arange(len(cines)) if cines.groups is None else cines.groups
    patients = np.unique(groups)
    m = len(patients)
    if m < 3:
        kind = "cines" if cines.groups is None else f"groups ({len(cines)} cines)"
        raise _error(cines.source, f"{m} {kind}", "at least 3 to split into training, validation and test")
    patients = patients[torch.randperm(m, generator=random_generator(seed)).numpy()]
    first, second = np.rint(np.cumsum(ratio)[:2] / np.sum(ratio) * m).astype(int)
    first = np.clip(first, 1, m - 2)
    second = np.clip(second, first + 1, m - 1)
    parts = patients[:first], patients[first:second], patients[second:]
    return tuple(cines.subset(np.flatnonzero(np.isin(groups, part))) for part in parts)


def random_generator(*numbers: int) -> torch.Generator:
    """A generator that depends on all the numbers, the same on every machine."""
    numbers = [number % 2**64 for number in numbers]
    return torch.Generator().manual_seed(
        int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
    )
