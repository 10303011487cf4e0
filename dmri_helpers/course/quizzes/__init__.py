"""Quizzes: five questions for each notebook, in a file that `jupyterquiz` reads as well.

On the site each chapter ends with its quiz. In a notebook, ``quiz(1)`` shows that of notebook 1. Every option is
folded: a click says whether it is right, and why. This needs no kernel, no script and no server.
"""

import html
import json
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def quiz(number: int) -> Any:
    """The quiz of a notebook, to be the last line of a cell."""
    from IPython.display import Markdown

    names = [path.stem for path in sorted(FOLDER.glob("*.json")) if int(path.stem[:2]) == number]
    if not names:
        known = len(list(FOLDER.glob("*.json")))
        raise ValueError(f"quiz of notebook {number!r}: there is none; expected a number from 1 to {known}")
    return Markdown(quiz_text(names[0]))


def questions(name: str) -> list[dict[str, Any]]:
    """Read the questions of a notebook, by the name of its source; none where there is no quiz."""
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def quiz_text(name: str) -> str:
    """The questions of a notebook in Markdown, each option a line that unfolds."""
    parts = []
    for number, asked in enumerate(questions(name), 1):
        parts.append(f"**{number}.** {asked['question']}")
        for option in asked["answers"]:
            label = re.sub(r"`(.+?)`", r"<code>\1</code>", html.escape(option["answer"], quote=False))
            verdict = f"**{'Right' if option['correct'] else 'No'}.** {option['feedback']}"
            parts.append(f"<details><summary>{label}</summary>\n\n{verdict}\n\n</details>")
    return "\n\n".join(parts)
