"""Reconstruction by the BART toolbox, where it is installed, to compare our methods with one that others wrote."""

import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch

BART = ("-d0", "-w", "1", "-e", "-i", "100", "-R", "T:1024:0:0.005", "-R", "W:3:0:0.001")


def bart(kspace: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Reconstruct with the BART toolbox: temporal total variation and spatial wavelets, one coil.

    Parameters
    ----------
    kspace
        shape ``(1, t, y, x)``, of an image whose magnitudes are about 1
    mask
        shape ``(1, t, y, 1)``; BART itself takes every line that is not zero for a measured one

    Returns
    -------
        complex cine, shape ``(1, t, y, x)``

    Raises
    ------
    RuntimeError
        if BART fails; the message ends with what it printed last
    """
    frames, ny, nx = kspace.shape[1:]
    measured = (kspace * mask)[0].numpy().transpose(1, 2, 0).reshape(ny, nx, *[1] * 8, frames)
    with tempfile.TemporaryDirectory() as folder:
        names = [str(Path(folder) / name) for name in ("kspace", "coil", "image")]
        for name, array in zip(names, (measured, np.ones((ny, nx, *[1] * 9))), strict=False):
            Path(f"{name}.hdr").write_text("# Dimensions\n" + " ".join(map(str, array.shape)) + "\n")
            array.astype(np.complex64).T.tofile(f"{name}.cfl")
        threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
        done = subprocess.run(
            ["bart", "pics", *BART, *names], env={**os.environ, **threads}, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"bart pics failed: {' '.join(done.stderr.split())[-200:]}")
        image = np.fromfile(f"{names[2]}.cfl", np.complex64).reshape(frames, nx, ny)
    return torch.from_numpy(image.transpose(0, 2, 1).copy())[None]
