"""Unrolled reconstruction: a network and the measured data take turns [1]_.

References
----------
.. [1] Schlemper et al., A deep cascade of convolutional neural networks for dynamic MR image reconstruction,
   IEEE Trans Med Imaging 37:491 (2018).
"""

from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from .fourier import fftc_y, ifft2c, ifftc_y
from .operators import ForwardModel


class DataConsistency(nn.Module):
    """Put the measured lines back into an image.

    Minimises ``||m - x||^2 + weight ||U F m - y||^2`` over ``m``. The normal equations are diagonal in k-space:
    unsampled lines keep those of the image ``x``, sampled ones become ``(F x + weight y) / (1 + weight)``
    (Schlemper et al., equation 6). An infinite weight is hard consistency: ``U F m = y`` exactly.

    Parameters
    ----------
    weight
        of the data; ``inf`` for hard consistency, right for data without noise
    learnable
        let training find the weight, from the finite one that is given

    Raises
    ------
    ValueError
        if the weight is not positive, or learnable and infinite
    """

    def __init__(self, weight: float = torch.inf, learnable: bool = False):
        super().__init__()
        if not weight > 0:
            raise ValueError(f"the weight of the data is positive, not {weight}")
        if learnable and weight == torch.inf:
            raise ValueError("an infinite weight cannot be learnt: start from a finite one, such as 10")
        log_weight = torch.tensor(float(weight)).log()
        self.log_weight = nn.Parameter(log_weight) if learnable else None
        self.weight_at_start = weight

    @property
    def share(self) -> torch.Tensor | float:
        """``weight / (1 + weight)``: how much of a sampled line comes from the data; 1 is hard consistency."""
        if self.log_weight is not None:
            return torch.sigmoid(self.log_weight)
        return 1.0 if self.weight_at_start == torch.inf else self.weight_at_start / (1 + self.weight_at_start)

    def forward(self, image: torch.Tensor, hybrid: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the image that agrees with the data; only ``ky`` is transformed, since columns are independent.

        Parameters
        ----------
        image
            cine, shape ``(b, t, y, x)``, complex
        hybrid
            measured data in ``(ky, x)``, shape ``(b, t, y, x)``: k-space after the inverse readout transform
        mask
            shape ``(b or 1, t, y, 1)``, True where sampled

        Returns
        -------
            cine, shape ``(b, t, y, x)``, complex, units of ``image``
        """
        of_image = fftc_y(image)
        return ifftc_y(torch.where(mask, of_image + self.share * (hybrid - of_image), of_image))


class Unrolled(nn.Module):
    """A cascade: start, then regulariser and data consistency in turn.

    Parameters
    ----------
    make_regulariser
        makes a network, complex cine in and complex cine out, with a residual path; called once per cascade
    cascades
        how many turns
    start
        first image, ``start(kspace, mask) -> cine``, such as `classical.temporal_mean`
    shared
        one regulariser for all cascades instead of one each
    data_weight, learnable_weight
        of each `DataConsistency`
    checkpointing
        keep only the image between cascades while training and compute the rest again in the backward pass:
        memory of one cascade for about a third more time
    hint
        another simple reconstruction, such as `classical.view_sharing`. The regulariser is then called with three
        cines: the image, the hint, and what the data changed in the image last time (zero at first)
    phase_of
        ``phase_of(start) -> exp(i phase)``, such as `classical.slow_phase`: regularisers are shown images without that
        phase, so that what they learn on real images holds for complex ones, too
    """

    def __init__(
        self,
        make_regulariser: Callable[[], nn.Module],
        cascades: int = 5,
        *,
        start: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        shared: bool = False,
        data_weight: float = torch.inf,
        learnable_weight: bool = False,
        checkpointing: bool = False,
        hint: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
        phase_of: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ):
        super().__init__()
        if cascades < 1:
            raise ValueError(f"at least one cascade, not {cascades}")
        self.start = start
        self.cascades = cascades
        self.regularisers = nn.ModuleList(make_regulariser() for _ in range(1 if shared else cascades))
        self.consistencies = nn.ModuleList(
            DataConsistency(data_weight, learnable_weight) for _ in range(cascades)
        )
        self.checkpointing = checkpointing
        self.hint = hint
        self.phase_of = phase_of

    def iterates(self, kspace: torch.Tensor, mask: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the start and the image after every cascade, each ``(b, t, y, x)``, complex."""
        ForwardModel(mask).check(kspace)
        hybrid = fftc_y(ifft2c(kspace))
        image = self.start(kspace, mask)
        beside = ()
        if self.hint:
            hint = image if self.hint is self.start else self.hint(kspace, mask)
            beside = hint, torch.zeros_like(image)
        phase = self.phase_of(image) if self.phase_of else None
        yield image
        for cascade in range(self.cascades):
            image, change = self._cascade(cascade, image, beside, hybrid, mask, phase)
            beside = (beside[0], change) if self.hint else ()
            yield image

    def forward(self, kspace: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Reconstruct.

        Parameters
        ----------
        kspace
            shape ``(b, t, y, x)``, zero where not sampled; magnitudes of the image of order 1
        mask
            shape ``(b or 1, t, y, 1)``, True where sampled

        Returns
        -------
            cine, shape ``(b, t, y, x)``, complex

        Raises
        ------
        ValueError
            if the shapes do not match; the message names both
        """
        *_, image = self.iterates(kspace, mask)
        return image

    def _cascade(
        self,
        cascade: int,
        image: torch.Tensor,
        beside: tuple[torch.Tensor, ...],
        hybrid: torch.Tensor,
        mask: torch.Tensor,
        phase: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The next image, and what the data changed in what the network had proposed."""
        regulariser = self.regularisers[cascade % len(self.regularisers)]
        consistency = self.consistencies[cascade]

        def turn(image: torch.Tensor, *beside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            if phase is None:
                proposal = regulariser(image, *beside)
            else:
                proposal = phase * regulariser(*(seen * phase.conj() for seen in (image, *beside)))
            consistent = consistency(proposal, hybrid, mask)
            return consistent, consistent - proposal

        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(turn, image, *beside, use_reentrant=False)
        return turn(image, *beside)
