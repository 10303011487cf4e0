"""How long a cine takes beside busy neighbours, by how threads wait: `python tests/stress/threads.py`.

Processes with different settings of OpenMP are started once and take turns, so that the rows of one number of
neighbours are measured one right after the other. A neighbour is a process that computes without pause; where other
programs run as well, the load average beside a row shows it. Writes figures/reliability/threads.json and the table of
site/reliability.md.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from record import record

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {  # name -> variables of the environment; the first is PyTorch's own, the second ours
    "threads that spin": {"OMP_WAIT_POLICY": "active"},
    "threads that wait (default of the course)": {},
    "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
CHILD = """
import sys, time
from dmri_helpers import classical, methods, operators, sampling
import torch
shape = tuple(map(int, sys.argv[1:]))
cine = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)).to(torch.complex64)
A = operators.ForwardModel(sampling.ky_t_mask(cine.shape, 5, seed=0))
kspace = A(cine)
ways = {"network": methods.load("unrolled"), "k-t TV": lambda y, A: classical.kt_tv(y, A, iterations=30)}
small = operators.ForwardModel(A.mask[:, :2])
for way in ways.values():
    with torch.no_grad():
        way(kspace[:, :2], small)
print("ready", flush=True)
for name in sys.stdin:
    began = time.perf_counter()
    with torch.no_grad():
        ways[name.strip()](kspace, A)
    print(time.perf_counter() - began, flush=True)
"""


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--shape", type=int, nargs=3, default=(20, 192, 192))
    asked.add_argument("--neighbours", type=int, nargs="+", default=(0, 3, 8))
    options = asked.parse_args()
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))
    }
    command = [sys.executable, "-c", CHILD, *map(str, options.shape)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    children = {}
    for name, chosen in SETTINGS.items():
        environment = kept | {"PYTHONPATH": str(ROOT)} | chosen
        children[name] = subprocess.Popen(command, env=environment, **pipes)
        assert children[name].stdout.readline() == "ready\n"
    rows = []
    for number in options.neighbours:
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
        try:
            time.sleep(1)
            for name, child in children.items():
                seconds = {}
                for method in ("network", "k-t TV"):
                    child.stdin.write(f"{method}\n")
                    child.stdin.flush()
                    seconds[method] = float(child.stdout.readline())
                row = {"neighbours": number, "setting": name, "load": os.getloadavg()[0], **seconds}
                rows.append(row)
                print(row, flush=True)
        finally:
            for process in busy:
                process.kill()
                process.wait()
    for child in children.values():
        child.stdin.close()
        child.wait()
    report(rows, options.shape, options.neighbours)


def report(rows: list[dict], size: list[int], neighbours: list[int]) -> None:
    """Write the record and the page's table."""
    shape = " x ".join(map(str, size))
    text = f"python tests/stress/threads.py --shape {shape.replace(' x ', ' ')}"
    text += f" --neighbours {' '.join(map(str, neighbours))}"
    best = {
        (row["neighbours"], method): min(
            other[method] for other in rows if other["neighbours"] == row["neighbours"]
        )
        for row in rows
        for method in ("network", "k-t TV")
    }
    lines = [
        [row["neighbours"], row["setting"], f"{row['load']:.1f}"]
        + [f"{row[m]:.1f} ({row[m] / best[row['neighbours'], m]:.1f})" for m in ("network", "k-t TV")]
        for row in rows
    ]
    header = ["neighbours", "threads", "load average", "network (s)", "k-t TV (s)"]
    said = f"One cine of {shape}, {os.cpu_count()} cores"
    record("threads", text, said, header, lines, {"cores": os.cpu_count(), "rows": rows})


if __name__ == "__main__":
    main()
