"""Ops as a loop in plain NumPy calls them: sums of gradients, updates of arrays of any shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers.ops import native, reference

RNG = np.random.default_rng(1)
UPDATES = {
    "sgd_update": (1, {"momentum": 0.9}),
    "adagrad_update": (1, {}),
    "rmsprop_update": (1, {}),
    "adadelta_update": (2, {}),
    "adam_update": (2, {"step": 3}),
    "adamw_update": (2, {"step": 3}),
}


@pytest.mark.parametrize("namespace", [native, reference])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [0, 1, 5, 513, 1030])
def test_dense_backward_adds_to_out(namespace: Any, dtype: Any, rows: int) -> None:
    x, weight, dy = (RNG.normal(size=shape).astype(dtype) for shape in [(rows, 7), (7, 4), (rows, 4)])
    dx, dweight, dbias = namespace.dense_backward(x, weight, dy)
    total = RNG.normal(size=(7, 4)).astype(dtype), RNG.normal(size=4).astype(dtype)
    out = np.empty_like(x), total[0].copy(), total[1].copy()
    assert namespace.dense_backward(x, weight, dy, accumulate=True, out=out)[1] is out[1]
    assert out[0].tobytes() == dx.tobytes()
    room = 4 * (rows + 2) * np.finfo(dtype).eps * max(1.0, float(np.abs(dweight).max()))
    np.testing.assert_allclose(out[1], total[0] + dweight, rtol=0, atol=room)
    np.testing.assert_allclose(out[2], total[1] + dbias, rtol=0, atol=room)
    again = namespace.dense_backward(x, weight, dy, need_dx=False, accumulate=True, out=(None, *out[1:]))
    assert again[0] is None
    np.testing.assert_allclose(out[1], total[0] + 2 * dweight, rtol=0, atol=2 * room)


@pytest.mark.parametrize("namespace", [native, reference])
def test_dense_backward_needs_arrays_to_add_to(namespace: Any) -> None:
    x, weight, dy = np.ones((2, 3)), np.ones((3, 4)), np.ones((2, 4))
    for out in (None, (None, None, np.zeros(4)), (None, np.zeros((3, 4)), None)):
        with pytest.raises(ValueError, match="dense_backward: accumulate is True"):
            namespace.dense_backward(x, weight, dy, accumulate=True, out=out)


@pytest.mark.parametrize("namespace", [native, reference])
@pytest.mark.parametrize("op", UPDATES)
@pytest.mark.parametrize("shape", [(), (12,), (3, 4), (2, 3, 2), (0, 3)])
def test_updates_take_equal_arrays_of_any_shape(namespace: Any, op: str, shape: tuple[int, ...]) -> None:
    states, settings = UPDATES[op]
    update = getattr(namespace, op)
    arrays = [np.abs(RNG.normal(size=shape)) + 0.1 for _ in range(2 + states)]
    flat = [array.reshape(-1).copy() for array in arrays]
    arrays = [np.array(array) for array in arrays]
    before = arrays[0].copy()
    update(*arrays, learning_rate=0.1, **settings)
    update(*flat, learning_rate=0.1, **settings)
    for array, wanted in zip(arrays, flat, strict=True):
        assert array.tobytes() == wanted.tobytes()
    assert not before.size or not np.array_equal(arrays[0], before)


@pytest.mark.parametrize("namespace", [native, reference])
@pytest.mark.parametrize("op", UPDATES)
def test_an_update_that_would_train_a_copy_is_refused(namespace: Any, op: str) -> None:
    states, settings = UPDATES[op]
    update = getattr(namespace, op)
    square = np.ones((3, 3))
    for array in (square[:, ::2], np.asfortranarray(np.ones((3, 2)))):
        rest = [np.ones(array.shape) for _ in range(1 + states)]
        with pytest.raises(ValueError, match="C-contiguous"):
            update(array, *rest, learning_rate=0.1, **settings)
        with pytest.raises(ValueError, match="C-contiguous"):
            update(rest[0], array, *rest[1:], learning_rate=0.1, **settings)
    with pytest.raises(ValueError, match=r"has shape \(3, 3\), expected \(9,\)"):
        update(square, np.ones(9), *[np.ones((3, 3))] * states, learning_rate=0.1, **settings)


def test_a_loop_of_ops_trains_a_network_of_matrices() -> None:
    x = RNG.normal(size=(64, 3))
    target = np.sin(x[:, :1])
    shapes = [(3, 16), (16,), (16, 1), (1,)]
    params = [RNG.normal(size=shape) * 0.5 for shape in shapes]
    grads, means, squares = ([np.zeros(shape) for shape in shapes] for _ in range(3))
    losses = []
    for step in range(1, 201):
        h = rl.ops.dense_forward(x, *params[:2])
        a = rl.ops.relu_forward(h)
        value, dy = rl.ops.squared_error(rl.ops.dense_forward(a, *params[2:]), target)
        da = rl.ops.dense_backward(a, params[2], dy, out=(None, *grads[2:]))[0]
        dh = rl.ops.relu_backward(h, da)
        rl.ops.dense_backward(x, params[0], dh, need_dx=False, out=(None, *grads[:2]))
        for arrays in zip(params, grads, means, squares, strict=True):
            rl.ops.adam_update(*arrays, learning_rate=0.01, step=step)
        losses.append(value)
    assert losses[-1] < 0.05 * losses[0]
