"""Exercises: every check passes the solution, turns stubs and planted mistakes away, and says why.

Solutions with their checks are executed with the notebooks; here are the answers that must not pass.
"""

import pytest

from dmri_helpers import exercises


def turned_away(check, answer, message: str) -> None:
    """The check refuses the answer with this message, and prints nothing like praise."""
    with pytest.raises(exercises.NotYet, match=message):
        check(answer)


def stub(*args, **kwargs):
    raise NotImplementedError


@pytest.mark.parametrize("name", [name for name in exercises.__all__ if name.startswith("check")])
def test_stubs_and_nonsense_are_turned_away(name, capsys):
    turned_away(getattr(exercises, name), stub, "nothing here so far")
    for nonsense in (
        lambda *args, **kwargs: None,
        lambda: 1,
        lambda *args, **kwargs: 1 / 0,
        lambda *a, **k: "x",
    ):
        with pytest.raises(exercises.NotYet):
            getattr(exercises, name)(nonsense)
    assert not capsys.readouterr().out


def test_what_pytorch_does_not_implement_is_no_stub():
    turned_away(
        exercises.check_2_3, lambda raw, skipped: raw.max(), 'stops with NotImplementedError: "max'
    )  # of complex numbers


def test_a_reader_sees_one_line_and_no_traceback():
    assert exercises.NotYet("too few")._render_traceback_() == ["Not yet: too few"]
