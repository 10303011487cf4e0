"""Reconstruction without learning: the lines that every network has to beat (notebook 02; coils: 07).

Every method has one shape, ``reconstruct(kspace, A) -> cine``. All functions of this module share these arguments and
results; a ``ValueError`` for arrays that do not fit names both shapes.

- ``kspace``: shape ``(b, t, y, x)``, with coils ``(b, c, t, y, x)``, arbitrary units, zero where not sampled
- ``A``: its `operators.ForwardModel`: mask, coils, noise
- result: cine, shape ``(b, t, y, x)``, complex, units of ``kspace``

The iterative methods share more:

- ``data_weight``: weight of the data for magnitudes of order 1 (k-space is scaled inside, so that no parameter depends
  on its units). None, the default, derives it from ``A.noise``: infinite without noise, which keeps the measured lines
  as they are
- ``iterations``: at most so many
- ``tolerance``: a cine is finished when an iteration changes it by less, relative to its norm: each for itself, so that
  no result depends on the other cines of the batch
- ``callback``: called as ``callback(iteration, cine)`` after every iteration, from 1
"""

import math
from collections.abc import Sequence

import torch

from .fourier import fft2c, fftc_y, ifft2c, ifftc_y
from .operators import ForwardModel, conjugate_gradients
from .solvers import Callback, DouglasRachford, PrimalDual, Problem

TV_OVER_NOISE, LS_OVER_NOISE = 5.0, 50.0
"""data weights of `kt_tv` and `low_rank_sparse` times the noise, for magnitudes of order 1; chosen on phantoms"""


def zero_filled(kspace: torch.Tensor, A: ForwardModel) -> torch.Tensor:
    """Leave unsampled lines empty: ``b = A^H y``."""
    return A.adjoint(kspace)


def temporal_mean(kspace: torch.Tensor, A: ForwardModel) -> torch.Tensor:
    """Fill unsampled lines with the mean over the frames in which they were sampled, coil by coil.

    ``m_t = F^-1 (U_t y_t + (1 - U_t) sum_s U_s y_s / sum_s U_s)``; lines that no frame sampled stay empty.
    """
    kspace = _sampled(kspace, A)
    mean = kspace.sum(-3, keepdim=True) / A.lines.sum(-3, keepdim=True).clamp(min=1)
    return A.combine(ifft2c(torch.where(A.lines, kspace, mean)))


def view_sharing(kspace: torch.Tensor, A: ForwardModel) -> torch.Tensor:
    """Fill unsampled lines from the nearest frame that sampled them, cyclic in time, coil by coil.

    ``m_t = F^-1 (U_t y_t + (1 - U_t) y_s)``, ``s`` the nearest frame with ``U_s = 1``; of two equally near
    frames the earlier one. Lines that no frame sampled stay empty.
    """
    return A.combine(_shared_views(_sampled(kspace, A), A))


def _shared_views(kspace: torch.Tensor, A: ForwardModel) -> torch.Tensor:
    mask, t = A.mask, A.mask.shape[1]
    frames = torch.arange(t, device=mask.device)
    steps_back = (frames[:, None] - frames[None, :]) % t
    later = steps_back > t / 2
    distance = 2 * torch.minimum(steps_back, t - steps_back) + later  # of two equally near the earlier wins
    candidates = torch.where(mask[:, None, :, :, 0], distance[None, :, :, None], 2 * t)  # (b, t, s, y)
    nearest = candidates.argmin(2)[..., None]
    nearest = nearest if A.coils is None else nearest[:, None]
    return ifft2c(kspace.gather(-3, nearest.expand(kspace.shape)))


def smooth_phase(
    image: torch.Tensor, windows: Sequence[float] = (2, 5, 16), floor: float = 0.02
) -> torch.Tensor:
    """The phase that an image has in all frames and over long distances along ``y``: of coils, field, position.

    It is found from coarse to fine: the phase of the mean over the frames, blurred along ``y`` (columns stay
    independent), then that of what is left, blurred less. Homodyne reconstruction takes the phase of an image from the
    centre of k-space in the same way [1]_. Where the image is dark its phase is noise and aliasing. There a step keeps
    what the step before it found, since a share of the largest magnitude is added to the image whose phase is taken. So
    the phase of a real image is zero, and columns without signal have that of the whole image.

    Parameters
    ----------
    image
        shape ``(..., t, y, x)``, complex
    windows
        standard deviations, in lines of k-space, of the Gaussian windows that blur
    floor
        what is added, as a share of the largest magnitude of the mean over the frames

    Returns
    -------
        ``exp(i phase)``, shape ``(..., 1, y, x)``

    References
    ----------
    .. [1] Noll, Nishimura & Macovski, Homodyne detection in magnetic resonance imaging, IEEE Trans Med Imaging
       10:154 (1991).
    """
    mean = image.mean(-3, keepdim=True)
    tiny = torch.finfo(mean.real.dtype).tiny
    added = floor * mean.abs().amax((-2, -1), keepdim=True) + tiny
    phase = torch.sgn(mean.sum((-2, -1), keepdim=True) + tiny)
    ky = torch.arange(image.shape[-2], device=image.device) - image.shape[-2] // 2
    for lines in windows:
        window = (-0.5 * (ky / lines) ** 2).exp()[:, None]
        phase = phase * torch.sgn(ifftc_y(window * fftc_y(mean * phase.conj())) + added)
    return phase


def with_conjugates(kspace: torch.Tensor, A: ForwardModel) -> tuple[torch.Tensor, ForwardModel]:
    """Every measured line a second time, mirrored: ``y(-k)`` conjugate, as of a virtual coil [1]_.

    The k-space of a real image is symmetric. An image ``r exp(i p)`` with ``r`` real and a slow phase ``p`` has the
    same knowledge in it: its lines mirrored and conjugated are those of ``r exp(-i p)``. They are put into an estimate
    of that image, by `view_sharing`, which is then turned by ``exp(2 i p)``, with the `smooth_phase` of the estimate as
    ``p``: exact where that is the phase, and it is constant. Every coil is an image with a phase of its own.

    Returns
    -------
        k-space of the same shape and its forward model, with up to twice as many lines; those that were measured are
        untouched

    References
    ----------
    .. [1] Blaimer, Gutberlet, Kellman, Breuer, Koestler & Griswold, Virtual coil concept for improved parallel MRI
       employing conjugate symmetric signals, Magn Reson Med 61:93 (2009).
    """
    kspace = _sampled(kspace, A)
    estimate = _shared_views(kspace, A)
    twice = smooth_phase(estimate) ** 2
    lines = torch.arange(A.mask.shape[2], device=A.mask.device)
    opposite = (2 * (len(lines) // 2) - lines) % len(lines)
    both = ForwardModel(A.mask | A.mask[:, :, opposite], A.coils, A.noise)
    mirrored, known = fftc_y(ifft2c(kspace))[..., opposite, :].conj(), A.lines[..., opposite, :]
    image = twice * ifftc_y(torch.where(known, mirrored, fftc_y(twice.conj() * estimate)))
    return torch.where(A.lines, kspace, known * fft2c(image)), both


def conjugate_view_sharing(kspace: torch.Tensor, A: ForwardModel) -> torch.Tensor:
    """`view_sharing` of the lines `with_conjugates`: for images that are real, or have a slow phase."""
    return view_sharing(*with_conjugates(kspace, A))


def cg_sense(
    kspace: torch.Tensor, A: ForwardModel, l2_weight: float = 0.003, iterations: int = 20
) -> torch.Tensor:
    """SENSE by conjugate gradients [1]_, frame by frame: what every scanner has.

    ``min_m ||A m - y||^2 + l2_weight ||m||^2``. With one coil it is the zero-filled image over ``1 + l2_weight``.

    Parameters
    ----------
    l2_weight
        the larger, the less noise and the more aliasing
    iterations
        steps of conjugate gradients; few of them keep noise low as well

    References
    ----------
    .. [1] Pruessmann, Weiger, Boernert & Boesiger, Advances in sensitivity encoding with arbitrary k-space
       trajectories, Magn Reson Med 46:638 (2001).
    """
    return conjugate_gradients(
        lambda image: A.normal(image) + l2_weight * image, A.adjoint(kspace), steps=iterations
    )


def kt_tv(
    kspace: torch.Tensor,
    A: ForwardModel,
    spatial: float = 0.1,
    data_weight: float | None = None,
    iterations: int = 100,
    tolerance: float = 1e-3,
    callback: Callback | None = None,
) -> torch.Tensor:
    """Compressed sensing with k-t total variation, by the primal-dual method of Chambolle and Pock [1]_.

    ``min_m ||D_t m||_1 + spatial (||D_y m||_1 + ||D_x m||_1) + data_weight / 2 ||A m - y||^2`` with cyclic
    differences ``D`` and the modulus of complex numbers inside the norms.

    Each iteration ascends in the dual fields ``u`` (differences, clipped to the weights), descends in ``m`` and
    returns to the data. With one coil that last step is exact in hybrid space ``(ky, x)`` and costs one FFT pair along
    ``ky``. With several coils the data have a dual field ``v`` of their own, kept as ``A^H v``, and an iteration costs
    one such pair per coil. Time, which counts most, has the longest dual step [2]_, and every step is taken 1.9 times
    over [3]_.

    Parameters
    ----------
    spatial
        weight of the spatial variation relative to the temporal one; the default was chosen on phantoms, where it
        is best in the moving heart (half of it is best over the whole image)

    Raises
    ------
    ValueError
        if a weight is negative or nothing was sampled

    References
    ----------
    .. [1] Chambolle & Pock, A first-order primal-dual algorithm for convex problems with applications to
       imaging, J Math Imaging Vis 40:120 (2011), algorithm 1.
    .. [2] Pock & Chambolle, Diagonal preconditioning for first order primal-dual algorithms in convex
       optimization, ICCV (2011).
    .. [3] Condat, A primal-dual splitting method for convex optimization involving Lipschitzian, proximable and
       linear composite terms, J Optim Theory Appl 158:460 (2013), algorithm 3.1.
    """
    if spatial < 0 or (data_weight is not None and data_weight <= 0):
        raise ValueError(f"expected spatial >= 0 and data_weight > 0, found {spatial} and {data_weight}")
    algorithm = PrimalDual(Problem(kspace, A, temporal_mean(kspace, A), data_weight, TV_OVER_NOISE), spatial)
    return algorithm.run(iterations, tolerance, callback)


def low_rank_sparse(
    kspace: torch.Tensor,
    A: ForwardModel,
    sparse: float = 2.0,
    still: float = math.inf,
    data_weight: float | None = None,
    iterations: int = 100,
    tolerance: float = 1e-3,
    callback: Callback | None = None,
) -> torch.Tensor:
    """Low rank plus sparse, ``m = L + S`` [1]_, by the splitting method of Douglas and Rachford [2]_.

    ``min_{L,S} sqrt(t y x) ||L||_* + sparse sqrt(t) ||W T S||_1 + data_weight / 2 ||A (L + S) - y||^2``: the
    sum of the singular values of ``L``, a matrix with a row per frame, is small if the frames have much in
    common; ``S``, with few coefficients after the orthonormal Fourier transform ``T`` in time, takes what moves
    apart from that. ``W`` is 1, and ``still`` for the zero frequency.

    Each iteration shrinks the singular values of one part and the temporal spectrum of the other; what their
    sum then lacks of the data is shared out between them in equal halves (with several coils by conjugate gradients
    that start from the last correction).

    Parameters
    ----------
    sparse
        weight of ``S``: the larger, the more is left to ``L``. The roots make it independent of the size of the
        cine; 1 is the weight of robust principal component analysis in theory [3]_. The default was chosen on
        phantoms.
    still
        weight of the zero temporal frequency of ``S``, relative to the others. 1 is the objective of [1]_, in whose
        minimum bright still tissue moves over to ``S`` and the images get worse; infinite, the default (chosen on
        phantoms), leaves all that does not move to ``L``.
    tolerance
        here of the two parts together

    Raises
    ------
    ValueError
        if a weight is not positive or nothing was sampled

    References
    ----------
    .. [1] Otazo, Candes & Sodickson, Low-rank plus sparse matrix decomposition for accelerated dynamic MRI with
       separation of background and dynamic components, Magn Reson Med 73:1125 (2015).
    .. [2] Eckstein & Bertsekas, On the Douglas-Rachford splitting method and the proximal point algorithm for
       maximal monotone operators, Math Program 55:293 (1992).
    .. [3] Candes, Li, Ma & Wright, Robust principal component analysis?, J ACM 58:11 (2011).
    """
    parts = low_rank_sparse_parts(kspace, A, sparse, still, data_weight, iterations, tolerance, callback)
    return parts[0] + parts[1]


def low_rank_sparse_parts(
    kspace: torch.Tensor,
    A: ForwardModel,
    sparse: float = 2.0,
    still: float = math.inf,
    data_weight: float | None = None,
    iterations: int = 100,
    tolerance: float = 1e-3,
    callback: Callback | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The two parts whose sum is `low_rank_sparse`, where the parameters are explained: ``L`` and ``S``."""
    if min(sparse, still, 1 if data_weight is None else data_weight) <= 0:
        raise ValueError(
            f"expected sparse, still and data_weight > 0, found {sparse}, {still} and {data_weight}"
        )
    algorithm = DouglasRachford(
        Problem(kspace, A, temporal_mean(kspace, A), data_weight, LS_OVER_NOISE), sparse, still
    )
    algorithm.run(iterations, tolerance, callback)
    low_rank, rest = (algorithm.problem.finish(part) for part in algorithm.result.unbind(1))
    return low_rank, rest


def _sampled(kspace: torch.Tensor, A: ForwardModel) -> torch.Tensor:
    """Check the shapes; keep only what the mask says was measured."""
    return A.check(kspace, coils=True) * A.lines
