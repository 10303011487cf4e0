"""Centred, orthonormal Fourier transforms: image (y, x) to k-space (ky, kx), and along ky alone.

Centred: the zero frequency sits at index ``n // 2``, where masks and plots expect it. Orthonormal: the
transform keeps the norm, so its adjoint is its inverse.
"""

import torch


def fft2c(image: torch.Tensor) -> torch.Tensor:
    """Transform images to k-space, ``y = F m``.

    Parameters
    ----------
    image
        shape ``(..., y, x)``, real or complex, arbitrary units

    Returns
    -------
        k-space, shape ``(..., ky, kx)``, complex, units of ``image``; zero frequency at ``(y // 2, x // 2)``
    """
    return _centred(torch.fft.fft2, image, (-2, -1))


def ifft2c(kspace: torch.Tensor) -> torch.Tensor:
    """Transform k-space to images, ``m = F^-1 y``: inverse and adjoint of `fft2c`.

    Parameters
    ----------
    kspace
        shape ``(..., ky, kx)``, complex, arbitrary units

    Returns
    -------
        images, shape ``(..., y, x)``, complex, units of ``kspace``
    """
    return _centred(torch.fft.ifft2, kspace, (-2, -1))


def fftc_y(image: torch.Tensor) -> torch.Tensor:
    """Transform along phase encode only: ``(..., y, x)`` to the hybrid space ``(..., ky, x)``.

    The readout is fully sampled, so every column ``x`` is a problem of its own and this half of the transform
    is all that undersampling and data consistency need.

    Parameters
    ----------
    image
        shape ``(..., y, x)``, real or complex, arbitrary units

    Returns
    -------
        hybrid data, shape ``(..., ky, x)``, complex, units of ``image``
    """
    return _centred(torch.fft.fftn, image, (-2,))


def ifftc_y(hybrid: torch.Tensor) -> torch.Tensor:
    """Transform hybrid data ``(..., ky, x)`` to images ``(..., y, x)``: inverse and adjoint of `fftc_y`.

    Parameters
    ----------
    hybrid
        shape ``(..., ky, x)``, complex, arbitrary units

    Returns
    -------
        images, shape ``(..., y, x)``, complex, units of ``hybrid``
    """
    return _centred(torch.fft.ifftn, hybrid, (-2,))


def _centred(transform, array: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    array = torch.fft.ifftshift(array, dim=axes)
    return torch.fft.fftshift(transform(array, dim=axes, norm="ortho"), dim=axes)
