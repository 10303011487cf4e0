"""Numbers on disk with what they need beside them: machine, versions, date, commit."""

import json
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .files import write_text


def machine() -> dict[str, str | int]:
    """What a number needs beside it: processor, cores, versions, date."""
    return {
        "machine": f"{_processor()}, {torch.get_num_threads()} threads"
        + (f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""),
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}",
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
    }


def commit() -> dict[str, str]:
    """The commit of this package's checkout, with ``-dirty`` where files were changed since; empty without one."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        subprocess.run(
            [*git, "ls-files", "--error-unmatch", Path(__file__).name], capture_output=True, check=True
        )
        describe = [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return {"commit": subprocess.run(describe, capture_output=True, check=True, text=True).stdout.strip()}
    except (OSError, subprocess.CalledProcessError):
        return {}


def record(path: Path, **content: Any) -> None:
    """Write measured numbers as JSON, with machine, versions and date beside them; not-a-number becomes null.

    Parameters
    ----------
    path
        the file; its folder is made where missing
    content
        what was measured, and with which profile, data and seed
    """
    text = json.dumps({**content, **machine()}, default=float)
    clean = json.loads(text, parse_constant=lambda name: None)
    write_text(path, json.dumps(clean, indent=1, ensure_ascii=False) + "\n")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
