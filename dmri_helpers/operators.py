"""The forward model of dynamic MRI as an object, ``y = U F S m + n`` (notebooks 02 and 07).

All functions of this module share these arrays; a ``ValueError`` for arrays that do not fit names both shapes.

- ``image``: cine, shape ``(b, t, y, x)``, real or complex, arbitrary units
- ``kspace``: shape ``(b, t, y, x)``, with coils ``(b, c, t, y, x)``, complex, zero where not sampled, units of images
- ``mask``: shape ``(b or 1, t, y, 1)``, bool, True where sampled; ``y`` is the phase encode direction
- ``coils``: maps of the coils' sensitivities, shape ``(b or 1, c, 1 or t, y, x)``, complex; their root sum of squares
  is 1 where there is signal and 0 elsewhere
"""

import math
from collections.abc import Callable

import torch

from .fourier import fft2c, ifft2c

Weight = float | torch.Tensor


class ForwardModel:
    """Undersampled Cartesian acquisition ``A = U F S``: coils, Fourier transform, then keep the sampled lines.

    Parameters
    ----------
    mask, coils
        see the module; without ``coils`` there is one coil, as sensitive everywhere
    noise
        standard deviation of the complex white noise ``n`` of a k-space sample, in units of the image (the Fourier
        transform is orthonormal); one for all cines, or shape ``(b,)``

    Raises
    ------
    TypeError
        if the mask is not boolean: a mask of weights is not a mask

    Examples
    --------
    >>> A = ForwardModel(mask)
    >>> aliased = A.adjoint(A(cine))  # b = F^-1 U F m
    """

    cg_steps = 10
    """steps of conjugate gradients that `closest` takes with several coils"""

    def __init__(self, mask: torch.Tensor, coils: torch.Tensor | None = None, noise: Weight = 0.0):
        if mask.dtype != torch.bool:
            raise TypeError(f"expected a boolean mask, True where sampled; found {mask.dtype}")
        if mask.ndim != 4 or mask.shape[-1] != 1:
            raise ValueError(f"expected a mask of shape (b or 1, t, y, 1), found {tuple(mask.shape)}")
        if coils is not None and not (
            coils.ndim == 5
            and coils.shape[2] in (1, mask.shape[1])
            and coils.shape[3] == mask.shape[2]
            and (1 in (len(coils), len(mask)) or len(coils) == len(mask))
        ):
            raise ValueError(
                f"coils {tuple(coils.shape)} do not fit the mask {tuple(mask.shape)}: "
                "expected (b or 1, c, 1 or t, y, x) and (b or 1, t, y, 1)"
            )
        self.mask, self.coils, self.noise = mask, coils, noise

    @property
    def lines(self) -> torch.Tensor:
        """The mask as it multiplies k-space: with a coil axis where k-space has one."""
        return self.mask if self.coils is None else self.mask[:, None]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """``y = U F S m``: what the scanner measures apart from its noise, zero where it does not measure."""
        return fft2c(self._expand(self.check(image))) * self.lines

    def adjoint(self, kspace: torch.Tensor) -> torch.Tensor:
        """``A^H y = S^H F^-1 U y``: the zero-filled image; lines that are not sampled are ignored."""
        return self.combine(ifft2c(self.check(kspace, coils=True) * self.lines))

    def normal(self, image: torch.Tensor) -> torch.Tensor:
        """``A^H A m``, the aliased image ``b`` of the course, at less than half the cost.

        The readout transform cancels (``F_x^-1 F_x = 1``), so only ``ky`` is transformed. So do shifts to the centre of
        the image, which are a phase in k-space that the mask does not touch; the mask alone is shifted.
        """
        hybrid = torch.fft.fft(self._expand(self.check(image)), dim=-2)
        hybrid = hybrid * torch.fft.ifftshift(self.lines, dim=-2)
        return self.combine(torch.fft.ifft(hybrid, dim=-2))

    def closest(self, image: torch.Tensor, aliased: torch.Tensor, weight: Weight) -> torch.Tensor:
        """The data step of every method: ``argmin_m ||m - image||^2 + weight ||A m - y||^2``.

        The minimum solves ``(1 + weight A^H A) m = image + weight A^H y``, so the data are needed as ``A^H y`` alone.
        With one coil ``A^H A`` is a projection, and ``m = image + weight / (1 + weight) (A^H y - A^H A image)``:
        sampled lines become ``(F image + weight y) / (1 + weight)`` [1]_. With several coils ``m`` is found from the
        image by a few steps of conjugate gradients [2]_, for every column alone.

        Parameters
        ----------
        image
            what the result is close to
        aliased
            ``A.adjoint(kspace)``
        weight
            of the data: one for all cines, or shape ``(b,)``; infinite for the nearest image that agrees with them

        References
        ----------
        .. [1] Schlemper et al., A deep cascade of convolutional neural networks for dynamic MR image reconstruction,
           IEEE Trans Med Imaging 37:491 (2018), equation 6.
        .. [2] Aggarwal, Mani & Jacob, MoDL: Model-based deep learning architecture for inverse problems, IEEE Trans
           Med Imaging 38:394 (2019).
        """
        inverse = 1 / per_cine(weight, image)  # 0 where the weight is infinite
        if self.coils is None:
            return image + (aliased - self.normal(image)) / (1 + inverse)
        return conjugate_gradients(
            lambda m: inverse * m + self.normal(m),
            inverse * image + aliased,
            image,
            self.cg_steps,
            axes=(-2,),
        )

    def combine(self, images: torch.Tensor) -> torch.Tensor:
        """One cine of the images of all coils, ``sum_c conj(S_c) m_c``; that of one coil is returned as it is."""
        return images if self.coils is None else (self.coils.conj() * images).sum(1)

    def to(self, device: torch.device | str) -> "ForwardModel":
        """The same model on another device."""
        moved = (part.to(device) if isinstance(part, torch.Tensor) else part for part in self._parts())
        return ForwardModel(*moved)

    def __getitem__(self, cines: slice | torch.Tensor) -> "ForwardModel":
        """The model of some cines of the batch: a slice, indices or booleans."""
        return ForwardModel(*(_chosen(part, cines) for part in self._parts()))

    __call__ = forward

    def check(self, array: torch.Tensor, coils: bool = False) -> torch.Tensor:
        """Return an image, or k-space if ``coils``, unchanged if its shape fits mask and coils."""
        maps, (_, t, y, _) = self.coils, self.mask.shape
        axes = (maps.shape[1], t, y) if coils and maps is not None else (t, y)
        fits = array.shape[1:-1] == axes and len(self.mask) in (1, len(array))
        if maps is not None:
            fits &= len(maps) in (1, len(array)) and maps.shape[-1] == array.shape[-1]
        if not fits:
            found = f"mask {tuple(self.mask.shape)}"
            found += "" if maps is None else f" with coils {tuple(maps.shape)}"
            expected = "(b, c, t, y, x)" if len(axes) == 3 else "(b, t, y, x)"
            raise ValueError(
                f"{found} does not fit {tuple(array.shape)}: expected (b or 1, t, y, 1) and {expected}"
            )
        return array

    def _expand(self, image: torch.Tensor) -> torch.Tensor:
        return image if self.coils is None else self.coils * image[:, None]

    def _parts(self) -> tuple:
        return self.mask, self.coils, self.noise


def per_cine(value: Weight, like: torch.Tensor) -> torch.Tensor:
    """A number per cine, or one for all, as a real tensor that multiplies arrays such as ``like``, ``(b, ...)``."""
    value = torch.as_tensor(value, dtype=like.real.dtype, device=like.device)
    return value.reshape(-1, *[1] * (like.ndim - 1)) if value.ndim else value


def conjugate_gradients(
    operator: Callable[[torch.Tensor], torch.Tensor],
    right: torch.Tensor,
    start: torch.Tensor | None = None,
    steps: int = 10,
    axes: tuple[int, ...] = (-2, -1),
) -> torch.Tensor:
    """Solve ``operator(m) = right`` for a self-adjoint operator that is not negative [1]_.

    Where there are many solutions it finds the one that is nearest to the start.

    Parameters
    ----------
    operator
        linear, image to image
    right
        right side, complex
    start
        first guess; None is zero
    steps
        how many, each with one application of the operator
    axes
        over which the operator mixes: what the other axes number are problems of their own, solved side by side

    References
    ----------
    .. [1] Hestenes & Stiefel, Methods of conjugate gradients for solving linear systems, J Res Natl Bur Stand 49:409
       (1952).
    """

    def squared(array: torch.Tensor) -> torch.Tensor:
        return (array.real.square() + array.imag.square()).sum(axes, keepdim=True)

    solution = torch.zeros_like(right) if start is None else start
    residual = direction = right if start is None else right - operator(start)
    error = squared(residual)
    largest = squared(right).amax(tuple(range(1, right.ndim)), keepdim=True)
    rounding = (10 * torch.finfo(error.dtype).eps) ** 2 * largest
    for _ in range(steps):
        image = operator(direction)
        curvature = (direction.real * image.real + direction.imag * image.imag).sum(axes, keepdim=True)
        unsolved = error > rounding  # what is solved takes no more steps, and no gradient of 0 / 0
        length = torch.where(unsolved, error / torch.where(unsolved, curvature, 1), 0)
        solution = solution + length * direction
        residual = residual - length * image
        before, error = error, squared(residual)
        direction = residual + error / torch.where(unsolved, before, 1) * direction
    return solution


def _chosen(part: torch.Tensor | float | None, cines) -> torch.Tensor | float | None:
    shared = not isinstance(part, torch.Tensor) or not part.ndim or len(part) == 1
    return part if shared else part[cines]


def noise_level(kspace: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Estimate the noise of every cine from lines that all frames have, where the signal is least: shape ``(b,)``.

    That is at the ends of the readout and at high temporal frequencies. The power of white noise is the same from one
    band of the readout to the next, that of an image falls; so the power of the outermost eighths at both ends is
    extrapolated by what it falls from the next eighths: ``noise^2 = 2 outer - inner``, or 0 where that is negative,
    with medians, so that lines of much signal do not count. Of images that reach 1 it finds noise of .02 and more to
    10 %, less of it up to a third too low, and 0 to .004 where there is none; what noise the images have is noise, too.
    """
    lines, spectrum = mask.all(1), torch.fft.fft(kspace, dim=-3, norm="ortho")
    t, _, x = kspace.shape[-3:]
    fast = torch.fft.fftfreq(t, device=kspace.device).abs() >= 0.25
    distance = (torch.arange(x, device=kspace.device) - x // 2).abs() / x
    levels = []
    for cine, known in zip(spectrum, lines.expand(len(kspace), -1, -1)[..., 0], strict=True):
        power = cine[..., fast, :, :][..., known, :].abs().square()
        outer, inner = power[..., distance > 3 / 8], power[..., (distance > 1 / 4) & (distance <= 3 / 8)]
        levels.append(
            (2 * outer.median() - inner.median()).clamp(min=0) if outer.numel() else power.new_zeros(())
        )
    return (torch.stack(levels) / math.log(2)).sqrt()  # the median of the power is its mean times log 2


def coil_maps(
    kspace: torch.Tensor,
    mask: torch.Tensor,
    kernel: int = 4,
    threshold: float = 0.005,
    crop: float = 0.9,
    signal: float = 0.03,
) -> torch.Tensor:
    """Maps of the coils from the lines that all frames have, averaged over the frames, by ESPIRiT [1]_.

    Patches of ``kernel x kernel`` samples of all coils span a space of few dimensions. Projecting k-space on it leaves
    the measured data as they are, so in every pixel the vector of sensitivities is an eigenvector of that projection,
    with the eigenvalue 1. Their phase is relative to a virtual coil, the weighted sum of coils that has most signal,
    whose own phase is zero everywhere. The defaults were chosen on simulated coils and 11 lines.

    Parameters
    ----------
    kernel
        edge of a patch, at most the number of lines
    threshold
        singular vectors of the patches count whose singular value is larger, relative to the largest
    crop, signal
        maps are zero where the eigenvalue is smaller than ``crop``, and where the blurred image of the centre is darker
        than ``signal``, relative to its maximum

    Returns
    -------
        maps, shape ``(b, c, 1, y, x)``, root sum of squares 1 or 0

    Raises
    ------
    ValueError
        if fewer lines than ``kernel`` in the middle of k-space are sampled in all frames

    References
    ----------
    .. [1] Uecker et al., ESPIRiT: an eigenvalue approach to autocalibrating parallel MRI, Magn Reson Med 71:990
       (2014).
    """
    known = mask.all(1).expand(len(kspace), -1, -1)[..., 0]
    maps = []
    for data, lines in zip(kspace.mean(2), known, strict=True):
        centre, middle = _around_the_middle(lines), data.shape[-1] // 2
        if len(centre) < kernel:
            raise ValueError(
                f"{len(centre)} centre lines are sampled in all frames, expected at least {kernel}"
            )
        columns = torch.arange(data.shape[-1], device=data.device)
        columns = columns[(columns - middle).abs() <= 2 * len(centre)]
        calibration = data[:, centre][..., columns]
        values, vectors = torch.linalg.eigh(_projection(calibration, kernel, threshold, data.shape[1:]))
        strongest = _virtual_coil(calibration)
        phase = torch.sgn(torch.einsum("c,yxc->yx", strongest.conj(), vectors[..., -1]))
        blurred = _blurred(data, centre)
        support = (values[..., -1] > crop) & (blurred > signal * blurred.max())
        maps.append(vectors[..., -1].movedim(-1, 0) * (phase.conj() * support))
    return torch.stack(maps)[:, :, None]


def _around_the_middle(lines: torch.Tensor) -> torch.Tensor:
    """The numbers of those lines, True in ``lines``, that have no gap between them and the middle."""
    middle = len(lines) // 2
    below, above = lines[: middle + 1].flip(0), lines[middle:]
    first, last = (int(side.long().cumprod(0).sum()) for side in (below, above))
    return torch.arange(middle - first + 1, middle + last, device=lines.device)


def _projection(centre: torch.Tensor, kernel: int, threshold: float, shape: tuple[int, int]) -> torch.Tensor:
    """On what patches of ``centre``, shape ``(c, ky, kx)``, have in common: in every pixel, ``(y, x, c, c)``.

    Its entries have no more frequencies than two kernels have samples, so they are computed on a grid of so many
    pixels, and then interpolated by zero-filling.
    """
    c, small = len(centre), 2 * kernel
    patches = centre.unfold(1, kernel, 1).unfold(2, kernel, 1)  # (c, n, m, kernel, kernel)
    patches = patches.permute(1, 2, 0, 3, 4).flatten(2).flatten(0, 1)
    squared, vectors = torch.linalg.eigh(patches.mH @ patches)
    kernels = vectors[:, squared > threshold**2 * squared[-1]].T.reshape(-1, c, kernel, kernel)
    images = torch.fft.fft2(kernels, s=(small, small)) / kernel
    coarse = torch.einsum("rcyx,rdyx->cdyx", images.conj(), images)
    spectrum = torch.fft.fftshift(torch.fft.fft2(coarse, norm="forward"), dim=(-2, -1))
    low = [(n - small) // 2 + (n % 2) for n in shape]  # where the small spectrum lies in the large one
    margins = (low[1], shape[1] - small - low[1], low[0], shape[0] - small - low[0])
    padded = torch.fft.ifftshift(torch.nn.functional.pad(spectrum, margins), dim=(-2, -1))
    fine = torch.fft.fftshift(torch.fft.ifft2(padded, norm="forward"), dim=(-2, -1))
    return fine.permute(2, 3, 0, 1)


def _blurred(kspace: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Root sum of squares of what the centre shows of the coils, without ringing: ``(y, x)``."""
    y, x = (torch.arange(n, device=kspace.device) - n // 2 for n in kspace.shape[-2:])
    width = len(centre) / 2 + 1
    windows = [torch.cos(k / width * math.pi / 2).square() * (k.abs() < width) for k in (y, x)]
    return ifft2c(kspace * windows[0][:, None] * windows[1]).abs().square().sum(0).sqrt()


def _virtual_coil(centre: torch.Tensor) -> torch.Tensor:
    """Weights of the combination of coils with most signal, the largest of them real."""
    data = centre.flatten(1)
    weights = torch.linalg.eigh(data @ data.mH)[1][:, -1]
    return weights * torch.sgn(weights[weights.abs().argmax()]).conj()
