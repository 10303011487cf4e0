"""What holds for every reader: the option that helps, permissions, notes, packages that wait."""

import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from data.formats.writing import cine, imported, refused, write_nifti, write_series, wrong
from scipy.io import savemat

from dmri_helpers import cli
from dmri_helpers.data import DataError, import_acdc, import_cines, open_cine
from dmri_helpers.data.formats import reading

REMEDIES = {  # an input that an option helps to read
    "axes": lambda: np.save("a.npy", cine(2, 5, 8, 6).transpose(2, 3, 0, 1)),
    "key": lambda: savemat("a.mat", {"first": cine(3, 8, 6), "second": cine(3, 8, 6)}),
    "series": lambda: [
        write_series(f"a/{n}", cine(1, n, 8, 6), SeriesNumber=n, SeriesInstanceUID=f"1.2.{n}") for n in (4, 5)
    ],
    "size": lambda: write_series("a", cine(3, 5, 8, 6), skip={(1, 4)}),
}


@pytest.mark.parametrize("remedy", REMEDIES)
def test_the_reader_says_what_is_wrong_and_the_command_line_which_option_helps(remedy, folder, capsys):
    REMEDIES[remedy]()
    (source,) = folder.iterdir()
    with pytest.raises(DataError) as caught:
        open_cine(source)
    assert caught.value.remedy == remedy and "--" not in str(caught.value) and "dmri" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    said = refused(capsys, "import", source, "out.npz")
    assert str(caught.value) in said and f"dmri import --{remedy.replace('size', 'frames')}" in said


def test_import_cines_is_the_import_of_the_command_line(acdc):
    np.save("a.npy", cine(6, 5, 3))
    options = {"axes": "yxt", "frames": 2, "size": 8, "per_frame": True}
    cines = import_cines("a.npy", **options)
    assert cines.shape == (1, 2, 8, 8) and cines.patients is None and "every frame scaled" in cines.notes[-1]
    written = imported("a.npy", "out.npz", "--axes", "yxt", "--frames", 2, "--size", 8, "--per-frame")
    np.testing.assert_array_equal(written["dataset"], cines.tensor())
    cines = import_acdc(acdc, n=4, size=24)
    assert cines.patients.tolist() == ["patient001"] * 3 + ["patient002"] and cines.groups.tolist() == [
        0,
        0,
        0,
        1,
    ]


@pytest.fixture
def powerless():
    """Nobody's rights, also where tests are run by root."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        yield
        os.seteuid(0)
    else:
        yield


def test_permission_denied(folder, request):
    for scan in ("open", "closed"):
        write_series(scan, cine(1, 4, 8, 6))
    write_nifti("a.nii.gz", cine(8, 6, 3, 5))
    reading.read(Path("open")), reading.read(Path("a.nii.gz"))  # nothing is left to be imported
    (inside,) = random.sample([path for path in Path("open").rglob("*") if path.is_file()], 1)
    for path in (inside, Path("closed"), Path("a.nii.gz")):
        path.chmod(0)
    folder.chmod(0o755)
    request.getfixturevalue("powerless")
    for source, found in {"a.nii.gz": "a.nii.gz", "open": inside, "closed/a.nii": "closed/a.nii"}.items():
        assert wrong(source).startswith(f"{found}: found a file that cannot be opened (Permission denied)")
    assert "closed: found a folder that cannot be read (Permission denied)" in wrong("closed")


def test_notes_of_the_door_are_said_by_every_command(capsys):
    write_nifti("a.nii.gz", cine(33, 30, 3, 5))
    fast = "--method zero_filled --acceleration 4 --center-lines 4".split()
    assert cli.main(["evaluate", "--data", "a.nii.gz", *fast]) == 0
    assert "dmri: note: a.nii.gz: NIfTI array 33 x 30 x 3 x 5" in capsys.readouterr().err
    assert cli.main(["info", "a.nii.gz"]) == 0
    assert "note: NIfTI array" in capsys.readouterr().out


def test_packages_wait_until_a_door_is_opened():
    program = (
        "import sys; import dmri_helpers.data.formats.reading; "
        "print({'nibabel', 'pydicom', 'h5py', 'scipy', 'ismrmrd'} & set(sys.modules))"
    )
    root = str(Path(__file__).parents[3])
    environment = os.environ | {"PYTHONPATH": root}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert run.stdout == "set()\n", run.stderr
