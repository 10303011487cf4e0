"""What all commands share: errors of one line, cines opened with their notes, outputs checked before the work."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import UseAppendAction

from .. import profiles

_NAME, _PATH = 150, 3500  # bytes; systems allow 255 and 4096, and a temporary file has a longer name
PROFILES = {profile.name: profile for profile in (profiles.TINY, profiles.DEMO, profiles.FULL)}
EVALUATION_SEED = 2  # of phantoms: notebooks train on those of seed 0, the shipped cascade on those of seed 1

REMEDIES = {  # of a file that cannot be read as it is: what `DataError.remedy` names, in words of the command line
    "axes": "dmri import --axes says which axis is which, such as --axes yxnt",
    "key": "dmri import --key NAME chooses the array",
    "reconstruct": "dmri reconstruct makes images of them, without a truth to compare with",
    "series": "dmri import --series NUMBER chooses one, and so does --series of every command that reads cines",
    "size": "dmri import --frames T --size N cuts and pads",
}


@dataclass(frozen=True, kw_only=True)
class ChoosesSeries:
    """What all commands that read cines share."""

    series: UseAppendAction[tuple[int, ...]] = ()
    """number of the DICOM series to read, as often as needed; by default all, if they agree in size"""


class UsageError(ValueError):
    """A command that cannot be done as it was given; the message is one line."""


def one_line(error: BaseException) -> str:
    """Say in one line what is wrong, and which option helps where the error names one."""
    message = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, profiles.OptionError):
        return option_named(message)
    remedy = getattr(error, "remedy", None)
    return f"{message}; {REMEDIES[remedy]}" if remedy else message


def option_named(message: str) -> str:
    """Begin what a configuration says of one of its options with the name that the option has on the command line."""
    name, _, said = message.partition(" ")
    return f"--{name.replace('_', '-')} {said}"


def is_main_process() -> bool:
    """Of the processes that ``torchrun`` started, the one that speaks and writes; or the only one."""
    return os.environ.get("RANK", "0") == "0"


def open_source(source: str, limit: int | None, undersampled: bool = False, **options):
    """Open cines and print their notes; k-space of which lines are missing only where ``undersampled`` allows it."""
    from ..data import open_cine, open_data

    if undersampled and source != "phantom":
        cines = open_data(source, n=limit, series=options.get("series", ()))
    else:
        cines = open_cine(source, n=limit, **options)
    for note in cines.notes if is_main_process() else ():
        print(f"dmri: note: {cines.source}: {note}", file=sys.stderr)
    return cines


def too_few_to_split(cines) -> str:
    """Say what is possible with cines of too few patients for a split; nothing where there are enough."""
    patients = len(cines) if cines.groups is None else len(set(cines.groups.tolist()))
    if patients >= 3:
        return ""
    having = f"{len(cines)} cines" if cines.groups is None else f"{patients} patient{'s' * (patients > 1)}"
    return (
        f"{having}: enough for dmri evaluate, reconstruct, sweep and fingerprint; dmri train needs patients, at "
        "least 3 to split into training, validation and test: dmri import takes several sources, a patient each"
    )


def check_output(path: Path | None, force: bool) -> None:
    """Say now what would go wrong after the work is done."""
    if path is None:
        return
    if path.is_dir():
        raise UsageError(f"{path}: found a folder; expected the name of a file to write")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: found no plain file; expected the name of one")
    if path.exists() and not force:
        raise UsageError(f"{path}: found an existing file; expected a new name, or --force to overwrite it")
    check_writable(path)


def check_writable(path: Path) -> None:
    """Say now that a file or folder cannot be made, or that its name leaves no room for that of a temporary file."""
    if len(os.fsencode(path.name)) > _NAME or len(os.fsencode(path.absolute())) > _PATH:
        raise UsageError(f"{path}: found a name of {len(os.fsencode(path))} bytes; expected a shorter one")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise UsageError(f"{path}: cannot be written; expected a folder that can be written to")


def warn_of_results(name: str, finite: Iterable[bool]) -> None:
    """Say loudly which cines a method turned into what is no number."""
    if bad := [str(number) for number, is_finite in enumerate(finite) if not is_finite]:
        listed = ", ".join(bad[:8]) + (", ..." if bad[8:] else "")
        said = f"NaN or infinity in the reconstruction of {len(bad)} cines (number {listed})"
        print(
            f"dmri: warning: {name}: found {said}; expected numbers: do not use these results",
            file=sys.stderr,
        )


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Make the folder of an output; where writing fails, name the output, and leave no empty folder of it behind."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        for folder in made:
            with suppress(OSError):  # it holds something
                folder.rmdir()
        raise UsageError(f"{path}: cannot be written ({error.strerror or error})") from None
