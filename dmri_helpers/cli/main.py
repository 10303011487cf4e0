"""The command ``dmri`` (``python -m dmri_helpers``), which runs one of the commands in the other files of this folder.

Whatever is wrong with the input is reported in one line on stderr, with exit code 2. Output files are never overwritten
without ``--force``, and they are written whole or not at all. Torch and numpy are imported only when a command runs, so
that ``--help`` answers quickly.
"""

import argparse
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from itertools import islice
from typing import Annotated

import tyro
from tyro.conf import FlagCreatePairsOff, subcommand

from .. import profiles
from .cines import Fetch, Import, ImportACDC, Info, Phantom
from .evaluate import Evaluate, Reconstruct
from .output import PROFILES, UsageError, one_line, option_named
from .report import Report
from .studies import Bench, Fingerprint, Study, Sweep
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
        the arguments; by default those of the process

    Returns
    -------
        exit code: 0 done, 1 the report failed, 2 wrong input, 130 interrupted, 141 the output is no longer read
    """
    argv = [_at_home(word) for word in (sys.argv[1:] if argv is None else argv)]
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
    except BrokenPipeError:  # the program that read our output has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, OSError, MemoryError, ArithmeticError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and type(error).__name__ == "ReportError":
            print(
                f"dmri: {error}", file=sys.stderr
            )  # a notebook or a renderer failed, the input is not wrong
            return 1
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        print(f"dmri: error: {one_line(error)}", file=sys.stderr)
        return 2
    return 0


def _at_home(word: str) -> str:
    """Put the home folder in place of ``~``, also after ``--data=``, where a shell does not."""
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return option + equals + os.path.expanduser(value)


def _parse(argv: list[str]) -> Callable[[], bool | None]:
    """Read the arguments and return the command, ready to be called.

    The defaults of ``train`` depend on ``--model`` and ``--profile``, so these two are read first. tyro prints what is
    wrong as a box; here it becomes a `UsageError` of one line.
    """
    if argv[:2] == ["import", "acdc"]:
        argv = ["import acdc", *argv[2:]]
    if argv[:1] in (["import"], ["sweep"]):
        argv = _paths_together(argv)
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--model")
    first.add_argument("--profile")
    messages = io.StringIO()
    try:
        with redirect_stderr(messages):
            chosen = first.parse_known_args(argv if argv[:1] == ["train"] else [])[0]
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
                | Annotated[Study, subcommand("study")]
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


def _paths_together(argv: list[str]) -> list[str]:
    """Move options behind the paths, which tyro takes only side by side where there may be any number."""
    paths, options, words = [], [], iter(argv)
    for word in words:
        if not word.startswith("-"):
            paths.append(word)
            continue
        has_value = "=" not in word and word not in ("-h", "--help", "--force", "--per-frame")
        options += [word, *islice(words, int(has_value))]
    return paths + options


def _one_line(box: str) -> str:
    """Join the sections of one of tyro's boxes that say what is wrong, and add where help is found."""
    lines = ["" if re.fullmatch(r"[ |│+╰╯─-]*", line) else line.strip("|│ ") for line in box.splitlines()[1:]]
    sections = [" ".join(section.split()) for section in "\n".join(lines).split("\n\n")]
    wrong = [text for text in sections if not text.startswith(("For full", "Argument help", "Perhaps"))]
    said = "; ".join(text.rstrip(".") for text in wrong if text) + "; see dmri --help"
    by_configuration = re.match(r"Error parsing [\w.-]*(?:network|training): (.*)", said)
    return option_named(by_configuration[1]) if by_configuration else said
