"""One model, many threads: inference side by side, training alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from relu_layers import layers as rl
from relu_layers.model import Sequential
from relu_layers.ops import reference


class Gate:
    """A layer that waits inside forward until it is let go."""

    def __init__(self):
        self.params, self.grads = {}, {}
        self.inside, self.go = threading.Event(), threading.Event()

    def forward(self, x, training=False):
        self.inside.set()
        assert self.go.wait(10)
        return x

    def backward(self, dy):
        return dy


def build(*layers):
    return Sequential(*layers, dtype=np.float64, rng=0, ops=reference)


def test_eight_threads_predict_the_same():
    model = build(
        rl.Dense(20, 64), rl.ReLU(0.01), rl.Dropout(0.5), rl.Dense(64, 64), rl.Tanh(), rl.Dense(64, 5)
    )
    rng = np.random.default_rng(0)
    batches = [rng.standard_normal((n, 20)) for n in (1, 7, 7, 32, 32, 33, 64, 5)]
    expected = [model(x) for x in batches]
    start = threading.Barrier(8)

    def work(index):
        start.wait(10)
        return [(i, model(batches[i])) for turn in range(25) for i in [(index + turn) % 8]]

    with ThreadPoolExecutor(8) as pool:
        for results in pool.map(work, range(8)):
            for i, y in results:
                np.testing.assert_array_equal(y, expected[i])


def run_beside(model, gate, inside):
    """Run ``inside`` while another thread is in the model's forward; return that thread's future."""
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(model, np.ones((2, 3)))
        assert gate.inside.wait(10)
        try:
            inside()
        finally:
            gate.go.set()
        return other.result(10)


def test_training_beside_inference_is_refused_and_possible_afterwards():
    gate = Gate()
    model = build(gate)
    x = np.ones((2, 3))

    def train():
        with pytest.raises(RuntimeError, match="in use by another thread"), model.exclusive():
            pass
        with pytest.raises(RuntimeError, match="in use by another thread"):
            model.forward(x, training=True)

    np.testing.assert_array_equal(run_beside(model, gate, train), x)
    with model.exclusive():
        model.forward(x, training=True)


def test_any_use_beside_training_is_refused():
    model = build(rl.Dense(3, 2))
    x = np.ones((2, 3))
    with ThreadPoolExecutor(1) as pool, model.exclusive():
        for use in (lambda: model(x), lambda: model.predict(x), lambda: model.forward(x, training=True)):
            with pytest.raises(RuntimeError, match="another thread"):
                pool.submit(use).result(10)
        # this thread may go on: nested, and predicting as a callback does
        with model.exclusive():
            model.predict(x)
        model.forward(x, training=True)
        with pytest.raises(RuntimeError, match="another thread"):
            pool.submit(model, x).result(10)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(model, x).result(10).shape == (2, 2)


def test_an_error_inside_does_not_lock_the_model():
    model = build(rl.Dense(3, 2))
    with pytest.raises(ZeroDivisionError), model.exclusive():
        raise ZeroDivisionError
    with pytest.raises(ValueError):
        model(np.ones((2, 4)))
    with ThreadPoolExecutor(1) as pool:

        def train():
            with model.exclusive():
                return model.forward(np.ones((1, 3)), training=True)

        assert pool.submit(train).result(10).shape == (1, 2)


def test_many_batch_shapes_keep_few_buffers():
    model = build(rl.Dense(3, 4), rl.ReLU(), rl.Dense(4, 2))
    for batch in range(1, 60):
        assert model(np.ones((batch, 3))).shape == (batch, 2)
        model.forward(np.ones((batch, 3)), training=True)
    assert len(model._passes._free) <= 8
    assert len(model._passes._workspaces) <= 8
