"""A class at once, kernels of notebooks 01 and 02: `python tests/stress/classroom.py`.

Every student has a folder, a cache and a kernel of their own, on the profile tiny. All kernels begin together, half of
them with notebook 01 and half with 02. Memory is the proportional set size (PSS) of a kernel and its children: what
kernels share counts in parts. Writes figures/reliability/classroom.json and the table of site/reliability.md; what else
the machine does shows in the load average that is written, too.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient
from record import ROOT, record

NOTEBOOKS = "01_sampling", "02_aliasing"
SYSTEM = 1.5  # GB for the system and the hub


def environment(folder: Path) -> dict[str, str]:
    """That of a student: the variables of this process without settings of threads, and folders of their own."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "MKL_", "GOMP_"))
    }
    own = {"DMRI_CACHE": str(folder / "cache"), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    return kept | own | {"DMRI_PROFILE": "tiny", "DMRI_DATA": "phantom", "PYTHONPATH": str(ROOT)}


def pss(process: psutil.Process) -> int:
    """Bytes of a process and of all that it started."""
    total = 0
    try:
        for one in (process, *process.children(recursive=True)):
            text = Path(f"/proc/{one.pid}/smaps_rollup").read_text()
            total += 1024 * int(text.split("Pss:")[1].split()[0])
    except (OSError, IndexError, psutil.Error):  # it has just ended
        pass
    return total


async def student(number: int, top: Path, peaks: list[int]) -> dict:
    """Execute a notebook in a kernel of its own: name, seconds, what went wrong, peak of memory."""
    name, folder = NOTEBOOKS[number % len(NOTEBOOKS)], top / str(number)
    (folder / "runtime").mkdir(parents=True)
    shutil.copy(ROOT / "notebooks" / f"{name}.ipynb", folder)
    notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    client = NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": str(folder)}})
    began, said = time.monotonic(), ""

    async def watch() -> None:
        while True:
            await asyncio.sleep(1)
            pid = getattr(getattr(client.km, "provisioner", None), "pid", None)
            if pid and psutil.pid_exists(pid):
                peaks[number] = max(peaks[number], await asyncio.to_thread(pss, psutil.Process(pid)))

    watcher = asyncio.create_task(watch())
    try:
        await client.async_execute(env=environment(folder))
    except Exception as error:
        said = f"{type(error).__name__}: {str(error)[-300:]}"
    watcher.cancel()
    return {"notebook": name, "seconds": time.monotonic() - began, "failed": said}


def kernels(number: int) -> dict:
    """So many students at once: what became of each, and the most memory that its kernel held."""
    peaks, load = [0] * number, os.getloadavg()[0]

    async def everyone(top: Path) -> list[dict]:
        return await asyncio.gather(*(student(i, top, peaks) for i in range(number)))

    with tempfile.TemporaryDirectory() as top:
        students = asyncio.run(everyone(Path(top)))
    for one, peak in zip(students, peaks, strict=True):
        one["peak"] = peak
    return {"students": number, "load before": load, "kernels": students}


def server() -> int:
    """Memory of the JupyterLab that a student has beside the kernel: PSS half a minute after it began to answer."""
    with tempfile.TemporaryDirectory() as top:
        (Path(top) / "runtime").mkdir()
        command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--port=0"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        child = subprocess.Popen(command, cwd=top, env=environment(Path(top)), **quiet)
        try:
            while not list((Path(top) / "runtime").glob("jpserver-*.json")):
                time.sleep(0.5)
            time.sleep(30)
            return pss(psutil.Process(child.pid))
        finally:
            child.terminate()
            child.wait()


def quantiles(values: list[float]) -> str:
    """Median, nine tenths and the largest."""
    ordered = sorted(values)
    return " / ".join(
        f"{value:.0f}" for value in (statistics.median(ordered), ordered[9 * len(ordered) // 10], ordered[-1])
    )


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--students", type=int, nargs="+", default=(8, 16))
    options = asked.parse_args()
    rows, found = [], {"system_gb": SYSTEM, "server": server()}
    found["classes"] = [kernels(number) for number in options.students]
    for of in found["classes"]:
        done = [one for one in of["kernels"] if not one["failed"]]
        times = [
            quantiles([one["seconds"] for one in done if one["notebook"] == name] or [0])
            for name in NOTEBOOKS
        ]
        peak = max(one["peak"] for one in of["kernels"]) + found["server"]
        fit = [max(int((memory - SYSTEM) * 1e9 // peak), 0) for memory in (8, 16, 24)]
        rows.append([of["students"], f"{len(done)} of {of['students']}", *times, f"{peak / 1e9:.2f}", *fit])
        rows[-1].insert(1, f"{of['load before']:.1f}")
        print(rows[-1], [one["failed"] for one in of["kernels"] if one["failed"]], flush=True)
    header = ["students", "load before", "finished", "01 (s)", "02 (s)", "memory of one (GB)"]
    header += [f"fit into {memory} GB" for memory in (8, 16, 24)]
    said = f"{os.cpu_count()} cores, a JupyterLab of {found['server'] / 1e9:.2f} GB each"
    command = f"python tests/stress/classroom.py --students {' '.join(map(str, options.students))}"
    record("classroom", command, said, header, rows, found)


if __name__ == "__main__":
    main()
