"""The forward model of undersampled cine MRI as an object: ``y = U F m``."""

import torch

from .fourier import fft2c, fftc_y, ifft2c, ifftc_y


class ForwardModel:
    """Undersampled Cartesian acquisition ``A = U F``: Fourier transform, then keep the sampled lines.

    Parameters
    ----------
    mask
        shape ``(b or 1, t, y, 1)``, bool, True where sampled

    Raises
    ------
    TypeError
        if the mask is not boolean: a mask of weights is not a mask
    ValueError
        if the mask is not of shape ``(b or 1, t, y, 1)``

    Examples
    --------
    >>> A = ForwardModel(mask)
    >>> aliased = A.adjoint(A(cine))  # b = F^-1 U F m
    """

    def __init__(self, mask: torch.Tensor):
        if mask.dtype != torch.bool:
            raise TypeError(f"expected a boolean mask, True where sampled; found {mask.dtype}")
        if mask.ndim != 4 or mask.shape[-1] != 1:
            raise ValueError(f"expected a mask of shape (b or 1, t, y, 1), found {tuple(mask.shape)}")
        self.mask = mask

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """``y = U F m``: what the scanner measures, zero where it does not.

        Parameters
        ----------
        image
            cine, shape ``(b, t, y, x)``, real or complex, arbitrary units

        Returns
        -------
            k-space, shape ``(b, t, y, x)``, complex, zero where not sampled, units of ``image``

        Raises
        ------
        ValueError
            if cine and mask do not match; the message names both shapes
        """
        return fft2c(self.check(image)) * self.mask

    def adjoint(self, kspace: torch.Tensor) -> torch.Tensor:
        """``A^H y = F^-1 U y``: the zero-filled image.

        Parameters
        ----------
        kspace
            shape ``(b, t, y, x)``, arbitrary units; lines that are not sampled are ignored

        Returns
        -------
            cine, shape ``(b, t, y, x)``, complex, units of ``kspace``

        Raises
        ------
        ValueError
            if k-space and mask do not match; the message names both shapes
        """
        return ifft2c(self.check(kspace) * self.mask)

    def normal(self, image: torch.Tensor) -> torch.Tensor:
        """``A^H A m = F^-1 U F m``, the aliased image ``b`` of the course, at half the cost.

        The readout transform cancels (``F_x^-1 F_x = 1``), so only ``ky`` is transformed.

        Parameters
        ----------
        image
            cine, shape ``(b, t, y, x)``, real or complex, arbitrary units

        Returns
        -------
            aliased cine, shape ``(b, t, y, x)``, complex, units of ``image``

        Raises
        ------
        ValueError
            if cine and mask do not match; the message names both shapes
        """
        return ifftc_y(fftc_y(self.check(image)) * self.mask)

    __call__ = forward

    def check(self, array: torch.Tensor) -> torch.Tensor:
        """Return a cine or k-space unchanged if its shape fits the mask.

        Parameters
        ----------
        array
            shape ``(b, t, y, x)``

        Returns
        -------
            the same array

        Raises
        ------
        ValueError
            if it does not fit; the message names both shapes
        """
        b, t, y, _ = self.mask.shape
        if array.ndim != 4 or array.shape[1:3] != (t, y) or b not in (1, array.shape[0]):
            raise ValueError(
                f"mask {tuple(self.mask.shape)} does not fit {tuple(array.shape)}: "
                "expected (b or 1, t, y, 1) and (b, t, y, x)"
            )
        return array
