"""Coverage-guided mutants of a format, by atheris, which the lock lacks: `python tests/stress/fuzz.py a.mat`.

The formats are those of `stress.py`; further options are libFuzzer's, such as ``-max_total_time=600``. It ends at the
first input that is neither read nor refused in one line, and leaves that as ``crash-...`` in this folder.
"""

import os
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["dmri_helpers.data.formats"]):
    from stress import FORMATS, data

warnings.simplefilter("ignore")
name, *options = sys.argv[1:]
here = os.getcwd()
top = Path(tempfile.mkdtemp())
(top / "corpus").mkdir()
(top / "in" / name).parent.mkdir(parents=True)
os.chdir(top / "in")
FORMATS[name](Path(name))
(top / "corpus" / "whole").write_bytes(Path(name).read_bytes())


def one(content: bytes) -> None:
    Path(name).write_bytes(content)
    try:
        data.open_cine(name.partition("/")[0])
    except data.DataError as error:
        assert "\n" not in str(error), error


limits = ["-max_total_time=60", "-timeout=20", "-rss_limit_mb=4096", f"-artifact_prefix={here}/"]
atheris.Setup([sys.argv[0], *limits, *options, str(top / "corpus")], one)
atheris.Fuzz()
