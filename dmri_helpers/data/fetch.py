"""Public sets of cines to download; each file is checked against its SHA-256 (no notebook needs them)."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from ..results.files import cache_folder
from ..results.tables import render

REGISTRY = Path(__file__).parent / "registry"
RETRIES = 2  # of each file
TIMEOUT = 5, 20  # seconds until a connection, and without another byte


class FetchError(OSError):
    """A file of a set cannot be had; the message is one line, and another call goes on with what is missing."""


@dataclass(frozen=True)
class CineSet:
    """A set of cines that anyone may download.

    ``registry/NAME.txt`` lists its files, a line ``SHA-256  path`` for each, in the order of slices and frames.
    """

    what: str
    licence: str
    source: str
    """page of the set"""
    url: str
    """of the folder that the paths of the registry start from"""
    archive: str
    """all in one, for a browser"""
    views: dict[str, str]
    """folder of each view"""
    frames: int
    """files of one cine"""
    file_bytes: int
    """mean size of a file"""


SETS = {
    "ep-dataset": CineSet(
        what="bSSFP cines of a pig's heart, 20 frames of 256 x 256, short and long axis, 1.5 T (DICOM)",
        licence="CC0 1.0, public domain",
        source="https://github.com/WrightGroupSRI/ep-dataset",
        url="https://raw.githubusercontent.com/WrightGroupSRI/ep-dataset/bc049db937a64261eb649b05369f9bcc8484a6ba",
        archive="https://github.com/WrightGroupSRI/ep-dataset/archive/bc049db937a64261eb649b05369f9bcc8484a6ba.zip",
        views={"short-axis": "E774S5-shortAxis", "long-axis": "E774S6-longAxis"},
        frames=20,
        file_bytes=142_175,
    )
}
ELSEWHERE = {
    "acdc": (
        "register at https://www.creatis.insa-lyon.fr/Challenge/acdc/ and download the training set "
        "(CC BY-NC-SA 4.0; cite Bernard et al., IEEE TMI 2018), then: dmri import acdc FOLDER acdc.npz"
    ),
    "ocmr": (
        "accept the terms at https://www.ocmr.info/download/ and download files of fully sampled cines "
        "(fs_*.h5), then: dmri import FILE.h5 ocmr.npz"
    ),
    "cine": (
        "the seed report's cine.npz (from ACDC, CC BY-NC-SA 4.0) is at "
        "https://drive.google.com/file/d/1bhTKXgJm4aL1C5ollUoRh1JLarJO9Yxu/view, then: dmri info cine.npz"
    ),
}


def registry(name: str) -> dict[str, str]:
    """Read the list of the files of a set: SHA-256 by path, in the order of slices and frames."""
    lines = (REGISTRY / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return {path: digest for digest, path in (line.split(maxsplit=1) for line in lines if line[:1] != "#")}


def table() -> str:
    """List as text what can be fetched, and where other sets are."""
    rows = []
    for name, cines in SETS.items():
        n = len(registry(name))
        size = f"{n * cines.file_bytes / 1e6:.0f} MB"
        rows.append([name, str(n // cines.frames), size, cines.licence, cines.what])
    here = render(["name", "cines", "size", "licence", "what"], rows, "simple", left=5)
    return "\n".join([here, "", *(f"{name}: {where}" for name, where in ELSEWHERE.items())])


def choose(name: str, view: str = "all", limit: int | None = None) -> dict[str, str]:
    """Choose the files to fetch: SHA-256 by path.

    Parameters
    ----------
    name
        a key of `SETS`
    view
        a view of the set, or ``"all"``
    limit
        cines of each view, from the middle of the stack, where the heart is

    Raises
    ------
    ValueError
        if there is no such set or view, or ``limit`` is below 1; for a set that is `ELSEWHERE` the message says
        where, and what to do next
    """
    if name in ELSEWHERE:
        raise ValueError(f"{name} is not for us to fetch: {ELSEWHERE[name]}")
    if name not in SETS:
        raise ValueError(f"found no set {name!r}; expected one of {', '.join([*SETS, *ELSEWHERE])}")
    cines = SETS[name]
    if view not in ("all", *cines.views):
        raise ValueError(f"{name} has no view {view!r}; expected one of all, {', '.join(cines.views)}")
    if limit is not None and limit < 1:
        raise ValueError(f"the number of cines is at least 1, not {limit}")
    hashes, chosen = registry(name), {}
    for folder in cines.views.values() if view == "all" else [cines.views[view]]:
        paths = [path for path in hashes if path.startswith(f"{folder}/")]
        n = len(paths) // cines.frames
        first = max(n - (limit or n), 0) // 2
        middle = slice(first * cines.frames, (first + (limit or n)) * cines.frames)
        chosen |= {path: hashes[path] for path in paths[middle]}
    return chosen


def fetch(name: str, view: str = "all", limit: int | None = None) -> dict[str, Path]:
    """Download a public set of cines into the cache, with a progress bar on stderr.

    `pooch` [1]_ gives a file its name once it is whole and its SHA-256 is right, tries again what fails on the
    way, and leaves alone the files that are there already. So a call after an error, or after Ctrl-C, goes on.
    One file comes after the other, because servers refuse those that hurry.

    The files go to ``DMRI_CACHE/NAME``, by default ``~/.cache/dmri/NAME``. They come from the server of the set
    or, where the environment variable ``DMRI_MIRROR`` is set, from ``DMRI_MIRROR/NAME``. Such a mirror is the
    cache of someone who has them, behind ``python -m http.server --directory ~/.cache/dmri``.

    Parameters
    ----------
    name, view, limit
        see `choose`

    Returns
    -------
        the folder of each view

    Raises
    ------
    ValueError
        see `choose`
    FetchError
        if a file cannot be had, is another one than expected, or cannot be written

    References
    ----------
    .. [1] Uieda et al., "Pooch: A friend to fetch your data files", JOSS 5 (2020), 1943.
    """
    import pooch
    import requests

    files = choose(name, view, limit)
    folder = cache_folder() / name
    mirror = os.environ.get("DMRI_MIRROR")
    url = f"{mirror.rstrip('/')}/{name}" if mirror else SETS[name].url
    pup = pooch.create(path=folder, base_url=url, registry=files, retry_if_failed=RETRIES)
    pooch.get_logger().setLevel("ERROR")  # the progress bar says what is done
    http = pooch.HTTPDownloader(timeout=TIMEOUT, chunk_size=1 << 16)

    def download(url: str, file: str, pup: pooch.Pooch) -> None:
        http(url, file, pup)
        os.chmod(file, 0o644)  # pooch keeps files private; a class may share one cache

    path = next(iter(files))
    try:
        for path in tqdm(files, desc=name, unit="file", delay=2):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            pup.fetch(path, downloader=download)
        _remove_left_over(folder)
    except (OSError, ValueError) as error:
        if isinstance(error, requests.RequestException):
            found, advice = (
                _reason(error),
                f"try again later, set HTTPS_PROXY, or unpack {SETS[name].archive}",
            )
        elif isinstance(error, ValueError):  # how pooch says that the SHA-256 is another one
            found, advice = (
                "another file, or a part of it",
                "does a proxy or a login page answer for the server?",
            )
        else:
            found, advice = (
                f"no way to write it ({error.strerror or error})",
                "DMRI_CACHE names another folder",
            )
        advice = "is DMRI_MIRROR right?" if mirror and not found.startswith("no way") else advice
        expected = f"the file with SHA-256 {files[path]} in {folder}"
        raise FetchError(f"{pup.get_url(path)}: found {found}; expected {expected}; {advice}") from None
    chosen = {path.partition("/")[0] for path in files}
    return {view: folder / part for view, part in SETS[name].views.items() if part in chosen}


def _reason(error: BaseException) -> str:
    """Say in a few words what the server answered, or what happened on the way to it."""
    if getattr(error, "response", None) is not None:
        return f"{error.response.status_code} {error.response.reason}"
    while error.__context__ is not None:
        error = error.__context__
    return f"no connection, or one that was cut ({getattr(error, 'strerror', None) or error})"


def _remove_left_over(folder: Path) -> None:
    """Remove the temporary files of killed runs, which nobody has written to for long; an import would read them."""
    for path in folder.rglob("tmp*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > 3 * sum(TIMEOUT):
                path.unlink()
