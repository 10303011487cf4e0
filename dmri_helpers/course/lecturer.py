"""For the lecturer: which exercise and which prediction practise which goal, points, and model answers.

Goals, titles, points, questions and answers are read from the notebooks; only what practises what is written down here.
"""

import re
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from ..results.tables import render
from .forms import exercises_in
from .notebooks import ROOT, sources
from .text import ANSWERED, ASKED, printed, tables

PRACTISED = {
    "1.1": "E1.2 P1.1 P1.2 P1.3 P1.4", "1.2": "P1.5", "1.3": "E1.1 E1.3 P1.7", "1.4": "P1.6", "1.5": "E1.4 P1.8",
    "2.1": "E2.1 E2.3 P2.1", "2.2": "P2.2", "2.3": "P2.3 P2.9", "2.4": "E2.2 P2.4 P2.5 P2.6",
    "2.5": "E2.4 P2.7 P2.8 P2.10",
    "3.1": "E3.2 P3.1", "3.2": "E3.2 P3.2 P3.3", "3.3": "E3.3 P3.4", "3.4": "E3.1 E3.2 E3.4 P3.5 P3.6 P3.7",
    "3.5": "E3.2",
    "4.1": "E4.4", "4.2": "P4.1 P4.2", "4.3": "E4.2 P4.3", "4.4": "E4.1 E4.2 E4.3 P4.3 P4.4", "4.5": "P4.5",
    "5.1": "E5.1 P5.5", "5.2": "E5.2 E5.3 P5.4", "5.3": "P5.1", "5.4": "P5.2 P5.3", "5.5": "E5.4 P5.4 P5.5",
    "6.1": "P6.1", "6.2": "E6.1 E6.2 P6.2 P6.3", "6.3": "E6.3 E6.4 P6.5", "6.4": "E6.4 P6.4",
    "6.5": "E6.3 P6.6 P6.7 P6.8 P6.9",
    "7.1": "P7.1", "7.2": "E7.1 P7.2", "7.3": "E7.2", "7.4": "E7.3 E7.4 P7.3 P7.4 P7.5", "7.5": "P7.6 P7.7",
}  # fmt: skip
"""Goal, by notebook and number -> the exercises (E) and predictions (P) that practise it."""


def goals_in(notebook: NotebookNode) -> list[str]:
    """List the goals at the head of a notebook, in their order."""
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    block = text.split("**When you are through, you can**\n\n")[1].split("\n\n")[0]
    return [
        " ".join(goal.split()).rstrip(".;") for goal in re.split(r"^\d\. ", block, flags=re.MULTILINE)[1:]
    ]


def goals_text(notebooks: Path = ROOT / "notebooks") -> str:
    """Tables in Markdown: goals with what practises them, and exercises with their points."""
    goals, exercises = [], []
    for source in sources(notebooks):
        notebook, chapter = jupytext.read(source), int(source.stem[:2])
        for number, goal in enumerate(goals_in(notebook), 1):
            practised = PRACTISED[f"{chapter}.{number}"].split()
            by = [", ".join(name[1:] for name in practised if name[0] == kind) for kind in "EP"]
            goals.append([f"{chapter}.{number}", goal, *by])
        core = {exercise.number for exercise in exercises_in(notebook, ("deeper",))}
        for exercise in exercises_in(notebook):
            where = "core" if exercise.number in core else "deeper"
            exercises.append([exercise.number, exercise.title, where, str(exercise.points)])
    every = sum(int(row[3]) for row in exercises)
    core_points = sum(int(row[3]) for row in exercises if row[2] == "core")
    return (
        render(["goal", "a student can", "exercises", "predictions"], goals, left=4)
        + "\n\n"
        + render(["exercise", "title", "where", "points"], exercises, left=3)
        + f"\n\nThe core is worth {core_points} points, everything together {every}.\n"
    )


def model_answers(notebooks: Path = ROOT / "notebooks") -> str:
    """All predictions in Markdown, each with its answer, and between them what the committed notebook printed."""
    parts = [
        "# Model answers to the predictions\n\nThe printed lines are those of the notebooks as they were committed."
    ]
    for source in sources(notebooks):
        executed = source.with_suffix(".ipynb")
        cells = nbformat.read(executed, as_version=4).cells if executed.exists() else []
        shown = {cell.source: _shown(cell) for cell in cells if cell.cell_type == "code"}
        parts.append(f"## {source.stem}")
        waiting: dict[str, list[str]] = {}
        for cell in jupytext.read(source).cells:
            if cell.cell_type == "code":
                for lines in waiting.values():
                    lines += shown.get(cell.source, [])
            elif answer := ANSWERED.match(cell.source):
                parts += [*waiting.pop(answer[1]), f"*Answer.* {answer[2]}"]
            else:
                waiting |= {asked[1]: [asked[0]] for asked in ASKED.finditer(cell.source)}
    return "\n\n".join(parts) + "\n"


def _shown(cell: NotebookNode) -> list[str]:
    """What a cell printed, and the tables that it showed."""
    lines = printed(cell)
    return ([f"```text\n{lines}\n```"] if lines else []) + tables(cell)
