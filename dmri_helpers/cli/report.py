"""The command ``dmri report``, which builds the site of the course."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .. import profiles
from .output import UsageError, open_source


@dataclass(frozen=True)
class Report:
    """Execute the notebooks and build the site.

    Example: dmri report --profile demo
    """

    out: Path = Path("build/report")
    """folder of the site"""
    data: str = field(default_factory=profiles.data_source)
    """'phantom', or cines: .npz, .npy, NIfTI, DICOM (file or folder), MATLAB, HDF5, ISMRMRD; see dmri import"""
    profile: Literal["tiny", "demo", "full"] = field(default_factory=lambda: profiles.current().name)
    """the size of networks, training and phantoms"""
    code: bool = False
    """the report on paper shows the code of its figures and tables"""

    def __call__(self) -> None:
        try:
            from ..course.site import build_report
        except ModuleNotFoundError as error:
            raise UsageError(
                f"the report needs {error.name}; expected an installation with [report]"
            ) from None
        if self.data != "phantom":
            open_source(self.data, None)
        build_report(self.out, self.data, self.profile, code=self.code)
