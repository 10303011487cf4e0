"""Sets that are larger than the memory: `python tests/stress/scale.py`.

Patients of ten cines of 20 x 192 x 192 are imported, then a few of all cines train a small network. Memory is the
largest anonymous memory (RssAnon) of a command and its children; pages of files that the system can drop at any time
do not count. Writes figures/reliability/scale.json and the table of site/reliability.md.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from record import ROOT, record

SHAPE = 20, 192, 192
TRAIN = "--model unrolled --cascades 2 --features 8 --crop 32 --batch-size 1 --epochs 2 --cines-per-epoch 8 --augment"


def write_cines(folder: Path, n: int) -> int:
    """Patients of ten cines, a .npy of integers each: phantoms over and over, each a little brighter; their bytes."""
    sys.path[:0] = [str(ROOT)]
    from dmri_helpers.data.phantom.phantom import cine_phantom

    few = [cine_phantom(seed).image for seed in range(10)]
    for first in range(0, n, len(few)):
        array = np.array([image * (1000 + first + number) for number, image in enumerate(few)])
        np.save(folder / f"patient{first // len(few):04}.npy", array.astype(np.int16))
    return 4 * math.prod(SHAPE) * n


def anonymous(process: psutil.Process) -> int:
    """Bytes of anonymous memory of a process and its children."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        for line in Path(f"/proc/{one.pid}/status").read_text().splitlines():
            total += 1024 * int(line.split()[1]) if line.startswith("RssAnon") else 0
    return total


def measured(*words: str) -> tuple[float, float]:
    """Peak of memory in MB and seconds of a command of the package."""
    began, peak = time.monotonic(), 0
    child = subprocess.Popen(
        [sys.executable, "-m", "dmri_helpers", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    while child.poll() is None:
        try:
            peak = max(peak, anonymous(psutil.Process(child.pid)))
        except (OSError, psutil.Error):  # it has just ended
            pass
        time.sleep(0.05)
    if child.returncode:
        sys.exit(child.stderr.read().decode())
    return peak / 1e6, time.monotonic() - began


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("--cines", type=int, nargs="+", default=[100, 2000], help="multiples of ten")
    options = asked.parse_args()
    rows = []
    for n in options.cines:
        with tempfile.TemporaryDirectory() as top:
            size, imported = write_cines(Path(top), n), f"{top}/cines.npz"
            importing = measured("import", *map(str, sorted(Path(top).glob("*.npy"))), imported)
            split = ["--split", str(n - 4), "2", "2"]
            training = measured("train", "--data", imported, "--out", f"{top}/run", *split, *TRAIN.split())
        row = [n, f"{size / 1e9:.2f}"]
        rows.append(row + [f"{mb:.0f}" for mb, _ in (importing, training)])
        rows[-1] += [f"{seconds:.0f}" for _, seconds in (importing, training)]
        print(*rows[-1], flush=True)
    header = ["cines", "size (GB)", "import (MB)", "train (MB)", "import (s)", "train (s)"]
    command = f"python tests/stress/scale.py --cines {' '.join(map(str, options.cines))}"
    record(
        "scale",
        command,
        "Peak of memory",
        header,
        rows,
        {"rows": [dict(zip(header, row, strict=True)) for row in rows]},
    )
