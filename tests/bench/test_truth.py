"""What the benchmark expects agrees with the package's specification, and a wrong result is noticed."""

from __future__ import annotations

import numpy as np
import pytest

from relu_layers.bench import cases, data, truth
from relu_layers.bench.cases import Case, all_cases, quick_cases
from relu_layers.ops import reference

SEED = 3


def shorter(case: Case) -> bool:
    return case.bytes < 1 << 20


@pytest.mark.parametrize("case", quick_cases(("float32", "float64")), ids=lambda c: f"{c.name}-{c.dtype}")
def test_a_small_error_is_noticed(case: Case) -> None:
    wanted = truth.expected(case, SEED)
    right = [want.value.astype(case.dtype) for want in wanted]
    assert truth.difference(right, wanted) == ""
    for place, want in enumerate(wanted):
        wrong = list(right)
        wrong[place] = (want.value * 1.05).astype(case.dtype)
        assert want.name in truth.difference(wrong, wanted)
        wrong[place] = np.full_like(right[place], np.nan)
        assert want.name in truth.difference(wrong, wanted)
    assert "results instead of" in truth.difference([], wanted)


@pytest.mark.parametrize("case", [c for c in all_cases(["float64"]) if c.section == "ops" and shorter(c)])
def test_ops_agree_with_the_specification(case: Case) -> None:
    given = data.make(case, SEED, 1).rotation[0]
    weights = data.make(case, SEED, 1).weights
    wanted = truth.expected(case, SEED)
    if case.family == "gemm":
        [(weight, bias)] = weights
        if case.op == "forward":
            found = [reference.dense_forward(given[0], weight, bias)]
        elif case.op == "dx":
            found = [reference.matmul(given[0], weight, transpose_b=True)]
        else:
            found = list(reference.dense_backward(given[0], weight, given[1], need_dx=False)[1:])
    elif case.op == "relu-forward":
        found = [reference.relu_forward(given[0], cases.SLOPE)]
    elif case.op == "relu-backward":
        found = [reference.relu_backward(given[0], given[1], cases.SLOPE)]
    elif case.op == "softmax":
        found = [reference.softmax_forward(given[0])]
    elif case.op == "cross-entropy":
        loss, gradient = reference.softmax_cross_entropy(given[0], given[1])
        found = [np.array(loss), gradient]
    else:
        state, rotation = data.make(case, SEED).state, data.make(case, SEED).rotation
        for step, (gradient,) in enumerate(data.checked(rotation), 1):
            if case.op == "sgd-update":
                reference.sgd_update(
                    *(state[0], gradient, state[1]),
                    learning_rate=cases.LEARNING_RATE,
                    momentum=cases.MOMENTUM,
                )
            else:
                reference.adam_update(
                    *(state[0], gradient, state[1], state[2]), learning_rate=cases.LEARNING_RATE, step=step
                )
        found = [state[0]]
    assert truth.difference(found, wanted) == ""


def test_data_do_not_depend_on_how_much_is_asked_for() -> None:
    for case in quick_cases():
        few, all_of_it = data.make(case, SEED, 2), data.make(case, SEED)
        again = data.make(case, SEED)
        other = data.make(case, SEED + 1)
        for part, whole in zip(few.rotation[0], all_of_it.rotation[0], strict=True):
            assert np.array_equal(part, whole[: len(part)])
        for a, b, c in zip(all_of_it.rotation[0], again.rotation[0], other.rotation[0], strict=True):
            assert np.array_equal(a, b)
            assert not np.array_equal(a, c)


def test_single_precision_is_the_same_problem() -> None:
    case = Case("training", "step", (20, 64, 64, 3), batch=32, optimizer="momentum")
    made = data.make(case, SEED)
    assert {array.dtype for entry in made.rotation for array in entry} == {np.dtype("f4"), np.dtype("i8")}
    assert len(made.rotation) == case.rotation > data.CHECKED_CALLS
