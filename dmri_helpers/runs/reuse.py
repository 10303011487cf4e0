"""Reuse of runs: notebooks 04 to 06 train a network only if no run of the same network, training and data exists."""

import json
import zlib
from dataclasses import asdict
from pathlib import Path

import torch

from ..data.phantom import phantom
from ..methods import (
    WEIGHTS,
    NetworkConfig,
    build,
    describe_network,
    load_pretrained,
    network_config,
    read_weights,
)
from ..profiles import TrainConfig
from ..training import fit
from .folder import Run, read_log


def trained(
    name: str, network: NetworkConfig, config: TrainConfig, training, validation, runs: Path
) -> tuple[torch.nn.Module, list[dict], Path]:
    """Load the run of exactly this network, training and data if there is one; otherwise train it.

    The run is looked for among the weights that come with the package and then in ``runs``, and is recognised by its
    ``config.json``. An option that is missing there, because the run is older than the option, counts as its default.
    An interrupted run is continued.

    Parameters
    ----------
    name
        name of the run
    network, config
        the network that is trained and the configuration of its training
    training, validation
        `data.UndersampledCines`
    runs
        folder in which new runs are made

    Returns
    -------
        the model with its best weights, the log, and the folder of the run
    """
    description = {"network": describe_network(network), "data": describe_data(training, validation)}
    wanted = json.dumps(description | {"training": asdict(config)}, sort_keys=True)
    folder = Path(runs) / f"{name}-{zlib.crc32(wanted.encode()):08x}"
    for found in (WEIGHTS / name, *sorted(Path(runs).glob(f"{name}-" + "[0-9a-f]" * 8))):
        if _is_run_of(found, network, config, description["data"]):
            log = read_log(found / "log.csv") if (found / "log.csv").is_file() else []
            if log and log[-1]["epoch"] == config.epochs:
                shipped = found == WEIGHTS / name
                model = load_pretrained(name) if shipped else read_weights(found / "best.safetensors")
                return model, log, found
            if found.parent == Path(runs):
                folder = found
    model = build(network, config.seed)
    description["sampling"] = {"training": training.describe(), "validation": validation.describe()}
    log = fit(model, training, validation, config, Run(folder, description, resume=True))
    return model, log, folder


def describe_data(training, validation) -> dict:
    """Describe the cines and masks of a training, so that another run on the same data is recognised.

    Parameters
    ----------
    training, validation
        `data.UndersampledCines`

    Returns
    -------
        ``source`` and ``version`` of the cines (the version of the phantom, or a checksum of a file's first cines); for
        each of the two sets its shape, a checksum of the numbers of its cines, and the seed of its masks
    """
    if training.cines.source == "phantom":
        version = phantom.VERSION
    else:
        version = zlib.crc32(training.cines[0].numpy().tobytes() + validation.cines[0].numpy().tobytes())
    return {"source": training.cines.source, "version": version} | {
        name: {
            "shape": list(samples.cines.shape),
            "cines": zlib.crc32(str(samples.cines.indices.tolist()).encode()),
            "seed": samples.seed,
        }
        for name, samples in (("training", training), ("validation", validation))
    }


def _is_run_of(folder: Path, network: NetworkConfig, config: TrainConfig, data: dict) -> bool:
    """Say whether a folder holds a run of this network, training and data; an option that it lacks has its default."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        same = network_config(found["network"]) == network and TrainConfig(**found["training"]) == config
        return same and found["data"] == data
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
    ):  # not a run, or a run of another version of the package
        return False
