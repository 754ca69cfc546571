"""Calling an op: by position, by name, with what does not fit, as Python's own functions are called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import relu_layers as rl

X = np.array([[-1.0, 2.0], [3.0, -4.0]], np.float32)


def test_by_position_and_by_name() -> None:
    expected = rl.ops.relu_forward(X, 0.5)
    calls: list[Any] = [
        rl.ops.relu_forward(X, negative_slope=0.5),
        rl.ops.relu_forward(x=X, negative_slope=0.5),
        rl.ops.relu_forward(negative_slope=0.5, x=X, out=np.empty_like(X)),
        rl.ops.relu_forward(*[X], **{"negative" + "_slope": 0.5}),
    ]
    for y in calls:
        np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(rl.ops.relu_forward(X), rl.ops.relu_forward(X, 0.0, out=None))


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((), {}, "missing .*argument.* 'x'"),
        ((X, 0.5, None), {}, "positional argument"),
        ((X,), {"slope": 0.5}, "unexpected keyword argument 'slope'"),
        ((X,), {"x": X}, "multiple values for argument 'x'"),
        ((), {"out": X.copy()}, "missing .*argument.* 'x'"),
    ],
)
def test_what_does_not_fit_is_refused_by_both(arguments: tuple[Any, ...], options: Any, words: str) -> None:
    for ops in (rl.ops, rl.ops.reference):
        with pytest.raises(TypeError, match=words) as caught:
            ops.relu_forward(*arguments, **options)
        assert str(caught.value).startswith("relu_forward()")


def test_a_required_keyword_is_asked_for() -> None:
    with pytest.raises(TypeError, match=r"missing .*argument.* 'key'"):
        rl.ops.dropout_forward(X, 0.5, counter=1)
    with pytest.raises(TypeError, match="positional argument"):
        rl.ops.dropout_forward(X, 0.5, 1, 2)


@pytest.mark.parametrize("op", ["dense_backward", "prelu_backward"])
def test_the_outputs_of_several_results_come_as_a_tuple(op: str) -> None:
    second = np.ones((2, 2) if op == "dense_backward" else (2,), np.float32)
    call = getattr(rl.ops, op)
    results = call(X, second, X)
    outputs = tuple(np.empty_like(a) for a in results)
    returned = call(X, second, X, out=outputs)
    assert all(a is b for a, b in zip(returned, outputs, strict=True))
    for a, b in zip(results, outputs, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(TypeError, match=f"^{op}: out is a list, expected a tuple of {len(results)} arrays"):
        call(X, second, X, out=list(outputs))
    with pytest.raises(ValueError, match=f"^{op}: out has 1 entries, expected {len(results)}"):
        call(X, second, X, out=outputs[:1])
    with pytest.raises(ValueError, match=f"^{op}: need_dx is False, expected None as out"):
        call(X, second, X, need_dx=False, out=outputs)
