"""Reconstruction without learning: the lines that every network has to beat.

Every method has one shape, ``reconstruct(kspace, mask) -> cine``.
"""

import math
from collections.abc import Callable

import torch

from .fourier import fft2c, fftc_y, ifft2c, ifftc_y
from .operators import ForwardModel


def zero_filled(kspace: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Leave unsampled lines empty: ``b = F^-1 U y``.

    Parameters
    ----------
    kspace
        shape ``(b, t, y, x)``, arbitrary units
    mask
        shape ``(b or 1, t, y, 1)``, True where sampled

    Returns
    -------
        cine, shape ``(b, t, y, x)``, complex, units of ``kspace``

    Raises
    ------
    ValueError
        if the shapes do not match; the message names both
    """
    return ForwardModel(mask).adjoint(kspace)


def temporal_mean(kspace: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Fill unsampled lines with the mean over the frames in which they were sampled.

    ``m_t = F^-1 (U_t y_t + (1 - U_t) sum_s U_s y_s / sum_s U_s)``; lines that no frame sampled stay empty.

    Parameters
    ----------
    kspace
        shape ``(b, t, y, x)``, arbitrary units
    mask
        shape ``(b or 1, t, y, 1)``, True where sampled

    Returns
    -------
        cine, shape ``(b, t, y, x)``, complex, units of ``kspace``

    Raises
    ------
    ValueError
        if the shapes do not match; the message names both
    """
    kspace = _sampled(kspace, mask)
    mean = kspace.sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
    return ifft2c(torch.where(mask, kspace, mean))


def view_sharing(kspace: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Fill unsampled lines from the nearest frame that sampled them, cyclic in time.

    ``m_t = F^-1 (U_t y_t + (1 - U_t) y_s)``, ``s`` the nearest frame with ``U_s = 1``; of two equally near
    frames the earlier one. Lines that no frame sampled stay empty.

    Parameters
    ----------
    kspace
        shape ``(b, t, y, x)``, arbitrary units
    mask
        shape ``(b or 1, t, y, 1)``, True where sampled

    Returns
    -------
        cine, shape ``(b, t, y, x)``, complex, units of ``kspace``

    Raises
    ------
    ValueError
        if the shapes do not match; the message names both
    """
    kspace = _sampled(kspace, mask)
    t = mask.shape[1]
    frames = torch.arange(t, device=mask.device)
    steps_back = (frames[:, None] - frames[None, :]) % t
    later = steps_back > t / 2
    distance = 2 * torch.minimum(steps_back, t - steps_back) + later  # of two equally near the earlier wins
    candidates = torch.where(mask[:, None, :, :, 0], distance[None, :, :, None], 2 * t)  # (b, t, s, y)
    nearest = candidates.argmin(2)[..., None].expand(kspace.shape)
    return ifft2c(kspace.gather(1, nearest))


def slow_phase(image: torch.Tensor, lines: float = 16.0) -> torch.Tensor:
    """The phase that an image has in all frames and over long distances along ``y``: of coils, field, position.

    The mean over the frames, blurred along ``y`` (columns stay independent), over its own modulus. Homodyne
    reconstruction takes the phase of an image from the centre of k-space in the same way [1]_.

    Parameters
    ----------
    image
        cine, shape ``(b, t, y, x)``, complex
    lines
        standard deviation, in lines of k-space, of the Gaussian window that blurs

    Returns
    -------
        ``exp(i phase)``, shape ``(b, 1, y, x)``

    References
    ----------
    .. [1] Noll, Nishimura & Macovski, Homodyne detection in magnetic resonance imaging, IEEE Trans Med Imaging
       10:154 (1991).
    """
    ky = torch.arange(image.shape[2], device=image.device) - image.shape[2] // 2
    window = (-0.5 * (ky / lines) ** 2).exp()[:, None]
    slow = ifftc_y(window * fftc_y(image.mean(1, keepdim=True)))
    return torch.sgn(slow + torch.finfo(slow.real.dtype).tiny)


def with_conjugates(kspace: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Every measured line a second time, mirrored: ``y(-k)`` conjugate, as of a virtual coil [1]_.

    The k-space of a real image is symmetric. An image ``r exp(i p)`` with ``r`` real and a slow phase ``p`` has the
    same knowledge in it: its lines mirrored and conjugated are those of ``r exp(-i p)``. They are put into an estimate
    of that image, by `view_sharing`, which is then turned by ``exp(2 i p)``, with the `slow_phase` of the estimate as
    ``p``: exact where that is the phase, and it is constant.

    Parameters
    ----------
    kspace
        shape ``(b, t, y, x)``, arbitrary units
    mask
        shape ``(b or 1, t, y, 1)``, True where sampled

    Returns
    -------
        k-space and mask of the same shapes, with up to twice as many lines; those that were measured are untouched

    Raises
    ------
    ValueError
        if the shapes do not match; the message names both

    References
    ----------
    .. [1] Blaimer, Gutberlet, Kellman, Breuer, Koestler & Griswold, Virtual coil concept for improved parallel MRI
       employing conjugate symmetric signals, Magn Reson Med 61:93 (2009).
    """
    kspace = _sampled(kspace, mask)
    estimate = view_sharing(kspace, mask)
    turn = slow_phase(estimate) ** 2
    lines = torch.arange(mask.shape[2], device=mask.device)
    opposite = (2 * (len(lines) // 2) - lines) % len(lines)
    mirrored, known = fftc_y(ifft2c(kspace))[:, :, opposite].conj(), mask[:, :, opposite]
    turned = ifftc_y(torch.where(known, mirrored, fftc_y(turn.conj() * estimate)))
    return torch.where(mask, kspace, known * fft2c(turn * turned)), mask | known


def conjugate_view_sharing(kspace: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`view_sharing` of the lines `with_conjugates`: for images that are real, or have a slow phase.

    Parameters
    ----------
    kspace
        shape ``(b, t, y, x)``, arbitrary units
    mask
        shape ``(b or 1, t, y, 1)``, True where sampled

    Returns
    -------
        cine, shape ``(b, t, y, x)``, complex, units of ``kspace``

    Raises
    ------
    ValueError
        if the shapes do not match; the message names both
    """
    return view_sharing(*with_conjugates(kspace, mask))


def kt_tv(
    kspace: torch.Tensor,
    mask: torch.Tensor,
    spatial: float = 0.1,
    data_weight: float = math.inf,
    iterations: int = 100,
    tolerance: float = 1e-3,
    callback: Callable[[int, torch.Tensor], None] | None = None,
) -> torch.Tensor:
    """Compressed sensing with k-t total variation, by the primal-dual method of Chambolle and Pock [1]_.

    ``min_m ||D_t m||_1 + spatial (||D_y m||_1 + ||D_x m||_1) + data_weight / 2 ||U F m - y||^2`` with cyclic
    differences ``D`` and the modulus of complex numbers inside the norms. An infinite weight, the default, keeps
    the measured lines as they are, which is right for data without noise.

    Each iteration ascends in the dual fields ``u`` (differences, clipped to the weights), descends in ``m`` and
    returns to the data: in hybrid space ``(ky, x)`` that last step is exact and costs one FFT pair along ``ky``.
    Time, which counts most, has the longest dual step [2]_, and every step is taken 1.9 times over [3]_.

    Parameters
    ----------
    kspace
        shape ``(b, t, y, x)``, arbitrary units: scaled inside, so that no parameter depends on them
    mask
        shape ``(b or 1, t, y, 1)``, True where sampled
    spatial
        weight of the spatial variation relative to the temporal one; the default was chosen on phantoms, where it
        is best in the moving heart (half of it is best over the whole image)
    data_weight
        weight of the data for magnitudes of order 1
    iterations
        at most so many
    tolerance
        a cine is finished when an iteration changes it by less, relative to its norm: each for itself, so that
        no result depends on the other cines of the batch
    callback
        called as ``callback(iteration, cine)`` after every iteration, from 1

    Returns
    -------
        cine, shape ``(b, t, y, x)``, complex, units of ``kspace``

    Raises
    ------
    ValueError
        if the shapes do not match (the message names both), a weight is negative or nothing was sampled

    References
    ----------
    .. [1] Chambolle & Pock, A first-order primal-dual algorithm for convex problems with applications to
       imaging, J Math Imaging Vis 40:120 (2011), algorithm 1.
    .. [2] Pock & Chambolle, Diagonal preconditioning for first order primal-dual algorithms in convex
       optimization, ICCV (2011).
    .. [3] Condat, A primal-dual splitting method for convex optimization involving Lipschitzian, proximable and
       linear composite terms, J Optim Theory Appl 158:460 (2013), algorithm 3.1.
    """
    if spatial < 0 or data_weight <= 0:
        raise ValueError(f"expected spatial >= 0 and data_weight > 0, found {spatial} and {data_weight}")
    weights = {1: 1.0, 2: spatial, 3: spatial} if spatial else {1: 1.0}  # axis: weight
    shares = {1: 0.6, 2: 0.2, 3: 0.2} if spatial else {1: 1.0}
    primal_step = 0.007
    dual_steps = {axis: share / (4 * primal_step) for axis, share in shares.items()}  # 4 is ||D||^2
    cine, mask, data, scale = _scaled(kspace, mask)
    pull = mask / (1 + 1 / (primal_step * data_weight))  # of the data; 1 for an infinite weight

    def step(cine, extrapolated, freedom, given, *dual):
        descent = torch.zeros_like(cine)
        for (axis, weight), u in zip(weights.items(), dual, strict=True):
            ascended = extrapolated.roll(-1, axis).sub_(extrapolated).mul_(dual_steps[axis]).add_(u)
            _over_relax(u, _clip(ascended, weight))
            descent += u.roll(1, axis)
            descent -= u
        hybrid = torch.fft.fft(descent.mul_(-primal_step).add_(cine), norm="ortho")
        updated = torch.fft.ifft(hybrid.mul_(freedom).add_(given), norm="ortho")
        extrapolated = (2 * updated).sub_(cine)
        return updated, (_over_relax(cine, updated), extrapolated, freedom, given, *dual)

    def finish(cine):
        return _y_last_undone(cine) * scale

    state = (cine, cine, 1 - pull, pull * data, *(torch.zeros_like(cine) for _ in weights))
    return finish(_iterate(step, cine.clone(), state, iterations, tolerance, callback, finish))


def low_rank_sparse(
    kspace: torch.Tensor,
    mask: torch.Tensor,
    sparse: float = 2.0,
    still: float = math.inf,
    data_weight: float = math.inf,
    iterations: int = 100,
    tolerance: float = 1e-3,
    callback: Callable[[int, torch.Tensor], None] | None = None,
) -> torch.Tensor:
    """Low rank plus sparse, ``m = L + S`` [1]_, by the splitting method of Douglas and Rachford [2]_.

    ``min_{L,S} sqrt(t y x) ||L||_* + sparse sqrt(t) ||W T S||_1 + data_weight / 2 ||U F (L + S) - y||^2``: the
    sum of the singular values of ``L``, a matrix with a row per frame, is small if the frames have much in
    common; ``S``, with few coefficients after the orthonormal Fourier transform ``T`` in time, takes what moves
    apart from that. ``W`` is 1, and ``still`` for the zero frequency. An infinite ``data_weight``, the default,
    keeps the measured lines as they are, which is right for data without noise.

    Each iteration shrinks the singular values of one part and the temporal spectrum of the other; what their
    sum then lacks of the data is shared out between them in equal halves.

    Parameters
    ----------
    kspace
        shape ``(b, t, y, x)``, arbitrary units: scaled inside, so that no parameter depends on them
    mask
        shape ``(b or 1, t, y, 1)``, True where sampled
    sparse
        weight of ``S``: the larger, the more is left to ``L``. The roots make it independent of the size of the
        cine; 1 is the weight of robust principal component analysis in theory [3]_. The default was chosen on
        phantoms.
    still
        weight of the zero temporal frequency of ``S``, relative to the others. 1 is the objective of [1]_, in whose
        minimum bright still tissue moves over to ``S`` and the images get worse; infinite, the default (chosen on
        phantoms), leaves all that does not move to ``L``.
    data_weight
        weight of the data for magnitudes of order 1
    iterations
        at most so many
    tolerance
        a cine is finished when an iteration changes its two parts by less, relative to their norm: each cine for
        itself, so that no result depends on the others of the batch
    callback
        called as ``callback(iteration, cine)`` after every iteration, from 1

    Returns
    -------
        cine, shape ``(b, t, y, x)``, complex, units of ``kspace``

    Raises
    ------
    ValueError
        if the shapes do not match (the message names both), a weight is not positive or nothing was sampled

    References
    ----------
    .. [1] Otazo, Candes & Sodickson, Low-rank plus sparse matrix decomposition for accelerated dynamic MRI with
       separation of background and dynamic components, Magn Reson Med 73:1125 (2015).
    .. [2] Eckstein & Bertsekas, On the Douglas-Rachford splitting method and the proximal point algorithm for
       maximal monotone operators, Math Program 55:293 (1992).
    .. [3] Candes, Li, Ma & Wright, Robust principal component analysis?, J ACM 58:11 (2011).
    """
    parts = low_rank_sparse_parts(kspace, mask, sparse, still, data_weight, iterations, tolerance, callback)
    return sum(parts)


def low_rank_sparse_parts(
    kspace: torch.Tensor,
    mask: torch.Tensor,
    sparse: float = 2.0,
    still: float = math.inf,
    data_weight: float = math.inf,
    iterations: int = 100,
    tolerance: float = 1e-3,
    callback: Callable[[int, torch.Tensor], None] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The two parts whose sum is `low_rank_sparse`, where the parameters are explained.

    Returns
    -------
        ``L``, of low rank, and ``S``, the rest of the cine: each of shape ``(b, t, y, x)``, complex
    """
    if min(sparse, still, data_weight) <= 0:
        raise ValueError(
            f"expected sparse, still and data_weight > 0, found {sparse}, {still} and {data_weight}"
        )
    cine, mask, data, scale = _scaled(kspace, mask)
    t = cine.shape[1]
    size = cine[0].numel() ** 0.5
    step_length = 0.05 * (_norm(cine) / size)[:, None, None, None]
    pull = mask / (1 + 1 / (2 * step_length * data_weight)) / 2  # of the data; 1/2 for an infinite weight
    weight = torch.full((t, 1, 1), sparse * t**0.5, device=cine.device)
    weight[0] *= still

    def step(shadow, step_length, pull, given):
        spectrum = torch.fft.fft(shadow[:, 1], dim=1, norm="ortho")
        spectrum -= _clip(spectrum.clone(), step_length * weight)
        low_rank = _shrink_singular_values(shadow[:, 0], step_length * size)
        parts = torch.stack([low_rank, torch.fft.ifft(spectrum, dim=1, norm="ortho")], 1)
        shared = (2 * parts).sub_(shadow)
        hybrid = torch.fft.fft(shared.sum(1), norm="ortho")
        shared += torch.fft.ifft(hybrid.mul_(-pull).add_(given), norm="ortho")[:, None]
        shadow.add_(shared, alpha=1.5).sub_(parts, alpha=1.5)
        parts[:, 1] = shared.sum(1) - low_rank
        return parts, (shadow, step_length, pull, given)

    def finish(parts):
        return _y_last_undone(parts.sum(1)) * scale

    start = torch.stack([cine, torch.zeros_like(cine)], 1)
    state = (start, step_length, pull, pull * data)
    parts = _iterate(step, start.clone(), state, iterations, tolerance, callback, finish)
    low_rank, rest = (_y_last_undone(part) * scale for part in parts.unbind(1))
    return low_rank, rest


def _iterate(step, result, state, iterations, tolerance, callback, finish) -> torch.Tensor:
    """Repeat ``updated, state = step(*state)``; a cine that changes no more leaves the batch."""
    unfinished = torch.arange(len(result), device=result.device)
    before = result.clone()
    for iteration in range(1, iterations + 1):
        updated, state = step(*state)
        change = _norm(before.sub_(updated))
        result[unfinished] = updated
        if callback:
            callback(iteration, finish(result))
        moving = change >= tolerance * _norm(updated)
        if not moving.any():
            break
        if not moving.all():
            unfinished, updated, *state = (array[moving] for array in (unfinished, updated, *state))
        before = updated
    return result


def _norm(array: torch.Tensor) -> torch.Tensor:
    """Norm of every cine; ten times faster than that of complex numbers."""
    return torch.view_as_real(array).flatten(1).norm(dim=1)


def _clip(array: torch.Tensor, radius: float | torch.Tensor) -> torch.Tensor:
    """Shrink complex numbers to at most a radius, in place; three times faster than by their modulus."""
    parts = torch.view_as_real(array)
    squared = parts[..., 0].square().addcmul_(parts[..., 1], parts[..., 1])
    return array.mul_(squared.mul_(radius**-2).clamp_(min=1).rsqrt_())


def _over_relax(array: torch.Tensor, updated: torch.Tensor, factor: float = 1.9) -> torch.Tensor:
    """Move ``array`` towards and beyond ``updated``, in place."""
    torch.view_as_real(array).lerp_(torch.view_as_real(updated), factor)
    return array


def _shrink_singular_values(cine: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    """Soft-threshold the singular values of every cine as a matrix (t, y x), by the small matrix (t, t)."""
    frames = cine.flatten(2)
    squared, u = torch.linalg.eigh(frames @ frames.mH)
    kept = (1 - threshold[:, :, 0, 0] / squared.clamp(min=1e-30).sqrt()).clamp(min=0)
    return ((u * kept[:, None, :]) @ u.mH @ frames).view_as(cine)


def _scaled(kspace: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The temporal mean to start from, mask and hybrid data, with y last and magnitudes of order 1; the scale."""
    start = temporal_mean(kspace, mask)
    scale = start.abs().amax((1, 2, 3), keepdim=True)
    if not scale.all():
        raise ValueError("nothing to reconstruct: a cine has no signal in its sampled lines")
    data = fftc_y(ifft2c(kspace)) / scale
    return _y_last(start / scale), _y_last(mask.expand(len(kspace), -1, -1, -1)), _y_last(data), scale


def _y_last(array: torch.Tensor) -> torch.Tensor:
    """``(b, t, y, x)`` to ``(b, t, x, y)`` with the centre of y at index 0, where plain FFTs are much faster.

    Cyclic differences do not mind the shift.
    """
    return torch.fft.ifftshift(array, dim=2).transpose(2, 3).contiguous()


def _y_last_undone(array: torch.Tensor) -> torch.Tensor:
    return torch.fft.fftshift(array.transpose(2, 3), dim=2)


def _sampled(kspace: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Check the shapes; keep only what the mask says was measured."""
    return ForwardModel(mask).check(kspace) * mask
