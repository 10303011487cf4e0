"""DICOM files and folders, sorted by what their headers say, never by name (no notebook; see `formats.raw`)."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import guard
from .dicom_headers import CLOCKS, TIMES, Frame, begins_with_an_element, pixels, read_headers
from .raw import Raw, count_text, error, list_text, size_text

__all__ = ["begins_with_an_element", "dicom"]

_SAME_SLICE = 0.1  # mm
_HALF_A_DAY = 43_200  # s


def dicom(path: Path, series: Sequence[int] = ()) -> Raw:
    """Read DICOM: single frames or multi-frame files, one file or all in a folder and below.

    Frames are sorted by series, slice position (along the normal of the image plane, or ``SliceLocation``)
    and time, the first of `TIMES` that all frames of a series have; a series without any by the first of
    `CLOCKS`. Every slice becomes a cine; rows become ``y``, columns ``x``. Rescale slope and intercept are
    applied. Several series become cines together if all their slices agree in size and number of frames.

    Files that are no DICOM images are passed over, and so are phase, real and imaginary images, single images
    beside films, and derived images beside original ones. Nothing of the patient is kept: patients are numbered as
    they come, by ``PatientID``; where that is the same in several studies, every study is a patient, and where
    identifiers are so constant that frames collide, every folder.

    Parameters
    ----------
    path
        file or folder
    series
        numbers of the series to read; by default all

    Returns
    -------
        a list of cines of shape ``(t, y, x)``; patients numbered
    """
    frames, passed = read_headers(path)
    frames, notes = _with_patients(frames)
    by_series = _grouped(frames, lambda frame: frame.series)
    if not frames or (not series and all(frame.kind in _NO_MAGNITUDES for frame in frames)):
        passed.update(f"{frame.kind} images" for frame in frames)
        listed = ", ".join(f"{n} {kind}" for kind, n in passed.most_common(6))
        found = f"a folder without a DICOM image of magnitudes ({listed})" if path.is_dir() else f"{listed}"
        raise error(path, found)
    by_series = _chosen(path, by_series, series, passed)
    sorted_series = [_in_slices(members) for members in by_series.values()]

    slices, times = [], set()
    for unsorted in sorted_series:
        time = _time_of(unsorted)
        times.add(time)
        slices += [sorted(frames, key=lambda frame, time=time: frame.times[time]) for frames in unsorted]
    patients = [frames[0].patient for frames in slices]
    numbers = {patient: i for i, patient in enumerate(dict.fromkeys(patients))}

    guard.fits(path, (sum(frames[0].shape[0] * frames[0].shape[1] * len(frames) for frames in slices),), 4)
    used = dict.fromkeys(frame.file for frames in slices for frame in frames)
    read = {file: pixels(file) for file in tqdm(used, "DICOM", unit="file", delay=2)}
    rescaled = any((frame.slope, frame.intercept) != (1, 0) for frames in slices for frame in frames)
    cines = [np.stack([frame.image(read, rescaled) for frame in frames]) for frames in slices]

    counts = {len(frames) for frames in slices}
    if passed:
        notes.append("passed over: " + ", ".join(f"{n} {kind}" for kind, n in passed.most_common(6)))
    notes.append(
        f"{count_text(len(used), 'DICOM file')}, {len(by_series)} series, {count_text(len(numbers), 'patient')}: "
        f"{count_text(len(slices), 'slice')} of {' or '.join(map(str, sorted(counts)))} frames, "
        f"sorted by slice position and {' or '.join(sorted(times))}"
    )
    if len(by_series) > 1:
        notes.append(f"read together: {_listed(by_series.values())}")
    if rescaled:
        notes.append("rescale slope and intercept applied")
    if any(frame.kind == "derived" for frames in slices for frame in frames):
        notes.append("derived images (ImageType), not those that were measured")
    if any(frame.direction == "ROW" for frames in slices for frame in frames):
        notes.append(
            "the scanner encoded phase along the rows (x); here lines are left out along y all the same"
        )
    return Raw(path, cines, np.array([numbers[patient] for patient in patients]), notes=notes)


_NO_MAGNITUDES = "phase", "real", "imaginary"


def _grouped(frames: Iterable[Frame], key: Callable[[Frame], tuple | str]) -> dict:
    """Frames by a key, in the order of the series."""
    groups: dict = {}
    for frame in sorted(frames, key=lambda frame: frame.series):
        groups.setdefault(key(frame), []).append(frame)
    return groups


def _chosen(path: Path, by_series: dict, numbers: Sequence[int], passed: Counter) -> dict:
    """The series to read, and of those only magnitudes; count what is passed over."""
    listed = _listed(by_series.values())
    if missing := set(numbers) - {members[0].number for members in by_series.values()}:
        raise error(path, listed, f"the series {', '.join(map(str, sorted(missing)))}", "series")
    chosen = {key: of for key, of in by_series.items() if not numbers or of[0].number in numbers}
    passed.update(f"{f.kind} images" for of in chosen.values() for f in of if f.kind in _NO_MAGNITUDES)
    kept = {key: [f for f in of if f.kind not in _NO_MAGNITUDES] for key, of in chosen.items()}
    kept = {key: of for key, of in kept.items() if of}
    if not kept:
        raise error(path, _listed(chosen.values()), "magnitudes", "series")
    films = {key: of for key, of in kept.items() if any(len(frames) > 1 for frames in _in_slices(of))}
    if not films:
        raise error(path, f"single images, {listed}", "several frames of a slice")
    if not numbers:  # single images and derived ones are read where they were chosen
        passed.update("single images" for key in kept.keys() - films.keys() for _ in kept[key])
        kept = films
    scope = (lambda frame: frame.series) if numbers else (lambda frame: (frame.study, frame.patient))
    for frames in _grouped(chain(*kept.values()), scope).values():
        derived = [frame for frame in frames if frame.kind == "derived"]
        if 0 < len(derived) < len(frames):
            for frame in derived:
                kept[frame.series].remove(frame)
            found = sorted({frame.number for frame in derived})
            passed[f"derived images (series {', '.join(map(str, found))})"] += len(derived)
    kept = {key: of for key, of in kept.items() if of}
    shapes = {(len(frames), frames[0].shape) for of in kept.values() for frames in _in_slices(of)}
    if len({of[0].number for of in kept.values()}) > 1 and len(shapes) > 1 and not numbers:
        raise error(path, listed, "one, or several of one size", "series")
    return kept


def _with_patients(frames: list[Frame]) -> tuple[list[Frame], list[str]]:
    """Tell patients and series apart where an anonymiser gave all the same identifiers; note how."""
    notes = []
    studies = {frame.study for frame in frames}
    if len(studies) > 1 and len({frame.patient for frame in frames}) == 1:
        frames = [replace(frame, patient=frame.study) for frame in frames]
        notes.append(f"one PatientID in {len(studies)} studies: every study taken for a patient")
    for members in _grouped(frames, lambda frame: frame.series).values():
        _past_midnight(members)
    mixed = [key for key, members in _grouped(frames, lambda frame: frame.series).items() if _mixed(members)]
    if mixed:
        studies = {(study, patient) for study, *_, patient in mixed}
        concerned = [frame for frame in frames if (frame.study, frame.patient) in studies]
        above = Path(os.path.commonpath([frame.file for frame in concerned]))
        names = {id(frame): frame.file.relative_to(above).parts[0] for frame in concerned}
        frames = [replace(f, patient=f"{f.patient} {names[id(f)]}") if id(f) in names else f for f in frames]
        found = sorted(set(names.values()))
        notes.append(
            f"identifiers that repeat: every folder taken for a patient, {list_text(found, 'folders')}"
        )
    numbered, repeated = [], False
    for members in _grouped(frames, lambda frame: frame.study + frame.patient).values():
        series = _grouped(members, lambda frame: frame.series)
        repeated |= (again := len({number for _, number, *_ in series}) < len(series))
        for i, of in enumerate(series.values(), 1):
            numbered += [replace(frame, number=i) for frame in of] if again else of
    if repeated:
        notes.append("series of one SeriesNumber: numbered as they come")
    return numbered, notes


def _mixed(frames: list[Frame]) -> bool:
    """Whether whole films of several folders lie on each other in one series."""
    frames = [frame for frame in frames if frame.kind not in _NO_MAGNITUDES]
    folders = _grouped(frames, lambda frame: str(frame.file.parent))
    return len(folders) > 1 and any(
        _collide(film, name) for film in _in_slices(frames) for name in (*TIMES, CLOCKS[2])
    )


def _collide(frames: list[Frame], name: str) -> bool:
    """Whether as many times of one slice repeat between folders, and in none, as the shortest film has frames."""
    held = [(frame.file.parent, frame.times.get(name)) for frame in frames]
    shortest = min(Counter(folder for folder, _ in held).values())
    repeated = len(held) - len({time for _, time in held})
    return len(set(held)) == len(held) and repeated >= shortest > 1 and None not in dict(held).values()


def _past_midnight(frames: list[Frame]) -> None:
    """Let the clock of a series go on after 24 hours."""
    for name in CLOCKS[:2]:
        held = [frame.times for frame in frames if name in frame.times]
        if held and max(times[name] for times in held) - min(times[name] for times in held) > _HALF_A_DAY:
            for times in held:
                times[name] += 86_400 * (times[name] < _HALF_A_DAY)


def _in_slices(frames: list[Frame]) -> list[list[Frame]]:
    """The frames of a series, slice by slice along the normal."""
    slices: list[list[Frame]] = []
    for frame in sorted(frames, key=lambda frame: (frame.normal, frame.location)):
        last = slices[-1][-1] if slices else None
        if last and last.normal == frame.normal and frame.location - last.location < _SAME_SLICE:
            slices[-1].append(frame)
        else:
            slices.append([frame])
    return slices


def _time_of(slices: list[list[Frame]]) -> str:
    """Choose what puts the frames of every slice of a series in order."""
    frames = [frame for members in slices for frame in members]
    timed = any(len({frame.times.get(name) for frame in members}) > 1 for members in slices for name in TIMES)
    names = TIMES if timed else TIMES + CLOCKS
    held = Counter(name for frame in frames for name in frame.times)
    everywhere = [name for name in names if held[name] == len(frames)]
    for name in everywhere:
        if all(len({frame.times[name] for frame in members}) == len(members) for members in slices):
            return name
    tried = f"one of {', '.join(names)}, to put the frames in order"
    if not everywhere:
        usual = max(names, key=lambda name: held[name])
        file = min(frame.file for frame in frames if usual not in frame.times)
        raise error(file, "a frame without a time", f"in every file {tried}")
    name = everywhere[0]
    same = next(members for members in slices if len({frame.times[name] for frame in members}) < len(members))
    same = sorted(same, key=lambda frame: (frame.times[name], frame.file))
    first, second = next(pair for pair in pairwise(same) if pair[0].times[name] == pair[1].times[name])
    found = f"the same slice and {name} ({first.times[name]:g}) as in {first.file.name}"
    raise error(second.file, found, f"frames told apart by {tried}")


def _listed(series: Iterable[list[Frame]]) -> str:
    """List series by their numbers, names and sizes, those that say the same once."""
    described = Counter(_describe(members) for members in series)
    return list_text([f"{text} {n} times" if n > 1 else text for text, n in described.items()], "series")


def _describe(frames: list[Frame]) -> str:
    """Describe a series by its number, its name, the sizes of its slices, and its kind if it is no magnitude."""
    sizes = Counter((len(members), *members[0].shape) for members in _in_slices(frames))
    listed = ", ".join(f"{count_text(n, 'slice')} of {size_text(size)}" for size, n in sizes.most_common(3))
    kinds = {frame.kind for frame in frames} - {"magnitude"}
    return f"{frames[0].number} {frames[0].name!r} ({listed}{''.join(f', {kind}' for kind in sorted(kinds))})"
