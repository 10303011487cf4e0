"""pyproject.toml, the lock, environment.yml and the environment the tests run in say the same."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
LINES = [line for line in LOCK.read_text(encoding="utf-8").splitlines() if line.strip()]
LOCKED = [Requirement(line) for line in LINES if not line.startswith("#")]
REQUIRED = [
    Requirement(line)
    for lines in (
        PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"].values(),
        *PROJECT["dependency-groups"].values(),
    )
    for line in lines
]
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(name: str, python: str) -> list[str]:
    """Versions that the lock has for a package on a Python."""
    environment = {"python_version": python, "python_full_version": f"{python}.9"}
    chosen = [r for r in LOCKED if canonical(r.name) == canonical(name)]
    chosen = [r for r in chosen if r.marker is None or r.marker.evaluate(environment)]
    return [next(iter(r.specifier)).version for r in chosen]


def test_lock_is_exact():
    assert all([specifier.operator for specifier in r.specifier] == ["=="] for r in LOCKED)


def test_lock_names_no_address_no_machine_and_no_cuda():
    text = LOCK.read_text(encoding="utf-8")
    assert not re.search(r"://|--|file:|@|/", text)
    assert not re.search(r"nvidia|cuda|triton|\+c", text)
    assert [line for line in LINES if line.startswith("torch")] == ["torch==2.13.0"]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("requirement", REQUIRED, ids=lambda requirement: requirement.name)
def test_lock_pins_what_pyproject_requires(requirement, python):
    versions = locked(requirement.name, python)
    assert len(versions) == 1
    assert requirement.specifier.contains(versions[0], prereleases=True)


@pytest.mark.parametrize("requirement", REQUIRED, ids=lambda requirement: requirement.name)
def test_running_environment_is_the_locked_one(requirement):
    installed = metadata.version(requirement.name).partition("+")[0]
    assert installed == locked(requirement.name, f"{sys.version_info.major}.{sys.version_info.minor}")[0]


def test_pip_finds_the_lock_satisfied():
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "-r", str(LOCK)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Would install" not in done.stdout


def test_conda_takes_its_packages_from_the_lock():
    (pip,) = [entry["pip"] for entry in CONDA["dependencies"] if isinstance(entry, dict)]
    assert pip == ["-r requirements.lock", "-e ."]


def test_conda_specs_parse_and_fit_pyproject():
    rattler = pytest.importorskip("rattler")
    specs = [rattler.MatchSpec(entry) for entry in CONDA["dependencies"] if isinstance(entry, str)]
    assert [spec.name.normalized for spec in specs] == ["python", "pip"]
    assert CONDA["channels"] == ["conda-forge"]
    allowed = SpecifierSet(PROJECT["project"]["requires-python"])
    (series,) = re.findall(r"=(\d+\.\d+)$", CONDA["dependencies"][0])
    assert allowed.contains(series) and series in PYTHONS
    assert "3.10" in allowed and "3.9" not in allowed


PERMISSIVE = r"MIT|BSD|0BSD|Apache|ISC|PSF|Python Software Foundation|Zlib|CC0|BSL|Public Domain"
NOT_PERMISSIVE = {  # used unchanged, never passed on with the course
    "certifi": "Mozilla", "pathspec": "Mozilla", "fqdn": "MPL", "hypothesis": "MPL", "tqdm": "MPL",  # file by file
    "ismrmrd": "LicenseRef-IsmrmrdSoftwareLicense",  # permissive, without a common name
    "docutils": "GPL",  # of one file, for Emacs
}  # fmt: skip


def licence(name: str) -> str:
    """What an installed package says of its licence, in the newest of the three forms that it has."""
    found = metadata.metadata(name)
    classifiers = [line.split(" :: ")[-1] for line in found.get_all("Classifier", []) if "License ::" in line]
    return found.get("License-Expression") or "; ".join(classifiers) or found.get("License") or "none"


def test_licences_are_permissive_but_for_those_named():
    installed = {canonical(part.metadata["Name"]) for part in metadata.distributions()}
    found = {name: licence(name) for name in sorted({canonical(r.name) for r in LOCKED} & installed)}
    assert len(found) > 100
    parts = {name: re.split(r" AND | OR |; ", text) for name, text in found.items()}
    odd = {name for name in parts if not all(re.search(PERMISSIVE, part) for part in parts[name])}
    assert odd - NOT_PERMISSIVE.keys() == set(), {name: found[name] for name in odd - NOT_PERMISSIVE.keys()}
    for name in odd:
        assert NOT_PERMISSIVE[name] in found[name], f"{name} has another licence now: {found[name]}"


def test_the_workflow_names_every_notebook():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]
    notebooks = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert jobs["notebooks"]["strategy"]["matrix"]["notebook"] == notebooks


def test_console_script():
    (script,) = [entry for entry in metadata.entry_points(group="console_scripts") if entry.name == "dmri"]
    assert script.value == "dmri_helpers.cli:main"
