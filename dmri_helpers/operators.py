"""The forward model of dynamic MRI as an object, ``y = U F S m + n`` (notebooks 02 and 07).

All functions of this module share these arrays; a ``ValueError`` for arrays that do not fit names both shapes.

- ``image``: cine, shape ``(b, t, y, x)``, real or complex, arbitrary units
- ``kspace``: shape ``(b, t, y, x)``, with coils ``(b, c, t, y, x)``, complex, zero where not sampled, units of images
- ``mask``: shape ``(b or 1, t, y, 1)``, bool, True where sampled; ``y`` is the phase encode direction
- ``coils``: maps of the coils' sensitivities, shape ``(b or 1, c, 1 or t, y, x)``, complex; their root sum of squares
  is 1 where there is signal and 0 elsewhere
"""

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
        coils = None if self.coils is None else self.coils.to(device)
        noise = self.noise.to(device) if isinstance(self.noise, torch.Tensor) else self.noise
        return ForwardModel(self.mask.to(device), coils, noise)

    def __getitem__(self, cines: slice | torch.Tensor) -> "ForwardModel":
        """The model of some cines of the batch: a slice, indices or booleans."""
        coils = None if self.coils is None else _chosen(self.coils, cines)
        noise = _chosen(self.noise, cines) if isinstance(self.noise, torch.Tensor) else self.noise
        return ForwardModel(_chosen(self.mask, cines), coils, noise)

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
        array = (
            array.detach()
        )  # gradients go through the steps, not through their lengths, which near the solution
        return (array.real.square() + array.imag.square()).sum(
            axes, keepdim=True
        )  # are ratios of rounding errors

    solution = torch.zeros_like(right) if start is None else start
    residual = direction = right if start is None else right - operator(start)
    error = squared(residual)
    largest = squared(right).amax(tuple(range(1, right.ndim)), keepdim=True)
    rounding = (10 * torch.finfo(error.dtype).eps) ** 2 * largest
    for _ in range(steps):
        image = operator(direction)
        curvature = (direction.detach().conj() * image.detach()).real.sum(axes, keepdim=True)
        unsolved = error > rounding  # what is solved takes no more steps, and no gradient of 0 / 0
        length = torch.where(unsolved, error / torch.where(unsolved, curvature, 1), 0)
        solution = solution + length * direction
        residual = residual - length * image
        before, error = error, squared(residual)
        direction = residual + error / torch.where(unsolved, before, 1) * direction
    return solution


def _chosen(part: torch.Tensor, cines: slice | torch.Tensor) -> torch.Tensor:
    """Of what the batch shares everything, else that of the chosen cines."""
    return part if not part.ndim or len(part) == 1 else part[cines]
