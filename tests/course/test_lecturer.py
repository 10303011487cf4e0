"""For the lecturer: every goal is practised, every exercise serves one, answers are whole, quizzes are right."""

import re
from pathlib import Path

import jupytext
import pytest
import torch

from dmri_helpers import classical, fourier, operators, sampling
from dmri_helpers.course import forms, lecturer, quizzes

SOURCES = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("[0-9][0-9]_*.py"))
each = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)


@each
def test_every_goal_is_practised_and_every_exercise_serves_a_goal(source):
    notebook, chapter = jupytext.read(source), int(source.stem[:2])
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    exercises = {f"E{exercise.number}" for exercise in forms.exercises_in(notebook)}
    predictions = {f"P{number}" for number in re.findall(r"^> \*\*Predict (\d\.\d+)\.", text, re.MULTILINE)}
    goals = [f"{chapter}.{k + 1}" for k in range(len(lecturer.goals_in(notebook)))]
    assert 3 <= len(goals) <= 5
    assert [goal for goal in lecturer.PRACTISED if goal.startswith(f"{chapter}.")] == goals
    practised = set()
    for goal in goals:
        by = lecturer.PRACTISED[goal].split()
        assert by and set(by) <= exercises | predictions, goal
        practised |= set(by)
    assert exercises | predictions == practised


def test_model_answers_are_those_of_the_notebooks():
    text = lecturer.model_answers()
    for source in SOURCES:
        for cell in jupytext.read(source).cells:
            if answer := lecturer.ANSWERED.match(cell.source):
                assert text.count(f"> **Predict {answer[1]}.**") == 1, answer[1]
    assert text.count("*Answer.*") == len(re.findall(r"\*\*Predict \d", text)) > 40


def test_points_are_the_stars():
    text = lecturer.goals_text()
    stars = sum(
        len(stars)
        for source in SOURCES
        for stars in re.findall(r"^# ### Exercise .* (★+)$", source.read_text("utf-8"), re.MULTILINE)
    )
    assert (
        f"everything together {stars}." in text
        and len(re.findall(r"^\| \d\.\d ", text, re.MULTILINE)) == 35 + 28
    )


@each
def test_a_quiz_has_five_questions_and_a_reason_for_every_option(source):
    asked = quizzes.questions(source.stem)
    assert len(asked) == 5
    for question in asked:
        assert question.keys() == {"question", "type", "answers"} and question["type"] == "multiple_choice"
        assert 3 <= len(question["answers"]) <= 4
        assert [option["correct"] for option in question["answers"]].count(True) == 1
        for option in question["answers"]:
            assert option.keys() == {"answer", "correct", "feedback"}
            assert len(option["feedback"].split()) >= 3 and "<" not in option["answer"]
    text = quizzes.quiz_text(source.stem)
    assert text.count("<details>") == sum(len(question["answers"]) for question in asked)
    places = [[option["correct"] for option in question["answers"]].index(True) for question in asked]
    assert len(set(places)) > 1, "the right option always stands in the same place"


def test_a_quiz_is_shown_in_a_notebook_and_an_unknown_one_refused():
    assert quizzes.quiz(3).data == quizzes.quiz_text("03_network")
    with pytest.raises(ValueError, match="quiz of notebook 8: there is none; expected a number from 1 to 7"):
        quizzes.quiz(8)


def row(values: torch.Tensor, between: str = " ") -> str:
    return between.join(f"{value:.3g}" for value in values.tolist())


def kept(image: list[float], lines: list[int]) -> str:
    """The zero-filled row of pixels of which these lines are kept, the zero frequency being line 0."""
    some = torch.zeros(len(image)).index_fill(0, torch.tensor(lines), 1)
    return row(
        torch.fft.ifft(torch.fft.fft(torch.tensor(image, dtype=torch.float32)) * some)
        .real.round(decimals=3)
        .abs()
    )


def seen_by_view_sharing() -> str:
    """A step for the data changes nothing of a view-shared image."""
    cine = torch.randn(1, 6, 24, 8, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    A = operators.ForwardModel(sampling.ky_t_mask((1, 6, 24, 8), 2, 5, seed=0))
    kspace = A(cine)
    image = classical.view_sharing(kspace, A)
    return "Nothing" if torch.allclose(image - A.adjoint(A(image) - kspace), image, atol=1e-5) else "?"


def learning_share() -> str:
    conv = torch.nn.Conv3d(4, 3, 5, padding=2)
    conv(torch.randn(1, 4, 1, 9, 9)).square().sum().backward()
    return {0.2: "One fifth"}[round((conv.weight.grad != 0).float().mean().item(), 2)]


def losses() -> tuple[float, float]:
    """The answers that make L2 and L1 smallest, by trying."""
    pixels, tried = torch.tensor([0.2] * 7 + [0.8] * 3), torch.linspace(0, 1, 101)
    errors = (tried[:, None] - pixels).abs()
    return tried[errors.square().mean(1).argmin()].item(), tried[errors.mean(1).argmin()].item()


def better_loss() -> str:
    pixels = torch.tensor([0.2] * 7 + [0.8] * 3)
    of = [(pixels - answer).square().mean().item() for answer in losses()]
    return "The one of L2" if of[0] < of[1] else "The one of L1"


def turned() -> str:
    kspace = fourier.fft2c(1j * torch.rand(7, 7))
    return "y(−k) = − conj y(k)" if torch.allclose(kspace.flip((0, 1)), -kspace.conj(), atol=1e-5) else "?"


def best_coils() -> str:
    pairs = {"(1, 0.2) and (0.2, 1)": [[1, 0.2], [0.2, 1]], "(1, 0.9) and (0.9, 1)": [[1, 0.9], [0.9, 1]]}
    return min(pairs, key=lambda name: torch.linalg.inv(torch.tensor(pairs[name])).norm().item())


COMPUTED = {
    ("01_sampling", 1): lambda: f"{kept([0, 0, 1, 1, 1, 1, 0, 0], [0])[:3]} in every pixel",
    ("01_sampling", 3): lambda: f"Line n // 2 + {next(k for k in range(6) if 10 + k not in range(20)[5:15])}",
    ("02_aliasing", 1): lambda: kept([1, 0, 0, 0, 0, 0, 0, 0], [0, 4]),
    ("02_aliasing", 3): lambda: f"It rises by about {20 * torch.tensor(2.0).log10():.0f} dB",
    ("02_aliasing", 4): lambda: f"It falls by about {10 * torch.tensor(2.0).log10():.0f} dB",
    ("02_aliasing", 5): seen_by_view_sharing,
    ("03_network", 1): learning_share,
    ("03_network", 2): lambda: f"About {torch.tensor([-0.2, 0.3]).clamp(max=0).square().mean():g}",
    ("03_network", 3): lambda: str(min(1 + 2 * 3, 5)),
    ("04_training", 4): lambda: f"No: two standard errors are {2 * 1.0 / 25**0.5:g} dB",
    ("05_ablations", 1): lambda: "L2: {:.2f}, L1: {:.1f}".format(*losses()),
    ("05_ablations", 2): better_loss,
    ("05_ablations", 4): lambda: f"Cannot tell: chance alone allows about {4.30 * 0.15 * (1 + 1 / 3) ** 0.5:.2f} dB",
    ("06_unrolled_dc", 1): lambda: f"{(10 + 4 * 5) / (1 + 4):g}",
    ("06_unrolled_dc", 4): lambda: f"1/{(1 + 1) ** 3}",
    ("07_scanner", 1): lambda: row(torch.tensor([[1, 0.5], [0.5, 1]]).inverse() @ torch.tensor([2, 2.5]), " and "),
    ("07_scanner", 2): best_coils,
    ("07_scanner", 3): turned,
    ("07_scanner", 4): lambda: f"{1.5 * 4**0.5:g} times",
}  # fmt: skip
"""Questions whose right option can be computed: notebook and number -> what comes out."""


@pytest.mark.parametrize("at", COMPUTED, ids=lambda at: f"{at[0]}-{at[1]}")
def test_the_right_option_is_what_comes_out(at):
    name, number = at
    options = quizzes.questions(name)[number - 1]["answers"]
    assert [option["answer"] for option in options if option["correct"]] == [COMPUTED[at]()]


def test_numbers_of_the_model_solutions_come_out():
    text = (SOURCES[0].parents[1] / "site" / "projects.md").read_text(encoding="utf-8")
    ghost = torch.tensor([0.8] + 9 * [0.0])  # a share of 0.1
    errors = [(ghost - answer).square().mean() for answer in (ghost.mean(), ghost.median())]
    assert f"For $p = 0.1$ it is {10 * (errors[1] / errors[0]).log10():.2f} dB" in text
    A = operators.ForwardModel(sampling.ky_t_mask((1, 4, 24, 6), 2, 5, seed=0))
    truth = torch.randn(1, 4, 24, 6, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    image, left = torch.zeros_like(truth), []
    for _ in range(7):
        image = A.closest(image, A.normal(truth), 1.0)
        left.append((A.normal(image - truth).norm() / A.normal(truth).norm()).item())
    assert left[2] == pytest.approx(1 / 8) and left[5] > 0.01 > left[6]
    assert "an eighth of $P e$ remains. After 7 cascades it is below one\n   per cent" in text
    noise = A(truth.conj())
    for _ in range(60):
        image = A.closest(image, A.adjoint(A(truth) + noise), 1.0)
    assert torch.allclose(A.normal(image - truth), A.adjoint(noise))
