"""Open cines from a file or from the phantom, check them, split them by patient, undersample them."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from ..operators import ForwardModel
from ..sampling import ky_t_mask, line_density
from .formats.raw import DataError as DataError
from .formats.raw import error as _error

_MASKS_AT_ONCE = 256  # drawing takes thirty times the memory of the masks


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

    Attributes
    ----------
    source, groups, notes, phantom_seed
        as above
    shape
        ``(n, t, y, x)``
    indices
        shape ``(n,)``, which cines of the source these are
    """

    def __init__(
        self,
        array: np.ndarray,
        source: str,
        groups: np.ndarray | None = None,
        notes: Sequence[str] = (),
        phantom_seed: int | None = None,
    ):
        self._array, self.indices = array, np.arange(len(array))
        self.source, self.groups, self.notes = source, groups, list(notes)
        self.phantom_seed = phantom_seed

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

    def subset(self, indices: Sequence[int]) -> "Cines":
        """Some of the cines, in the order given; shares memory with all of them."""
        part = Cines(self._array, self.source, None, self.notes, self.phantom_seed)
        part.indices = self.indices[np.asarray(indices, dtype=int)]
        part.groups = None if self.groups is None else self.groups[np.asarray(indices, dtype=int)]
        return part

    def tensor(self) -> torch.Tensor:
        """All cines at once, shape ``(n, t, y, x)``: a copy, float32 magnitude or complex64."""
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
    patients = patients[torch.randperm(m, generator=_generator(seed)).numpy()]
    first, second = np.rint(np.cumsum(ratio)[:2] / np.sum(ratio) * m).astype(int)
    first = np.clip(first, 1, m - 2)
    second = np.clip(second, first + 1, m - 1)
    parts = patients[:first], patients[first:second], patients[second:]
    return tuple(cines.subset(np.flatnonzero(np.isin(groups, part))) for part in parts)


class UndersampledCines(Dataset):
    """Cines undersampled on the fly.

    For training every cine gets a fresh mask and a fresh readout crop in every epoch, drawn from
    ``(seed, epoch)`` alone: whichever way the samples are taken, and in whatever batches, they are the same.
    For validation and test masks are fixed and cines whole.

    A crop is exact: the readout is fully sampled, so a strip of columns is a smaller problem of its own.

    Parameters
    ----------
    cines
        the fully sampled cines
    acceleration, center_lines, density
        see `sampling.ky_t_mask`; the density ``"mixed"`` draws one of the two for every cine
    seed
        of masks, crops and order
    training
        fresh masks, crops, shuffled `batches`
    crop
        columns per training sample; all where None, 0 or more than there are
    mask
        one mask for all cines and epochs, shape ``(1, t, y, 1)``, instead of drawing any
    acceleration_to
        draw the acceleration of every cine between ``acceleration`` and this; 0: all have the same
    noise
        largest standard deviation, in units of the image, of complex white noise on the measured lines; every cine
        draws its own between 0 and this. The target stays clean
    augment
        for training: images upside down or mirrored, time from another frame on or backwards, each drawn for
        every cine. Exact: a cine is periodic and nothing is interpolated
    phase
        for training: standard deviation, in radians, of the six coefficients of a quadratic phase over the image

    Raises
    ------
    ValueError
        if the mask is impossible, the crop negative or the range of accelerations empty
    """

    def __init__(
        self,
        cines: Cines,
        acceleration: float = 5,
        center_lines: int = 11,
        density: str = "quadratic",
        seed: int = 0,
        training: bool = False,
        crop: int | None = None,
        mask: torch.Tensor | None = None,
        *,
        acceleration_to: float = 0,
        noise: float = 0,
        augment: bool = False,
        phase: float = 0,
    ):
        if crop is not None and crop < 0:
            raise ValueError(f"a crop has at least 1 column (0: all), not {crop}")
        if acceleration_to and acceleration_to < acceleration:
            raise ValueError(
                f"accelerations from {acceleration:g} to {acceleration_to:g}: the second is the larger (0: no range)"
            )
        if acceleration_to:  # possible too, and not only those that are drawn first
            ky_t_mask((1, cines.shape[2], 1), acceleration_to, center_lines)
        self.cines, self.seed, self.training, self.mask = cines, seed, training, mask
        self.acceleration, self.center_lines, self.density = acceleration, center_lines, density
        self.acceleration_to, self.noise, self.augment, self.phase = acceleration_to, noise, augment, phase
        self.width = min(crop or cines.shape[-1], cines.shape[-1]) if training else cines.shape[-1]
        self.set_epoch(0)

    def set_epoch(self, epoch: int, device: torch.device | str = "cpu") -> None:
        """Draw the masks, crops and order of an epoch; for validation and test nothing changes.

        The random numbers are the same for every device; masks are made of them there. With a torch ``DataLoader``
        call it before each epoch, and leave ``persistent_workers`` off.
        """
        n, columns = len(self.cines), self.cines.shape[-1]
        numbers = self.seed, epoch if self.training else 0
        generator = _generator(*numbers)
        self._order = torch.randperm(n, generator=generator) if self.training else torch.arange(n)
        self._start = torch.randint(columns - self.width + 1, (n,), generator=generator)
        options = _generator(*numbers, 1)  # so that no option changes what is drawn without it
        uniform = torch.rand(7, n, generator=options, dtype=torch.float64)
        self._phase = self.phase * torch.randn(n, 6, generator=options)
        self._noise_seed = torch.randint(2**62, (n,), generator=options)
        self._noise = self.noise * uniform[0]
        self._flips = uniform[1:4] < 0.5
        self._first_frame = (uniform[4] * self.cines.shape[1]).long()
        if self.mask is not None:
            self._masks = self.mask.expand(n, -1, -1, -1).to(device)
            return
        slowest = self.acceleration_to or self.acceleration
        accelerations = self.acceleration + uniform[5] * (slowest - self.acceleration)
        density = self.density
        if density == "mixed":
            both = torch.stack(
                [line_density(self.cines.shape[2], name) for name in ("quadratic", "gaussian")]
            )
            density = both[(uniform[6] < 0.5).long()]
        parts = []
        for start in range(0, n, _MASKS_AT_ONCE):
            part = slice(start, min(start + _MASKS_AT_ONCE, n))
            weights = density if isinstance(density, str) else density[part]
            shape = part.stop - start, *self.cines.shape[1:]
            sampling = accelerations[part], self.center_lines, weights
            parts.append(ky_t_mask(shape, *sampling, generator=generator, device=device))
        self._masks = torch.cat(parts)

    def __len__(self) -> int:
        return len(self.cines)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Sample ``i``: k-space and target ``(t, y, x)`` complex64, mask ``(t, y, 1)`` bool in between."""
        kspace, mask, target = self._batch(torch.arange(len(self))[i][None], "cpu")
        return kspace[0], mask[0], target[0]

    def batches(
        self, batch_size: int, device: torch.device | str = "cpu", share: tuple[int, int] = (0, 1)
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Every cine once, in batches; undersampled on the device, a whole batch at a time.

        Parameters
        ----------
        batch_size
            cines per batch; the last batch may be smaller
        device
            where the batches are made
        share
            ``(i, n)``: of every batch only the ``i``-th of ``n`` parts, as `torch.tensor_split` cuts it; where a
            part would be empty, the first cine of the batch, so that ``n`` processes take equally many steps

        Yields
        ------
            k-space ``(b, t, y, x)`` complex64, mask ``(b, t, y, 1)`` bool, target ``(b, t, y, x)`` complex64
        """
        part, parts = share
        for indices in self._order.split(batch_size):
            mine = indices.tensor_split(parts)[part]
            yield self._batch(mine if len(mine) else indices[:1], device)

    def _batch(self, indices: torch.Tensor, device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        target = self.cines.strips(indices, self._start[indices], self.width).to(device)
        if self.training and self.augment:
            target = self._augmented(target, indices)
        target = target.to(torch.complex64)
        if self.training and self.phase:
            target = target * self._phase_factor(indices, device)
        mask = self._masks[indices.to(self._masks.device)].to(device)
        kspace = ForwardModel(mask).forward(target)
        if self.noise:
            level = self._noise[indices].to(device, torch.float32)[:, None, None, None]
            kspace = kspace + level * mask * _complex_normal(
                self._noise_seed[indices].to(device), kspace.shape
            )
        return kspace, mask, target

    def _augmented(self, target: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        b, *sizes = target.shape
        t, y, x = (
            torch.where(flip[:, None], size - 1 - torch.arange(size), torch.arange(size))
            for flip, size in zip(self._flips[:, indices], sizes, strict=True)
        )
        t = (t + self._first_frame[indices, None]) % sizes[0]
        t, y, x = (
            of.to(target.device) for of in (t[:, :, None, None], y[:, None, :, None], x[:, None, None, :])
        )
        return target[torch.arange(b, device=target.device)[:, None, None, None], t, y, x]

    def _phase_factor(self, indices: torch.Tensor, device) -> torch.Tensor:
        """``exp(i p(y, x))`` with a polynomial of second order, y and x from -1 to 1; shape ``(b, 1, y, x)``."""
        lines, columns = self.cines.shape[2:]
        y = torch.linspace(-1, 1, lines)[None, :, None]
        x = (2 * (self._start[indices, None] + torch.arange(self.width)) / max(columns - 1, 1) - 1)[:, None]
        y, x = torch.broadcast_tensors(y, x)
        powers = torch.stack([torch.ones_like(x), y, x, y * y, y * x, x * x], -1)
        angle = (powers @ self._phase[indices, None, :, None]).squeeze(-1).to(device)
        return torch.polar(torch.ones_like(angle), angle)[:, None]


def _complex_normal(seeds: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Complex normal numbers ``(b, ...)`` of variance 1, from one seed per sample: the same in whatever batch.

    SplitMix64 [1]_ of a counter gives 64 random bits per number; half of them make a radius, half an angle [2]_.

    References
    ----------
    .. [1] Steele, Lea & Flood, Fast splittable pseudorandom number generators, OOPSLA (2014), figure 16.
    .. [2] Box & Muller, A note on the generation of random normal deviates, Ann Math Stat 29:610 (1958).
    """
    counter = torch.arange(1, math.prod(shape[1:]) + 1, device=seeds.device)
    bits = seeds[:, None] - 0x61C8864680B583EB * counter  # 64 bits, modulo 2^64 as in the paper
    bits = (bits ^ (bits >> 30) & (1 << 34) - 1) * -0x40A7B892E31B1A47
    bits = (bits ^ (bits >> 27) & (1 << 37) - 1) * -0x6B2FB644ECCEEE15
    bits = bits ^ (bits >> 31) & (1 << 33) - 1
    low, high = bits & 0xFFFFFFFF, (bits >> 32) & 0xFFFFFFFF
    radius = (-((low.double() + 1) / 2**32).log()).sqrt()
    return torch.polar(radius, high.double() * (2 * math.pi / 2**32)).to(torch.complex64).reshape(shape)


def _generator(*numbers: int) -> torch.Generator:
    """A generator that depends on all the numbers, the same on every machine."""
    numbers = [number % 2**64 for number in numbers]
    return torch.Generator().manual_seed(
        int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
    )
