"""Image, dev container and first cell: what they name exists, and versions come from the lock or its ranges.

The image is not built here: that takes a container engine, and minutes.
"""

import ast
import json
import re

from dmri_helpers.course import forms
from dmri_helpers.course.notebooks import ROOT


def test_image_installs_the_lock_and_then_the_course():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    version = re.findall(r"^FROM python:(3\.\d+)-slim$", text, re.MULTILINE)
    assert version == re.findall(r"python=(3\.\d+)", (ROOT / "environment.yml").read_text(encoding="utf-8"))
    installs = re.findall(r"pip install (.+?)(?: \\)?$", text, re.MULTILINE)
    assert installs == [
        "-r requirements.lock",
        '"jupyterhub>=5.2,<6"',
        "--no-deps --no-build-isolation --editable .",
    ]
    for copied in re.findall(r"^COPY --chown=\S+ (\S+) \./$", text, re.MULTILINE):
        assert (ROOT / copied).exists()
    assert "://" not in text and re.search(r"^USER \$\{NB_USER\}$", text, re.MULTILINE)
    command = json.loads(re.findall(r"^CMD (.+)$", text, re.MULTILINE)[0])
    assert command[:2] == ["sh", "-c"] and "exec jupyterhub-singleuser" in command[2]
    assert (ROOT / re.findall(r"notebooks/\S+\.ipynb", command[2])[0]).exists()


def test_dev_container_is_the_image():
    folder = ROOT / ".devcontainer"
    about = json.loads((folder / "devcontainer.json").read_text(encoding="utf-8"))
    assert about.keys() == {
        "name",
        "build",
        "remoteUser",
        "postCreateCommand",
        "forwardPorts",
        "customizations",
    }
    assert (folder / about["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert (folder / about["build"]["context"]).resolve() == ROOT
    assert f"ARG NB_USER={about['remoteUser']}\n" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_first_cell_is_python_and_asks_for_ranges():
    tree = ast.parse(forms.first_cell())
    (needed,) = (
        node for node in ast.walk(tree) if isinstance(node, ast.Assign) and node.targets[0].id == "needed"
    )
    needs = ast.literal_eval(needed.value)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert len(needs) > 10 and all(f'"{need}",' in project and "==" not in need for need in needs)
    assert not [need for need in needs if need.split(">")[0] in forms.OF_THE_SERVER]


def test_first_cell_does_nothing_where_the_course_is_installed():
    exec(forms.first_cell(), {})
