"""Centred, orthonormal Fourier transforms (notebooks 01 and 02): image (y, x) to k-space (ky, kx), and along ky alone.

Centred: the zero frequency sits at index ``n // 2``, where masks and plots expect it. Orthonormal: the transform keeps
the norm, so its adjoint is its inverse. Arrays have the shape ``(..., y, x)``, real or complex, in arbitrary units;
results are complex, of the same shape and units.
"""

import torch


def fft2c(image: torch.Tensor) -> torch.Tensor:
    """Transform images to k-space, ``y = F m``; the zero frequency is at ``(y // 2, x // 2)``."""
    return _centred(torch.fft.fft2, image, (-2, -1))


def ifft2c(kspace: torch.Tensor) -> torch.Tensor:
    """Transform k-space to images, ``m = F^-1 y``: inverse and adjoint of `fft2c`."""
    return _centred(torch.fft.ifft2, kspace, (-2, -1))


def fftc_y(image: torch.Tensor) -> torch.Tensor:
    """Transform along phase encode only: ``(..., y, x)`` to the hybrid space ``(..., ky, x)``.

    The readout is fully sampled, so every column ``x`` is a problem of its own and this half of the transform
    is all that undersampling and data consistency need.
    """
    return _centred(torch.fft.fftn, image, (-2,))


def ifftc_y(hybrid: torch.Tensor) -> torch.Tensor:
    """Transform hybrid data ``(..., ky, x)`` to images ``(..., y, x)``: inverse and adjoint of `fftc_y`."""
    return _centred(torch.fft.ifftn, hybrid, (-2,))


def _centred(transform, array: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    array = torch.fft.ifftshift(array, dim=axes)
    return torch.fft.fftshift(transform(array, dim=axes, norm="ortho"), dim=axes)
