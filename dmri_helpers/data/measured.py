"""K-space that was measured: cines with a truth if every line is there, or samples to reconstruct (notebook 07)."""

import numpy as np
import torch
from tqdm import tqdm

from ..calibration import coil_maps, map_error, noise_level
from ..fourier import ifft2c
from ..operators import ForwardModel
from .cines import Cines
from .formats.raw import Raw
from .formats.raw import error as _error

CALIBRATION = 24  # central lines of which maps of the coils are made where every line is there


class Measured:
    """Undersampled k-space as a scanner measured it, whose image nobody knows.

    Parameters
    ----------
    kspace
        shape ``(n, c, t, y, x)``, complex64, zero where not sampled
    sampled
        shape ``(n, t, y)``, the lines that were sampled
    source, groups, notes
        as of `Cines`
    coils
        maps of the coils, shape ``(1 or n, c, 1, y, x)``; None: they are estimated from the central lines
    """

    patients = None

    def __init__(
        self,
        kspace: np.ndarray,
        sampled: np.ndarray,
        source: str,
        groups: np.ndarray | None = None,
        notes: list[str] | None = None,
        coils: torch.Tensor | None = None,
    ):
        self.kspace, self.sampled, self.source, self.groups = kspace, sampled, source, groups
        self.notes, self.coils = notes or [], coils

    def __len__(self) -> int:
        return len(self.kspace)

    def __repr__(self) -> str:
        return f"Measured({self.source!r}, {self.shape}, {self.number_of_coils} coils)"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the cines, ``(n, t, y, x)``."""
        return len(self), *self.kspace.shape[2:]

    @property
    def number_of_coils(self) -> int:
        return self.kspace.shape[1]

    @property
    def masks(self) -> torch.Tensor:
        """Shape ``(n, t, y, 1)``, True where sampled."""
        return torch.from_numpy(self.sampled[..., None])

    def __getitem__(self, i: int) -> tuple[torch.Tensor, ForwardModel]:
        """K-space and forward model of cine ``i``, a batch of one; the mean over time of its image reaches 1.

        The noise of the forward model is what `calibration` finds in the data, and of maps their error beside it.

        Raises
        ------
        DataError
            if maps have to be estimated and too few central lines are sampled in all frames
        """
        kspace, mask = torch.from_numpy(self.kspace[i])[None], self.masks[i][None]
        if self.number_of_coils == 1 and self.coils is None:
            kspace, A = kspace[:, 0], ForwardModel(mask)
        else:
            A = ForwardModel(mask, self._maps(i, kspace, mask))
        lines = A.lines.sum(-3, keepdim=True).clamp(min=1)
        mean = A.combine(ifft2c(kspace.sum(-3, keepdim=True) / lines))
        kspace = kspace / mean.abs().max()
        A.noise = noise_level(kspace, mask)
        if A.coils is not None:
            A.noise = (A.noise**2 + map_error(kspace, mask, A.coils) ** 2).sqrt()
        return kspace, A

    def _maps(self, i: int, kspace: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if self.coils is not None:
            return self.coils[i % len(self.coils)][None]
        try:
            return coil_maps(kspace, mask)
        except ValueError as wrong:
            raise _error(
                self.source, f"cine {i} without maps of its coils: {wrong}", "more lines in every frame"
            ) from None


def cines_of(raw: Raw, source: str, groups: np.ndarray | None, coils: torch.Tensor | None) -> Cines:
    """Make cines of k-space of which every line was measured: the coils combined, the peak of every cine 1.

    The image is ``sum_c conj(S_c) F^-1 y_c``. Maps that the file does not have are estimated from the central lines
    (`calibration.coil_maps`). The k-space itself is kept, so that it is what `UndersampledCines` undersamples.
    """
    kspace, notes, given = raw.kspace, list(raw.notes), coils is not None
    n, c, _, y, _ = kspace.shape
    images = np.empty((n, *kspace.shape[2:]), np.complex64)
    central = (torch.arange(y) - y // 2).abs()[None, None, :, None] < CALIBRATION / 2
    maps = []
    for i in tqdm(range(n), "coils combined" if c > 1 else "cines", unit="cine", delay=2):
        data = torch.from_numpy(kspace[i])[None]
        if given:
            own = coils[i % len(coils)][None]
        elif c > 1:
            try:
                own = coil_maps(data * central, central.expand(1, data.shape[2], -1, -1))
            except ValueError as wrong:
                raise _error(
                    raw.path, f"cine {i} without maps of its coils: {wrong}", "raw data of coils"
                ) from None
            maps.append(own)
        else:
            own = torch.ones(1, 1, 1, 1, 1)
        image = (own.conj() * ifft2c(data)).sum(1)[0]
        if not image.any():
            raise _error(raw.path, f"k-space whose image is zero (cine {i})", "maps that fit the coils")
        scale = float(image.abs().max())
        images[i], kspace[i] = image / scale, kspace[i] / scale
    if c > 1:
        how = "of the file" if given else f"estimated from the {CALIBRATION} central lines"
        done = f"coils combined by the maps {how}"
    else:
        done = "one coil, transformed to images"
    notes.append(f"k-space of every line: {done}, divided by the largest magnitude of the cine")
    coils = torch.cat(maps) if maps else coils
    return Cines(images, source, groups, notes, coils=coils, kspace=None if coils is None else kspace)
