"""The command line: ``dmri`` or ``python -m dmri_helpers``.

Whatever is wrong with the input is one line on stderr and exit code 2. Output files are never overwritten
without ``--force`` and appear whole or not at all. Heavy imports wait until a command runs, so help is quick.
"""

import argparse
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from typing import Annotated

import tyro
from tyro.conf import (
    FlagCreatePairsOff,
    subcommand,
)

from .. import profiles
from .cines import Fetch, Import, ImportACDC, Info, Phantom
from .evaluate import Evaluate, Reconstruct
from .output import PROFILES, UsageError, one_line
from .report import Report
from .studies import Bench, Fingerprint, Sweep
from .train import Train, command_to_go_on

DESCRIPTION = """Undersample, reconstruct and measure dynamic MRI; train the networks of the course.

Example: dmri info cine.npz

Example: dmri import scans/ cine.npz

Example: dmri evaluate --data cine.npz --method view_sharing --json view_sharing.json

Example: dmri train --out runs/first

Options of a command: dmri evaluate --help"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv
        arguments; by default those of the process

    Returns
    -------
        exit code: 0 done, 2 wrong input (one line on stderr), 130 interrupted
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without a sign must not cost a finished result
    try:
        if _parse(argv)():
            print(f"go on with: {command_to_go_on(argv)}")
        sys.stdout.flush()
    except SystemExit as stop:  # --help
        return int(stop.code or 0)
    except KeyboardInterrupt:
        print("\ndmri: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, OSError, MemoryError, ArithmeticError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and type(error).__name__ == "ReportError":
            print(
                f"dmri: {error}", file=sys.stderr
            )  # a notebook or the renderer failed: not the input's fault
            return 1
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        print(f"dmri: error: {one_line(error)}", file=sys.stderr)
        return 2
    return 0


def _parse(argv: list[str]) -> Callable[[], bool | None]:
    """The command, ready to be called. What tyro would say in a box is one line here."""
    if argv[:2] == ["import", "acdc"]:
        argv = ["import acdc", *argv[2:]]
    ahead = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    ahead.add_argument("--model")
    ahead.add_argument("--profile")
    messages = io.StringIO()
    try:
        with redirect_stderr(messages):
            chosen = ahead.parse_known_args(argv if argv[:1] == ["train"] else [])[0]
            profile = PROFILES.get(chosen.profile) or profiles.current()
            model = "unrolled" if chosen.model == "unrolled" else "dual_unet"
            train = Train(
                out=tyro.MISSING,
                model=model,
                profile=profile.name,
                network=getattr(profile, model),
                training=getattr(profile, f"{model}_training"),
            )
            commands = (
                Annotated[Evaluate, subcommand("evaluate")]
                | Annotated[Reconstruct, subcommand("reconstruct")]
                | Annotated[Train, subcommand("train", default=train)]
                | Annotated[Phantom, subcommand("phantom")]
                | Annotated[Info, subcommand("info")]
                | Annotated[Import, subcommand("import")]
                | Annotated[ImportACDC, subcommand("import acdc")]
                | Annotated[Fingerprint, subcommand("fingerprint")]
                | Annotated[Sweep, subcommand("sweep")]
                | Annotated[Bench, subcommand("bench")]
                | Annotated[Fetch, subcommand("fetch")]
                | Annotated[Report, subcommand("report")]
            )
            return tyro.cli(
                commands, prog="dmri", description=DESCRIPTION, args=argv, config=(FlagCreatePairsOff,)
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UsageError(_one_line(messages.getvalue())) from None


def _one_line(box: str) -> str:
    """The sections of one of tyro's boxes that say what is wrong, and where help is."""
    lines = ["" if re.fullmatch(r"[ |│+╰╯─-]*", line) else line.strip("|│ ") for line in box.splitlines()[1:]]
    sections = [" ".join(section.split()) for section in "\n".join(lines).split("\n\n")]
    wrong = [text for text in sections if not text.startswith(("For full", "Argument help", "Perhaps"))]
    return "; ".join(text.rstrip(".") for text in wrong if text) + "; see dmri --help"
