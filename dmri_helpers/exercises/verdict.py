"""How a check tells right from wrong."""

import functools
from collections.abc import Callable

import torch


class NotYet(AssertionError):
    """An answer that is not right yet; the message says what was found and where to look."""

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows: the message, without the lines of the check that found it."""
        return [f"Not yet: {self}"]


def check(test: Callable[..., str]) -> Callable[..., None]:
    """Make a check of a function that raises `NotYet` or returns what was found to be right.

    Whatever an answer raises becomes a `NotYet` of one line: the reader's next step, not a traceback.
    """

    @functools.wraps(test)
    def checked(*answers: Callable) -> None:
        try:
            found = test(*answers)
        except NotYet:
            raise
        except NotImplementedError:
            raise NotYet(
                "nothing here so far. Put your own lines in place of raise NotImplementedError"
            ) from None
        except Exception as error:
            raise NotYet(f"the code stops with {type(error).__name__}: {error}") from None
        print(f"Right: {found}")

    return checked


def demand(fulfilled: bool | torch.Tensor, message: str) -> None:
    """Raise `NotYet` with this message unless the condition holds."""
    if not fulfilled:
        raise NotYet(message)


def demand_tensor(answer: object, shape: tuple[int, ...], dtype: torch.dtype, name: str) -> None:
    """Raise `NotYet` unless the answer is a tensor of this shape and kind; the message names both of both."""
    demand(answer is not None, f"{name} returns nothing; is there a return at its end?")
    demand(isinstance(answer, torch.Tensor), f"{name} returns a {type(answer).__name__}, expected a tensor")
    found = tuple(answer.shape)
    demand(found == shape, f"{name} returns the shape {found}, expected {shape}")
    demand(answer.dtype == dtype, f"{name} returns {answer.dtype}, expected {dtype}")
