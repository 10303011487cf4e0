"""What the tests of all readers share: an empty folder, a folder as ACDC has it."""

from pathlib import Path

import numpy as np
import pytest
from data.formats.writing import write_nifti


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DMRI_DATA", raising=False)
    return tmp_path


@pytest.fixture
def acdc(folder) -> Path:
    """Patients as the data set has them: of several sizes, two of them of no use, files that are no cines."""
    for patient, shape in {
        "training/patient001": (20, 30, 9, 22),
        "training/patient002": (40, 18, 8, 20),
        "training/patient003": (20, 20, 6, 30),
        "training/patient004": (20, 20, 10, 19),
        "testing/patient101": (24, 24, 7, 21),
    }.items():
        array = np.random.default_rng(len(list(folder.rglob("*")))).random(shape, np.float32) * 300
        name = Path(patient).name
        write_nifti(folder / "ACDC" / patient / f"{name}_4d.nii.gz", array)
        write_nifti(folder / "ACDC" / patient / f"{name}_frame01.nii.gz", array[..., 0])
        (folder / "ACDC" / patient / "Info.cfg").write_text("Group: DCM")
        (folder / "ACDC" / patient / f"._{name}_4d.nii.gz").write_bytes(b"what macOS leaves behind")
    return folder / "ACDC"
