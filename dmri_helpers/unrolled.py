"""Unrolled reconstruction: a network and the measured data take turns (notebook 06).

All functions of this module share these arrays; a ``ValueError`` for arrays that do not fit names both shapes.

- ``kspace``, ``A``: measured data and their `operators.ForwardModel`, with one coil or many; magnitudes of the image
  are of order 1
- ``image``: cine, shape ``(b, t, y, x)``, complex

The cascade is that of Schlemper et al., A deep cascade of convolutional neural networks for dynamic MR image
reconstruction, IEEE Trans Med Imaging 37:491 (2018); with coils its data step is that of Aggarwal, Mani & Jacob, MoDL,
IEEE Trans Med Imaging 38:394 (2019).
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from .operators import ForwardModel, Weight


class DataConsistency(nn.Module):
    """Bring image and measured data together: `ForwardModel.closest`, its weight given, learnt, or from the noise.

    Parameters
    ----------
    weight
        of the data; ``inf`` for hard consistency, right for data without noise
    learnable
        let training find the weight, from the finite one that is given
    noise_scale
        the weight is ``(scale / A.noise)^2`` instead, with a learnt scale that starts here: where the noise is as large
        as the scale, data and image count alike, and without noise the data are kept; 0: the noise is not looked at

    Raises
    ------
    ValueError
        if the weight is not positive, or learnable and infinite
    """

    def __init__(self, weight: float = torch.inf, learnable: bool = False, noise_scale: float = 0.0):
        super().__init__()
        if not weight > 0:
            raise ValueError(f"the weight of the data is positive, not {weight}")
        if learnable and weight == torch.inf:
            raise ValueError("an infinite weight cannot be learnt: start from a finite one, such as 10")
        self.log_weight = nn.Parameter(torch.tensor(float(weight)).log()) if learnable else None
        self.log_scale = nn.Parameter(torch.tensor(float(noise_scale)).log()) if noise_scale else None
        self.weight_at_start = weight

    def weight(self, noise: Weight) -> Weight:
        """The weight of data with this noise, whose shape is that of the weight if that depends on it."""
        if self.log_scale is not None:
            scale = self.log_scale.exp()
            noise = torch.as_tensor(noise, dtype=scale.dtype, device=scale.device)
            silent = noise == 0  # apart, since the gradient of (scale / 0)^2 is not a number
            return torch.where(silent, torch.inf, (scale / torch.where(silent, 1, noise)) ** 2)
        return self.weight_at_start if self.log_weight is None else self.log_weight.exp()

    def forward(self, image: torch.Tensor, aliased: torch.Tensor, A: ForwardModel) -> torch.Tensor:
        """Return the image that is close to ``image`` and to the data, given as ``aliased = A.adjoint(kspace)``."""
        return A.closest(image, aliased, self.weight(A.noise))


class Guided:
    """Call regularisers, in one reconstruction, with a hint beside the image and without a phase.

    Parameters
    ----------
    hint
        another simple reconstruction. Regularisers are then called with three cines: the image, the hint, and what the
        data changed in the image that was proposed last (zero at first); None: with the image alone
    phase
        ``exp(i phase)``, shape ``(b, 1, y, x)``: regularisers are shown images without it, so that what they learn on
        real images holds for complex ones, too; None: as they are
    """

    def __init__(self, hint: torch.Tensor | None = None, phase: torch.Tensor | None = None):
        self.hint, self.phase = hint, phase

    def __call__(
        self, regulariser: Callable[..., torch.Tensor], image: torch.Tensor, before: torch.Tensor | None
    ) -> torch.Tensor:
        """Propose a better image; ``before`` is what was proposed last."""
        shown: tuple[torch.Tensor, ...] = (image,)
        if self.hint is not None:
            shown = (image, self.hint, torch.zeros_like(image) if before is None else image - before)
        if self.phase is None:
            return regulariser(*shown)
        away = self.phase.conj()
        return self.phase * regulariser(*(cine * away for cine in shown))


class Unrolled(nn.Module):
    """A cascade: start, then regulariser and data consistency in turn.

    Parameters
    ----------
    make_regulariser
        makes a network, complex cine in and complex cine out, with a residual path; called once per cascade, in order,
        so that it may alternate between kinds, such as `networks.ResNet3D` and `networks.XFResNet3D`
    cascades
        how many turns
    start
        first image, ``start(kspace, A) -> cine``, such as `classical.temporal_mean`
    shared
        one regulariser for all cascades instead of one each
    data_weight, learnable_weight, noise_scale
        of each `DataConsistency`
    checkpointing
        keep only images while training and compute the rest again in the backward pass: memory of one cascade for
        about a third more time
    hint
        ``hint(kspace, A) -> cine``, such as `classical.view_sharing`, for `Guided`
    phase_of
        ``phase_of(start) -> exp(i phase)``, such as `classical.smooth_phase`, for `Guided`
    """

    def __init__(
        self,
        make_regulariser: Callable[[], nn.Module],
        cascades: int = 5,
        *,
        start: Callable[[torch.Tensor, ForwardModel], torch.Tensor],
        shared: bool = False,
        data_weight: float = torch.inf,
        learnable_weight: bool = False,
        noise_scale: float = 0.0,
        checkpointing: bool = False,
        hint: Callable[[torch.Tensor, ForwardModel], torch.Tensor] | None = None,
        phase_of: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ):
        super().__init__()
        if cascades < 1:
            raise ValueError(f"at least one cascade, not {cascades}")
        self.regularisers = nn.ModuleList(make_regulariser() for _ in range(1 if shared else cascades))
        self.consistencies = nn.ModuleList(
            DataConsistency(data_weight, learnable_weight, noise_scale) for _ in range(cascades)
        )
        self.start, self.hint, self.phase_of = start, hint, phase_of
        self.checkpointing = checkpointing

    def iterates(self, kspace: torch.Tensor, A: ForwardModel) -> Iterator[torch.Tensor]:
        """Yield the start and the image after every cascade."""
        aliased = A.adjoint(kspace)
        image, proposal = self.start(kspace, A), None
        propose = self._guided(kspace, A, image)
        yield image
        for regulariser, consistency in zip(cycle(self.regularisers), self.consistencies, strict=False):

            def turn(image, before, regulariser=regulariser, consistency=consistency):
                proposal = propose(regulariser, image, before)
                return consistency(proposal, aliased, A), proposal if self.hint else None

            image, proposal = self._kept(turn)(image, proposal)
            yield image

    def forward(self, kspace: torch.Tensor, A: ForwardModel) -> torch.Tensor:
        """Reconstruct: the last of the `iterates`."""
        *_, image = self.iterates(kspace, A)
        return image

    def _guided(self, kspace: torch.Tensor, A: ForwardModel, start: torch.Tensor) -> Guided:
        hint = start if self.hint is self.start else self.hint(kspace, A) if self.hint else None
        return Guided(hint, self.phase_of(start) if self.phase_of else None)

    def _kept(self, turn: Callable) -> Callable:
        """The turn as it is, or, with checkpointing, one of which only what goes in is kept."""
        if self.checkpointing and torch.is_grad_enabled():
            return partial(checkpoint, turn, use_reentrant=False)
        return turn
