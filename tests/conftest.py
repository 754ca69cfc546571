"""Fixtures for all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

Array = np.ndarray[Any, np.dtype[Any]]
NumericalGradient = Callable[[Callable[[], float], Array], Array]


def pytest_configure() -> None:
    """Take Ctrl-C where whoever started the tests ignores it, as a shell does for what it puts into the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def the_same_cores() -> Iterator[None]:
    """A test leaves the process on the cores it had: all tests behind it would share what it leaves."""
    if not hasattr(os, "sched_getaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    yield
    after = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before)
    assert after == before


def four_point_gradient(value: Callable[[], float], at: Array, step: float = 1e-3) -> Array:
    """Return the derivative of ``value()`` with respect to every entry of ``at``, which it reads in place.

    Four-point central differences: error ``step**4 / 30`` times the fifth derivative, plus rounding.
    """
    result = np.empty_like(at)
    for index in np.ndindex(at.shape):
        centre = at[index]
        samples = []
        for shift in (-2, -1, 1, 2):
            at[index] = centre + shift * step
            samples.append(value())
        at[index] = centre
        result[index] = (samples[0] - 8 * samples[1] + 8 * samples[2] - samples[3]) / (12 * step)
    return result


@pytest.fixture
def numerical_gradient() -> NumericalGradient:
    """The function `four_point_gradient`."""
    return four_point_gradient
