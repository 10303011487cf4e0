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
from collections.abc import Callable

import torch

from .fourier import fft2c, fftc_y, ifft2c, ifftc_y
from .operators import ForwardModel, conjugate_gradients, per_cine

Callback = Callable[[int, torch.Tensor], None]
TV_OVER_NOISE, LS_OVER_NOISE = 5.0, 50.0
"""data weights of `kt_tv` and `low_rank_sparse` times the noise, for magnitudes of order 1; chosen on phantoms"""
CG_STEPS = 2  # of `low_rank_sparse` with coils, in each iteration


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


def slow_phase(image: torch.Tensor, lines: float = 16.0) -> torch.Tensor:
    """The phase that an image has in all frames and over long distances along ``y``: of coils, field, position.

    The mean over the frames, blurred along ``y`` (columns stay independent), over its own modulus. Homodyne
    reconstruction takes the phase of an image from the centre of k-space in the same way [1]_. Where that mean is
    smaller than a hundred-thousandth of its maximum it is rounding noise of Fourier transforms, and the phase is zero.

    Parameters
    ----------
    image
        shape ``(..., t, y, x)``, complex
    lines
        standard deviation, in lines of k-space, of the Gaussian window that blurs

    Returns
    -------
        ``exp(i phase)``, shape ``(..., 1, y, x)``

    References
    ----------
    .. [1] Noll, Nishimura & Macovski, Homodyne detection in magnetic resonance imaging, IEEE Trans Med Imaging
       10:154 (1991).
    """
    ky = torch.arange(image.shape[-2], device=image.device) - image.shape[-2] // 2
    window = (-0.5 * (ky / lines) ** 2).exp()[:, None]
    slow = ifftc_y(window * fftc_y(image.mean(-3, keepdim=True)))
    modulus = slow.abs()
    return torch.where(modulus > 1e-5 * modulus.amax((-2, -1), keepdim=True), torch.sgn(slow), 1)


def with_conjugates(kspace: torch.Tensor, A: ForwardModel) -> tuple[torch.Tensor, ForwardModel]:
    """Every measured line a second time, mirrored: ``y(-k)`` conjugate, as of a virtual coil [1]_.

    The k-space of a real image is symmetric. An image ``r exp(i p)`` with ``r`` real and a slow phase ``p`` has the
    same knowledge in it: its lines mirrored and conjugated are those of ``r exp(-i p)``. They are put into an estimate
    of that image, by `view_sharing`, which is then turned by ``exp(2 i p)``, with the `slow_phase` of the estimate as
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
    twice = slow_phase(estimate) ** 2
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
    kspace: torch.Tensor, A: ForwardModel, l2_weight: float = 0.01, iterations: int = 20
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
    algorithm = _PrimalDual(_Problem(kspace, A, data_weight, TV_OVER_NOISE), spatial)
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
    return sum(low_rank_sparse_parts(kspace, A, sparse, still, data_weight, iterations, tolerance, callback))


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
    algorithm = _DouglasRachford(_Problem(kspace, A, data_weight, LS_OVER_NOISE), sparse, still)
    algorithm.run(iterations, tolerance, callback)
    low_rank, rest = (algorithm.problem.finish(part) for part in algorithm.result.unbind(1))
    return low_rank, rest


class _Problem:
    """What an iterative method is given: magnitudes of order 1, axes ``(b, t, x, y)``, the centre of y at index 0.

    Plain FFTs along the last, contiguous axis are much faster than centred ones along ``y``, and cyclic differences do
    not mind the shift.
    """

    PER_CINE = "mask", "coils", "data", "weight"

    def __init__(self, kspace: torch.Tensor, A: ForwardModel, data_weight: float | None, over_noise: float):
        start = temporal_mean(kspace, A)
        self.scale = start.abs().amax((1, 2, 3), keepdim=True)
        if not self.scale.all():
            raise ValueError("nothing to reconstruct: a cine has no signal in its sampled lines")
        self.start = _y_last(start / self.scale)
        self.mask = _y_last(A.mask.expand(len(start), -1, -1, -1))
        if data_weight is None:
            data_weight = over_noise * self.scale / per_cine(A.noise, start)
        self.weight = torch.as_tensor(data_weight, device=start.device).expand(self.scale.shape)
        self.coils, self.support = None, 1
        if A.coils is None:  # the data in hybrid space (ky, x)
            self.data = _y_last(fftc_y(ifft2c(kspace)) / self.scale)
        else:  # the data as A^H y
            self.data = _y_last(A.adjoint(kspace) / self.scale)
            self.coils = _y_last(A.coils).expand(len(start), -1, -1, -1, -1)
            self.support = A.coils.abs().sum(1) > 0

    def normal(self, image: torch.Tensor) -> torch.Tensor:
        """``A^H A`` of several coils, one after the other: what belongs to one of them stays in the cache."""
        result = torch.zeros_like(image)
        for maps in self.coils.unbind(1):
            hybrid = torch.fft.fft(maps * image, norm="ortho").mul_(self.mask)
            result.addcmul_(torch.fft.ifft(hybrid, norm="ortho"), maps.conj())
        return result

    def finish(self, cine: torch.Tensor) -> torch.Tensor:
        """Bring a cine back to the layout and units of the course; there is nothing where no coil sees anything."""
        return _y_last_undone(cine) * (self.scale * self.support)


class _Algorithm:
    """An iteration over a batch of cines: `update` until `done`, as in sigpy.

    A cine that changes no more leaves the batch: its result stays and it costs nothing from then on. So a subclass,
    whose `step` is one iteration, names in ``PER_CINE`` its tensors that have the batch as their first axis.
    """

    PER_CINE: tuple[str, ...] = ()

    def __init__(self, problem: _Problem, start: torch.Tensor):
        self.problem, self.result = problem, start.clone()
        self.iteration = 0
        self._before = start.clone()
        self._unfinished = torch.arange(len(start), device=start.device)

    def step(self) -> torch.Tensor:
        """One iteration for the cines that are not finished: what is new of their results."""
        raise NotImplementedError

    def update(self, tolerance: float) -> None:
        """One iteration; then those leave that changed by less than the tolerance."""
        updated = self.step()
        self.iteration += 1
        change = _norm(self._before.sub_(updated))
        self.result[self._unfinished] = self._before = updated
        moving = change >= tolerance * _norm(updated)
        if not moving.all():
            self._unfinished, self._before = self._unfinished[moving], updated[moving]
            for owner in (self, self.problem):
                for name in owner.PER_CINE:
                    array = getattr(owner, name)
                    setattr(owner, name, None if array is None else array[moving])

    def done(self, iterations: int) -> bool:
        """No cine is left, or so many iterations were made."""
        return self.iteration >= iterations or not len(self._unfinished)

    def run(self, iterations: int, tolerance: float, callback: Callback | None) -> torch.Tensor:
        """Update until done, then give the result its layout and units."""
        while not self.done(iterations):
            self.update(tolerance)
            if callback:
                callback(self.iteration, self.cine())
        return self.cine()

    def cine(self) -> torch.Tensor:
        return self.problem.finish(self.result)


class _PrimalDual(_Algorithm):
    """Chambolle and Pock: `kt_tv`."""

    STEP = 0.007  # the primal one; ||D||^2 is 4 and ||A||^2 is 1 in the dual steps
    DATA_SHARE = 0.3

    def __init__(self, problem: _Problem, spatial: float):
        super().__init__(problem, problem.start)
        self.primal = self.extrapolated = problem.start
        self.weights = {1: 1.0, 2: spatial, 3: spatial} if spatial else {1: 1.0}  # axis: weight
        shares = {1: 0.6, 2: 0.2, 3: 0.2} if spatial else {1: 1.0}
        if problem.coils is None:  # how much of a sampled line comes from the data, and that
            self.pull = problem.mask / (1 + 1 / (self.STEP * problem.weight))
            self.given = self.pull * problem.data
            self.PER_CINE = "primal", "extrapolated", "dual", "pull", "given"
        else:
            shares = {axis: (1 - self.DATA_SHARE) * share for axis, share in shares.items()}
            self.data_dual = torch.zeros_like(self.primal)
            self.PER_CINE = "primal", "extrapolated", "dual", "data_dual"
        self.dual_steps = {axis: share / (4 * self.STEP) for axis, share in shares.items()}
        self.dual = torch.stack([torch.zeros_like(self.primal) for _ in shares], 1)

    def step(self) -> torch.Tensor:
        """Ascend in the dual fields, descend in the cine, return to the data."""
        descent = torch.zeros_like(self.primal)
        for (axis, weight), u in zip(self.weights.items(), self.dual.unbind(1), strict=True):
            ascended = self.extrapolated.roll(-1, axis).sub_(self.extrapolated)
            _over_relax(u, _clip(ascended.mul_(self.dual_steps[axis]).add_(u), weight))
            descent += u.roll(1, axis)
            descent -= u
        if self.problem.coils is not None:
            step = self.DATA_SHARE / self.STEP
            ascended = self.problem.normal(self.extrapolated).sub_(self.problem.data).mul_(step)
            _over_relax(self.data_dual, ascended.add_(self.data_dual).div_(1 + step / self.problem.weight))
            descent += self.data_dual
        updated = descent.mul_(-self.STEP).add_(self.primal)
        if self.problem.coils is None:
            updated = self._agreeing(updated)
        self.extrapolated = (2 * updated).sub_(self.primal)
        _over_relax(self.primal, updated)
        return updated

    def _agreeing(self, image: torch.Tensor) -> torch.Tensor:
        """The data step of one coil, in place: ``argmin_m ||m - image||^2 / (2 STEP) + weight / 2 ||A m - y||^2``."""
        hybrid = torch.fft.fft(image, norm="ortho")
        return torch.fft.ifft(hybrid.mul_(1 - self.pull).add_(self.given), norm="ortho")


class _DouglasRachford(_Algorithm):
    """Douglas and Rachford: `low_rank_sparse`. Results are the two parts, shape ``(b, 2, t, x, y)``."""

    def __init__(self, problem: _Problem, sparse: float, still: float):
        self.shadow = torch.stack([problem.start, torch.zeros_like(problem.start)], 1)
        super().__init__(problem, self.shadow)
        t = problem.start.shape[1]
        self.size = problem.start[0].numel() ** 0.5
        self.step_length = 0.05 * (_norm(problem.start) / self.size)[:, None, None, None]
        self.weights = torch.full((t, 1, 1), sparse * t**0.5, device=problem.start.device)
        self.weights[0] *= still
        if problem.coils is None:  # half of how much of a sampled line comes from the data, and that
            self.pull = problem.mask / (1 + 1 / (2 * self.step_length * problem.weight)) / 2
            self.given = self.pull * problem.data
            self.PER_CINE = "shadow", "step_length", "pull", "given"
        else:
            self.correction = torch.zeros_like(problem.start)
            self.PER_CINE = "shadow", "step_length", "correction"

    def cine(self) -> torch.Tensor:
        return self.problem.finish(self.result.sum(1))

    def step(self) -> torch.Tensor:
        """Shrink both parts, share out between them what the data lack, and average with what was before."""
        spectrum = torch.fft.fft(self.shadow[:, 1], dim=1, norm="ortho")
        spectrum -= _clip(spectrum.clone(), self.step_length * self.weights)
        low_rank = _shrink_singular_values(self.shadow[:, 0], self.step_length * self.size)
        parts = torch.stack([low_rank, torch.fft.ifft(spectrum, dim=1, norm="ortho")], 1)
        shared = (2 * parts).sub_(self.shadow)
        shared += self._half_correction(shared.sum(1))[:, None]
        self.shadow.add_(shared, alpha=1.5).sub_(parts, alpha=1.5)
        parts[:, 1] = shared.sum(1) - low_rank
        return parts

    def _half_correction(self, image: torch.Tensor) -> torch.Tensor:
        """What the data step adds to each of two parts with this sum."""
        if self.problem.coils is None:
            hybrid = torch.fft.fft(image, norm="ortho")
            return torch.fft.ifft(hybrid.mul_(-self.pull).add_(self.given), norm="ortho")
        inverse = 1 / (2 * self.step_length * self.problem.weight)
        agreeing = conjugate_gradients(
            lambda m: inverse * m + self.problem.normal(m),
            inverse * image + self.problem.data,
            start=image + self.correction,
            steps=CG_STEPS,
            axes=(-1,),
        )
        self.correction = agreeing - image
        return self.correction / 2


def _norm(array: torch.Tensor) -> torch.Tensor:
    """Norm of every cine; ten times faster than that of complex numbers."""
    return torch.view_as_real(array).flatten(1).norm(dim=1)


def _clip(array: torch.Tensor, radius: float | torch.Tensor) -> torch.Tensor:
    """Shrink complex numbers to at most a radius, in place.

    The plain way, ``array * (radius / array.abs()).clamp(max=1)``, takes a hypotenuse that is safe from overflow, and a
    division. One over the root of the squared modulus, as ``rsqrt``, is three times faster.
    """
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


def _y_last(array: torch.Tensor) -> torch.Tensor:
    """``(..., y, x)`` to ``(..., x, y)`` with the centre of y at index 0."""
    return torch.fft.ifftshift(array, dim=-2).transpose(-2, -1).contiguous()


def _y_last_undone(array: torch.Tensor) -> torch.Tensor:
    return torch.fft.fftshift(array.transpose(-2, -1), dim=-2)


def _sampled(kspace: torch.Tensor, A: ForwardModel) -> torch.Tensor:
    """Check the shapes; keep only what the mask says was measured."""
    return A.check(kspace, coils=True) * A.lines
