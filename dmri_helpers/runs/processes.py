"""The processes that train together: one, or several that ``torchrun`` started, each with its own accelerator."""

import os
from typing import TYPE_CHECKING, Union

import torch

from ..training import Alone

if TYPE_CHECKING:
    from accelerate import Accelerator

Team = Union[Alone, "Accelerator"]


def processes(device: str | torch.device = "cpu") -> Team:
    """Return the team that trains: this process alone or, if ``torchrun`` started several, all of them.

    Parameters
    ----------
    device
        ``cpu``, or a kind of accelerator, of which every process gets one

    Returns
    -------
        an `accelerate.Accelerator`, or an object with the part of its interface that `fit` uses

    Raises
    ------
    ValueError
        if there are several processes but the package accelerate is missing or there are too few GPUs
    """
    if int(os.environ.get("WORLD_SIZE") or 1) == 1:
        return Alone(device)
    try:
        from accelerate import Accelerator
    except ModuleNotFoundError:
        raise ValueError(
            "torchrun started several processes: found no package accelerate; expected an installation with [cluster]"
        ) from None
    on_cpu, here = torch.device(device).type == "cpu", int(os.environ.get("LOCAL_WORLD_SIZE") or 1)
    if not on_cpu and here > torch.cuda.device_count():
        raise ValueError(
            f"torchrun started {here} processes on a machine with {torch.cuda.device_count()} GPUs; "
            "expected at most one for each"
        )
    return Accelerator(cpu=on_cpu, mixed_precision="no")
