"""Cines undersampled on the fly: masks, phase, noise and coils drawn for every cine, from seed and epoch alone.

A sample is what a reconstruction is given, and the truth: k-space, its `operators.ForwardModel` and the target.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from ..calibration import coil_maps, map_error, noise_level
from ..operators import ForwardModel
from ..profiles import TrainConfig
from ..sampling import ky_t_mask, line_density
from .cines import Cines, random_generator
from .phantom import coils as array
from .phantom import phase as scanner_phase

Sample = tuple[torch.Tensor, ForwardModel, torch.Tensor]

ARRAYS = 8  # different arrays of coils around different chests
WITHOUT_PHASE, WITHOUT_NOISE = 1 / 5, 1 / 3  # shares of the cines where these are drawn
_MASKS_AT_ONCE = 256  # drawing takes thirty times the memory of the masks


class UndersampledCines:
    """Cines undersampled on the fly.

    For training every cine gets a fresh mask and a fresh readout crop in every epoch, drawn from
    ``(seed, epoch)`` alone: whichever way the samples are taken, and in whatever batches, they are the same.
    For validation and test everything is drawn once and cines are whole.

    A crop is exact: the readout is fully sampled, so a strip of columns is a smaller problem of its own.

    Where the k-space of several coils was measured, it is undersampled itself, for validation and test without
    simulated coils or phase. For training the images and the maps of the coils make k-space anew, without its noise.

    Parameters
    ----------
    cines
        the fully sampled cines
    acceleration, center_lines, density
        see `sampling.ky_t_mask`; the density ``"mixed"`` draws one of the two for every cine
    seed
        of everything that is drawn
    training
        fresh draws in every epoch, crops, shuffled `batches`
    crop
        columns per training sample; all where None, 0 or more than there are
    mask
        one mask for all cines and epochs, shape ``(1, t, y, 1)``, instead of drawing any
    acceleration_to, center_lines_to
        draw these for every cine between the first number and this, as far as the acceleration leaves room for centre
        lines; 0: all cines have the same
    noise
        largest standard deviation, in units of the image, of complex white noise on the measured lines. The forward
        model says how much it is; the target stays clean
    phase
        largest strength of a scanner's phase (`data.phantom.phase`). A third of the cines that are complex keep their
        own phase beside it, the others lose it
    coils
        receive coils around the chest (`data.phantom.coils`); 0: those of the cines, where they have coils, or else
        one, as sensitive everywhere
    augment
        for training: images upside down or mirrored, time from another frame on or backwards, each drawn for every
        cine. Exact: a cine is taken to be periodic and nothing is interpolated
    cines_per_epoch
        for training: so many of the cines in every epoch, drawn anew; 0: all
    vary
        draw noise and phase of every cine between 0 and the largest, a share of them 0; False: all have the largest
    estimate_coils
        the forward model has coil maps that are estimated from the data, as in a scanner, not the true ones, and counts
        their error as noise (`calibration.map_error`). The target keeps its phase, so only magnitudes compare

    Raises
    ------
    ValueError
        if the mask or the number of coils is impossible, the crop or noise, phase, seed negative or too large, or a
        range empty
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
        center_lines_to: int = 0,
        noise: float = 0,
        phase: float = 0,
        coils: int = 0,
        augment: bool = False,
        cines_per_epoch: int = 0,
        vary: bool = True,
        estimate_coils: bool = False,
    ):
        if crop is not None and crop < 0:
            raise ValueError(f"a crop has at least 1 column (0: all), not {crop}")
        for name, first, second in (
            ("accelerations", acceleration, acceleration_to),
            ("centre lines", center_lines, center_lines_to),
        ):
            if second and second < first:
                raise ValueError(
                    f"{name} from {first:g} to {second:g}: the second is the larger (0: no range)"
                )
        for name, value in (("noise", noise), ("phase", phase)):
            if not 0 <= value <= 1e9:
                raise ValueError(f"{name} {value:g}: expected a number from 0 to 1e9")
        if not 0 <= seed < 2**63:
            raise ValueError(f"seed {seed}: expected a number from 0 to 2^63 - 1")
        if acceleration_to:  # possible too, and not only those that are drawn first
            ky_t_mask((1, cines.shape[2], 1), acceleration_to, center_lines)
        if coils:
            array.coil_maps(coils, cines.shape[2:])
        self.cines, self.seed, self.training, self.mask = cines, seed, training, mask
        self.acceleration, self.acceleration_to, self.density = acceleration, acceleration_to, density
        self.center_lines, self.center_lines_to = center_lines, center_lines_to
        self.noise, self.phase, self.coils = noise, phase, coils
        self.augment, self.vary, self.estimate_coils = augment and training, vary, estimate_coils
        self.width = min(crop or cines.shape[-1], cines.shape[-1]) if training else cines.shape[-1]
        self.cines_per_epoch = min(cines_per_epoch or len(cines), len(cines)) if training else len(cines)
        self.set_epoch(0)

    def describe(self) -> dict:
        """How the cines are sampled, to be written beside results."""
        names = (
            "seed acceleration acceleration_to center_lines center_lines_to density noise phase vary "
            "estimate_coils augment"
        )
        return {name: getattr(self, name) for name in names.split()} | {
            "coils": self.number_of_coils,
            "columns": self.width,
            "one_mask_for_all": self.mask is not None,
        }

    def set_epoch(self, epoch: int, device: torch.device | str = "cpu") -> None:
        """Draw what an epoch needs; for validation and test nothing changes.

        The random numbers are the same for every device; masks are made of them there.
        """
        n, (t, _, columns) = len(self.cines), self.cines.shape[1:]
        numbers = self.seed, epoch if self.training else 0
        generator = random_generator(*numbers)
        self._order = torch.randperm(n, generator=generator) if self.training else torch.arange(n)
        self._start = torch.randint(columns - self.width + 1, (n,), generator=generator)
        options = random_generator(*numbers, 1)  # so that no option changes what is drawn without it
        uniform = torch.rand(12, n, generator=options, dtype=torch.float64)
        self._seeds = torch.randint(2**62, (3, n), generator=options)
        self._flips, self._first_frame = uniform[1:4] < 0.5, (uniform[4] * t).long()
        self._noise = self.noise * self._strength(uniform[0], WITHOUT_NOISE)
        self._phase = self.phase * self._strength(uniform[7], WITHOUT_PHASE)
        self._keeps_phase = uniform[8] < 1 / 3
        self._masks = self._draw_masks(uniform[5], uniform[6], uniform[9], generator, device)

    def _strength(self, uniform: torch.Tensor, none: float) -> torch.Tensor:
        """From 0 to 1, a share ``none`` of them 0; or 1 for all."""
        return ((uniform - none) / (1 - none)).clamp(min=0) if self.vary else torch.ones_like(uniform)

    def _draw_masks(self, speed, kind, centre, generator, device) -> torch.Tensor:
        n, shape = len(self.cines), self.cines.shape[1:]
        if self.mask is not None:
            return self.mask.expand(n, -1, -1, -1).to(device)
        slowest = self.acceleration_to or self.acceleration
        accelerations = self.acceleration + speed * (slowest - self.acceleration)
        density = self.density
        if density == "mixed":
            both = torch.stack([line_density(shape[1], name) for name in ("quadratic", "gaussian")])
            density = both[(kind < 0.5).long()]
        center_lines = torch.full((n,), self.center_lines)
        if self.center_lines_to:
            most = (0.8 * shape[1] / accelerations).clamp(min=self.center_lines, max=self.center_lines_to)
            center_lines = (self.center_lines + centre * (most - self.center_lines + 1)).long()
        at_once = 1 if self.center_lines_to else _MASKS_AT_ONCE
        masks = []
        for start in range(0, n, at_once):
            part = slice(start, min(start + at_once, n))
            weights = density if isinstance(density, str) else density[part]
            sampling = accelerations[part], int(center_lines[start]), weights
            masks.append(
                ky_t_mask((part.stop - start, *shape), *sampling, generator=generator, device=device)
            )
        return torch.cat(masks)

    @property
    def number_of_coils(self) -> int:
        """Of the k-space: those that are simulated, or those of the cines; 0 without a coil axis."""
        return self.coils or (0 if self.cines.coils is None else self.cines.coils.shape[1])

    def __len__(self) -> int:
        return self.cines_per_epoch

    def __getitem__(self, i: int) -> Sample:
        """Sample ``i`` as a batch of one."""
        return self._batch(torch.arange(len(self.cines))[i][None], "cpu")

    def batches(
        self, batch_size: int, device: torch.device | str = "cpu", share: tuple[int, int] = (0, 1)
    ) -> Iterator[Sample]:
        """Every cine of the epoch once, in batches; undersampled on the device, a whole batch at a time.

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
            k-space ``(b, t, y, x)``, or ``(b, c, t, y, x)`` with coils, its forward model, target ``(b, t, y, x)``;
            complex64
        """
        part, parts = share
        for indices in self._order[: len(self)].split(batch_size):
            mine = indices.tensor_split(parts)[part]
            yield self._batch(mine if len(mine) else indices[:1], device)

    def _batch(self, indices: torch.Tensor, device) -> Sample:
        with torch.autocast(torch.device(device).type, enabled=False):  # full precision, whoever asks
            return self._measure(indices, device)

    def _measure(self, indices: torch.Tensor, device) -> Sample:
        target = self.cines.strips(indices, self._start[indices], self.width).to(device)
        if self.augment:
            target = self._augmented(target, indices)
        target = target.to(torch.complex64)
        if self.phase:
            target = self._with_phase(target, indices)
        mask = self._masks[indices.to(self._masks.device)].to(device)
        A = ForwardModel(mask, self._coil_maps(indices, device))
        kspace = A(target)
        if self.cines.measured and not (self.training or self.coils or self.phase):
            kspace = self.cines.kspace(indices).to(device) * A.lines
            A.noise = noise_level(kspace, mask)
        if self.noise:
            noise = self._noise[indices].to(device, torch.float32)
            A.noise = (noise**2 + torch.as_tensor(A.noise) ** 2).sqrt()
            normal = torch.stack([_complex_normal(int(s), kspace.shape[1:]) for s in self._seeds[0, indices]])
            level = noise.reshape(-1, *[1] * (kspace.ndim - 1))
            kspace = kspace + level * A.lines * normal.to(device)
        if A.coils is not None and self.estimate_coils:
            maps = coil_maps(kspace, mask)
            error = map_error(kspace, mask, maps)
            A = ForwardModel(mask, maps, (error**2 + torch.as_tensor(A.noise) ** 2).sqrt())
        return kspace, A, target

    def _coil_maps(self, indices: torch.Tensor, device) -> torch.Tensor | None:
        if self.coils:
            seeds = self._seeds[2, indices] % ARRAYS
            maps = [array.coil_maps(self.coils, self.cines.shape[2:], int(seed))[0] for seed in seeds]
        elif self.cines.coils is not None:
            maps = list(self.cines.coils.expand(len(self.cines), -1, -1, -1, -1)[indices])
        else:
            return None
        columns = zip(maps, self._start[indices].tolist(), strict=True)
        return torch.stack([one[..., start : start + self.width] for one, start in columns]).to(device)

    def _augmented(self, target: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        b, *sizes = target.shape
        t, y, x = (
            torch.where(flip[:, None], size - 1 - torch.arange(size), torch.arange(size))
            for flip, size in zip(self._flips[:, indices], sizes, strict=True)
        )
        t = (t + self._first_frame[indices, None]) % sizes[0]
        t, y, x = (
            index.to(target.device)
            for index in (t[:, :, None, None], y[:, None, :, None], x[:, None, None, :])
        )
        return target[torch.arange(b, device=target.device)[:, None, None, None], t, y, x]

    def _with_phase(self, target: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        """A scanner's phase, of the strength that was drawn, on magnitudes or on top of the image's own phase."""
        keeps = self._keeps_phase[indices] & (self._phase[indices] > 0)
        image = torch.where(keeps[:, None, None, None].to(target.device), target, target.abs())
        factor = scanner_phase.phase(
            self._seeds[1, indices],
            self.cines.shape[1:],
            self._phase[indices],
            columns=(self._start[indices], self.width),
            change=scanner_phase.changing(image).cpu(),
        )
        return image * factor.to(target.device)


SAMPLING = tuple(
    "acceleration acceleration_to center_lines center_lines_to density noise phase coils".split()
)
"""Fields of a `TrainConfig` that say how all three parts of the cines are sampled."""


def samples(
    parts: Sequence[Cines], config: TrainConfig
) -> tuple[UndersampledCines, UndersampledCines, UndersampledCines]:
    """Undersample training, validation and test cines as a configuration says, all of it.

    Validation and test are sampled like training, with draws of their own that stay as they are: a network that is
    trained on phase and noise is chosen and measured on phase and noise.

    Parameters
    ----------
    parts
        training, validation and test cines, as `split` gives them
    config
        sampling, phase, noise, coils; crop and augmentation of the training samples; the seed, from which those of
        validation and test follow
    """
    shared = {name: getattr(config, name) for name in SAMPLING}
    drawn = {name: getattr(config, name) for name in ("crop", "augment", "cines_per_epoch")}
    training, validation, test = parts
    return (
        UndersampledCines(training, **shared, **drawn, seed=config.seed, training=True),
        UndersampledCines(validation, **shared, seed=config.seed + 1),
        UndersampledCines(test, **shared, seed=config.seed + 2),
    )


def _complex_normal(seed: int, shape: Sequence[int]) -> torch.Tensor:
    """Complex normal numbers of variance 1 from a seed, by NumPy's counter-based Philox generator."""
    random = np.random.Generator(np.random.Philox(seed))
    parts = random.standard_normal((*shape, 2), dtype=np.float32) * np.float32(0.5**0.5)
    return torch.view_as_complex(torch.from_numpy(parts))
