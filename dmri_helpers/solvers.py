"""How `classical` solves its minimisations (notebook 02): iterations over a batch of cines that end one by one.

`Problem` holds the data, scaled and in the layout that is fastest. `Algorithm` repeats a step until no cine changes any
more. Its two subclasses are the splitting methods.
"""

from collections.abc import Callable

import torch

from .fourier import fftc_y, ifft2c
from .operators import ForwardModel, conjugate_gradients, per_cine

Callback = Callable[[int, torch.Tensor], None]
CG_STEPS = 2  # of `low_rank_sparse` with coils, in each iteration


class Problem:
    """What an iterative method is given: magnitudes of order 1, axes ``(b, t, x, y)``, the centre of y at index 0.

    Plain FFTs along the last, contiguous axis are much faster than centred ones along ``y``, and cyclic differences do
    not mind the shift.
    """

    PER_CINE = "mask", "coils", "data", "weight"

    def __init__(
        self,
        kspace: torch.Tensor,
        A: ForwardModel,
        start: torch.Tensor,
        data_weight: float | None,
        over_noise: float,
    ):
        self.scale = start.abs().amax((1, 2, 3), keepdim=True)
        if not self.scale.all():
            raise ValueError("nothing to reconstruct: a cine has no signal in its sampled lines")
        self.start = _y_last(start / self.scale)
        self.mask = _y_last(A.mask.expand(len(start), -1, -1, -1))
        if data_weight is None:
            data_weight = over_noise * self.scale / per_cine(A.noise, start)
        self.weight = torch.as_tensor(data_weight, device=start.device).expand(self.scale.shape)
        self.coils: torch.Tensor | None = None
        self.support: torch.Tensor | int = 1
        if A.coils is None:  # the data in hybrid space (ky, x)
            self.data = _y_last(fftc_y(ifft2c(kspace)) / self.scale)
        else:  # the data as A^H y
            self.data = _y_last(A.adjoint(kspace) / self.scale)
            self.coils = _y_last(A.coils).expand(len(start), -1, -1, -1, -1)
            self.support = A.coils.abs().sum(1) > 0

    def normal(self, image: torch.Tensor) -> torch.Tensor:
        """``A^H A`` of several coils, one after the other: what belongs to one of them stays in the cache."""
        result = torch.zeros_like(image)
        assert self.coils is not None
        for maps in self.coils.unbind(1):
            hybrid = torch.fft.fft(maps * image, norm="ortho").mul_(self.mask)
            result.addcmul_(torch.fft.ifft(hybrid, norm="ortho"), maps.conj())
        return result

    def finish(self, cine: torch.Tensor) -> torch.Tensor:
        """Bring a cine back to the layout and units of the course; there is nothing where no coil sees anything."""
        return _y_last_undone(cine) * (self.scale * self.support)


class Algorithm:
    """An iteration over a batch of cines: `update` until `done`, as in sigpy.

    A cine that changes no more leaves the batch: its result stays and it costs nothing from then on. So a subclass,
    whose `step` is one iteration, names in ``PER_CINE`` its tensors that have the batch as their first axis.
    """

    PER_CINE: tuple[str, ...] = ()

    def __init__(self, problem: Problem, start: torch.Tensor):
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


class PrimalDual(Algorithm):
    """Chambolle and Pock: `kt_tv`."""

    STEP = 0.007  # the primal one; ||D||^2 is 4 and ||A||^2 is 1 in the dual steps
    DATA_SHARE = 0.3

    def __init__(self, problem: Problem, spatial: float):
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


class DouglasRachford(Algorithm):
    """Douglas and Rachford: `low_rank_sparse`. Results are the two parts, shape ``(b, 2, t, x, y)``."""

    def __init__(self, problem: Problem, sparse: float, still: float):
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
