"""Reconstruction by the BART toolbox, where it is installed, to compare our methods with one that others wrote."""

import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch

from ..operators import ForwardModel

BART = ("-d0", "-w", "1", "-e", "-i", "100", "-R", "T:1024:0:0.005", "-R", "W:3:0:0.001")


def bart(kspace: torch.Tensor, A: ForwardModel) -> torch.Tensor:
    """Reconstruct with the BART toolbox: temporal total variation and spatial wavelets.

    Parameters
    ----------
    kspace
        of one cine, shape ``(1, t, y, x)``, with coils ``(1, c, t, y, x)``; magnitudes of the image of order 1
    A
        its forward model; BART takes the lines that are not zero for the measured ones

    Returns
    -------
        complex cine, shape ``(1, t, y, x)``

    Raises
    ------
    RuntimeError
        if BART fails; the message ends with what it printed last
    """
    coils = torch.ones(1, *kspace.shape[-2:]) if A.coils is None else A.coils[0, :, 0]
    measured = (kspace * A.lines)[0].reshape(len(coils), *kspace.shape[-3:])
    frames, ny, nx = measured.shape[1:]
    with tempfile.TemporaryDirectory() as folder:
        names = [str(Path(folder) / name) for name in ("kspace", "coils", "image")]
        arrays = (
            measured.permute(2, 3, 0, 1).reshape(ny, nx, 1, -1, *[1] * 6, frames),
            coils.permute(1, 2, 0)[:, :, None],
        )
        for name, array in zip(names, arrays, strict=False):
            Path(f"{name}.hdr").write_text("# Dimensions\n" + " ".join(map(str, array.shape)) + "\n")
            array.numpy().astype(np.complex64).T.tofile(f"{name}.cfl")
        threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
        done = subprocess.run(
            ["bart", "pics", *BART, *names], env={**os.environ, **threads}, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"bart pics failed: {' '.join(done.stderr.split())[-200:]}")
        image = np.fromfile(f"{names[2]}.cfl", np.complex64).reshape(frames, nx, ny)
    return torch.from_numpy(image.transpose(0, 2, 1).copy())[None]
