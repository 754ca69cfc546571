"""Reading or replacing the state of a model or training as a whole, never between the halves of a step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def still(model: Any, what: str) -> Iterator[None]:
    """Keep other threads from training ``model`` while its state is read.

    Parameters
    ----------
    model : Sequential or None
        None where nothing can be trained yet.
    what : str
        What is going on, for the error: ``"saving"``.

    Raises
    ------
    RuntimeError
        Another thread trains the model now. The thread that trains may go on: between two steps its state is whole.
    """
    if model is None:
        yield
        return
    guard = model.exclusive()
    try:
        guard.begin_inference()
    except RuntimeError:
        raise RuntimeError(mixed("trained", what)) from None
    try:
        yield
    finally:
        guard.end_inference()


@contextmanager
def alone(model: Any, what: str) -> Iterator[None]:
    """Keep other threads from using ``model`` in any way while its state is replaced, see `still`."""
    if model is None:
        yield
        return
    guard = model.exclusive()
    try:
        guard.__enter__()
    except RuntimeError:
        raise RuntimeError(mixed("used", what)) from None
    try:
        yield
    finally:
        guard.__exit__(None, None, None)


def mixed(how: str, what: str) -> str:
    """Return the message for a model that another thread has ``how``: that ``what`` would mix two states."""
    return (
        f"the model is being {how} by another thread, and {what} it would mix the states of two steps: wait for that "
        "thread, or do it there, in a callback such as on_epoch_end"
    )
