"""The three verdicts of a check: nothing here so far, not yet (with a hint), right."""

import functools
import math
from collections.abc import Callable
from numbers import Real

import torch


class NotYet(AssertionError):
    """The answer is not right yet; the message says what was found and where to look."""

    def _render_traceback_(self) -> list[str]:
        """Tell Jupyter to show the message without the lines of the check."""
        return [f"Not yet: {self}"]


def check(test: Callable[..., str]) -> Callable[..., None]:
    """Make a check of a function that raises `NotYet` or returns a sentence that says what is right.

    Whatever the answer raises becomes a `NotYet` of one line, so that the reader sees a next step and no traceback.
    """

    @functools.wraps(test)
    def checked(*answers: Callable) -> None:
        try:
            found = test(*answers)
        except NotYet:
            raise
        except Exception as error:
            if isinstance(error, NotImplementedError) and not str(
                error
            ):  # PyTorch raises it, too, with words
                raise NotYet(
                    "nothing here so far. Put your own lines in place of raise NotImplementedError"
                ) from None
            raise NotYet(f"the code stops with {type(error).__name__}: {error}") from None
        print(f"Right: {found}")

    return checked


def demand(fulfilled: bool | torch.Tensor, message: str) -> None:
    """Raise `NotYet` with this message unless the condition holds."""
    if not fulfilled:
        raise NotYet(message)


def demand_tensor(answer: object, shape: tuple[int, ...], dtype: torch.dtype, name: str) -> None:
    """Raise `NotYet` unless the answer is a tensor of this shape and type."""
    demand(answer is not None, f"{name} returns nothing; is there a return at its end?")
    demand(isinstance(answer, torch.Tensor), f"{name} returns a {type(answer).__name__}, expected a tensor")
    found = tuple(answer.shape)
    demand(found == shape, f"{name} returns the shape {found}, expected {shape}")
    demand(answer.dtype == dtype, f"{name} returns {answer.dtype}, expected {dtype}")


def demand_number(
    found: object,
    expected: float,
    asked: str,
    mistakes: dict[str, float],
    way: str = "read the formula once more",
) -> None:
    """Raise `NotYet` unless the number is the expected one; name the known mistake that leads to it, or the way."""
    single = isinstance(found, torch.Tensor) and found.numel() == 1 and not found.is_complex()
    demand(single or isinstance(found, Real), f"{asked} is {found!r:.60}, expected a number, {expected:.4g}")
    found = float(found)

    def is_close(value: float) -> bool:
        return math.isclose(found, value, rel_tol=1e-4, abs_tol=1e-5)

    hints = [hint for hint, value in mistakes.items() if is_close(value)] or [way]
    demand(is_close(expected), f"{asked} is {found:.4g}, expected {expected:.4g}: {hints[0]}")
