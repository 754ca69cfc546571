"""The nine schedules against their formulas, at the ends and where they change."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from relu_layers import optimizers, schedules
from relu_layers.schedules import (
    Constant,
    Cosine,
    Exponential,
    Inverse,
    MultiStep,
    Polynomial,
    Sigmoid,
    Step,
    Warmup,
)

FORMULAS: dict[Any, Callable[[int], float]] = {
    Constant(0.1): lambda t: 0.1,
    Step(0.1, 0.5, 7): lambda t: 0.1 * 0.5 ** math.floor(t / 7),
    Exponential(0.1, 0.9): lambda t: 0.1 * 0.9**t,
    Inverse(0.1, 0.01, 0.75): lambda t: 0.1 * (1 + 0.01 * t) ** -0.75,
    MultiStep(0.1, 0.5, [3, 3, 10]): lambda t: 0.1 * 0.5 ** ((t >= 3) * 2 + (t >= 10)),
    MultiStep(0.1, 0.5, []): lambda t: 0.1,
    Polynomial(0.1, 2.0, 40): lambda t: 0.1 * (1 - t / 40) ** 2 if t < 40 else 0.0,
    Polynomial(0.1, 0.0, 40): lambda t: 0.1,
    Sigmoid(0.1, -0.2, 20): lambda t: 0.1 / (1 + np.exp(0.2 * (t - 20))),
    Cosine(0.1, 40): lambda t: 0.05 * (1 + np.cos(np.pi * t / 40)) if t < 40 else 0.0,
    Cosine(0.1, 40, 0.01): lambda t: 0.01 + 0.045 * (1 + np.cos(np.pi * min(t, 40) / 40)),
    Warmup(Exponential(0.1, 0.9), 5): lambda t: 0.1 * 0.9**t * min((t + 1) / 5, 1),
    Warmup(0.1, 1): lambda t: 0.1,
}


@pytest.mark.parametrize("schedule", FORMULAS, ids=repr)
def test_formula(schedule: Any) -> None:
    expected = [FORMULAS[schedule](t) for t in range(60)]
    np.testing.assert_allclose([schedule(t) for t in range(60)], expected, rtol=1e-14, atol=1e-18)


@pytest.mark.parametrize("schedule", FORMULAS, ids=repr)
def test_description_and_repr_rebuild_it(schedule: Any) -> None:
    for twin in (schedules.rebuild(schedules.describe(schedule)), eval(repr(schedule), vars(schedules))):
        assert type(twin) is type(schedule)
        assert [twin(t) for t in range(60)] == [schedule(t) for t in range(60)]


def test_a_far_sigmoid_neither_overflows_nor_warns() -> None:
    assert Sigmoid(0.1, 5.0, 100_000)(0) == 0.0
    assert Sigmoid(0.1, -5.0, 100_000)(0) == 0.1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(-0.1), "base is -0.1"),
        (lambda: Constant(float("nan")), "base is nan"),
        (lambda: Step(0.1, 0.5, 0), "every is 0"),
        (lambda: MultiStep(0.1, 0.5, [5, 3]), r"milestones is \[5, 3\]"),
        (lambda: MultiStep(0.1, 0.5, [-1]), r"milestones\[0\] is -1"),
        (lambda: Polynomial(0.1, 1.0, 0), "total is 0"),
        (lambda: Polynomial(0.1, -1.0, 10), "power is -1"),
        (lambda: Inverse(0.1, -0.01, 1.0), "gamma is -0.01"),
        (lambda: Cosine(0.1, -1), "total is -1"),
        (lambda: Warmup(0.1, 0), "updates is 0"),
    ],
)
def test_wrong_arguments_are_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("value", ["fast", None, True])
def test_what_is_no_rate_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError, match="base"):
        Constant(value)


def test_a_foreign_schedule_is_described_by_its_name() -> None:
    def mine(updates: int) -> float:
        return 0.1

    assert schedules.describe(mine)["name"].endswith("mine")
    with pytest.raises(ValueError, match="mine' is not one of this package"):
        schedules.rebuild(schedules.describe(mine))
    with pytest.raises(ValueError, match="mine' is not one of this package"):
        schedules.rebuild(schedules.describe(Warmup(mine, 5)))


HUGE = [2**31, 2**53 + 1, 2**63, 10**30, 10**400]
GROWING = [
    schedules.Step(0.1, 1.5, 2),
    schedules.Exponential(0.1, 1.0001),
    schedules.MultiStep(0.1, 0.0, [1, 2, 3]),
    schedules.Inverse(0.1, 0.5, -3.0),
    schedules.Inverse(0.1, 1e300, 2.0),
    schedules.Sigmoid(0.1, 5.0, -(10**400)),
    schedules.Sigmoid(0.1, -5.0, 10),
    schedules.Sigmoid(0.1, 0.0, 10),
    schedules.Polynomial(0.1, 2.0, 10**400),
    schedules.MultiStep(0.1, 1e200, [1, 2, 3]),
    schedules.Constant(0.1),
    schedules.Cosine(0.1, 10**400),
    schedules.Warmup(schedules.Exponential(0.1, 1.5), 10**400),
    schedules.Exponential(0.0, 2.0),
]


@pytest.mark.parametrize("schedule", GROWING, ids=lambda one: repr(one)[:30])
@pytest.mark.parametrize("updates", HUGE, ids=lambda n: f"{len(str(n))} digits")
def test_any_number_of_updates_gives_a_number(schedule: schedules.Schedule, updates: int) -> None:
    """Infinite where no float holds it, as in floating-point arithmetic; the optimizer then names the schedule."""
    rate = schedule(updates)
    assert isinstance(rate, float)
    assert rate == rate


def test_the_optimizer_names_a_schedule_that_has_grown_too_large() -> None:
    optimizer = optimizers.SGD(schedules.Exponential(0.1, 1.0001))
    optimizer.updates = 2**31
    with pytest.raises(
        ValueError, match=r"expected a finite number; it comes from Exponential\(0.1, 1.0001\)"
    ):
        _ = optimizer.learning_rate_now


def test_too_large_is_infinite_and_small_is_zero() -> None:
    assert schedules.Exponential(0.1, 1.0001)(2**31) == float("inf")
    assert schedules.Exponential(0.1, 0.9999)(2**31) == 0.0
    assert schedules.Exponential(0.0, 2.0)(10**6) == 0.0
    assert schedules.Step(0.1, 0.5, 10)(10**400) == 0.0
    assert schedules.Polynomial(0.1, 2.0, 100)(10**400) == 0.0
    assert schedules.Cosine(0.1, 100, 0.01)(10**400) == 0.01
    assert schedules.Warmup(0.1, 10)(10**400) == 0.1
