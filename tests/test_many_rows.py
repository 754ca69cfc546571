"""Inference on many rows: it is cut into blocks of rows, which nothing but time and memory shows."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relu_layers as rl
from relu_layers._engine import row_blocks

RNG = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_blocks, "_FEWEST_ROWS", 4)
    monkeypatch.setattr(row_blocks, "_BLOCK_BYTES", 16)


def one_by_one(model: rl.Sequential, x: Any) -> Any:
    return np.concatenate([model(x[i : i + 1]) for i in range(len(x))])


MODELS = {
    "softmax": lambda: [rl.Dense(3, 6), rl.ReLU(0.1), rl.Dense(6, 4), rl.Softmax()],
    "dropout": lambda: [rl.Dense(3, 6), rl.PReLU(6), rl.Dropout(0.5), rl.Dense(6, 2), rl.LogSoftmax()],
    "others": lambda: [
        rl.Dense(3, 5),
        rl.Tanh(),
        rl.Dense(5, 5),
        rl.ELU(),
        rl.SiLU(),
        rl.Clip(),
        rl.Dense(5, 1),
    ],
}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(MODELS)),
    st.integers(0, 40),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from(["new", "out", "reversed", "columns"]),
    st.integers(1, 3),
)
def test_blocks_give_the_bits_of_single_rows(name: str, rows: int, dtype: Any, how: str, times: int) -> None:
    model = rl.Sequential(*MODELS[name](), dtype=dtype, rng=0)
    x = RNG.standard_normal((rows, 3)).astype(dtype)
    if how == "reversed":
        x = x[::-1]
    if how == "columns":
        x = np.asfortranarray(x)
    expected = one_by_one(model, x) if rows else model(x)
    for _ in range(times):  # a block may be captured the third time
        out = np.empty_like(expected) if how == "out" else None
        y = model(x, out)
        assert y.tobytes() == expected.tobytes()
        assert out is None or y is out


def test_layers_that_look_at_several_rows_get_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    class Centred:
        def __init__(self) -> None:
            self.params: dict[str, Any] = {}
            self.grads: dict[str, Any] = {}

        def forward(self, x: Any, training: bool = False) -> Any:
            return x - x.mean(axis=0)

        def backward(self, dy: Any) -> Any:
            return dy - dy.mean(axis=0)

    x = RNG.standard_normal((30, 3))
    centred = rl.Sequential(rl.Dense(3, 4), Centred(), rl.ReLU(), dtype=np.float64, rng=0)(x)
    assert np.count_nonzero(centred) not in (0, centred.size)
    summed = rl.Sequential(rl.Dense(3, 4), rl.ReLU(), rl.Softmax(axis=0), dtype=np.float64, rng=0)(x)
    np.testing.assert_allclose(summed.sum(axis=0), 1.0)
    monkeypatch.setattr(row_blocks, "_FEWEST_ROWS", 100)
    assert np.array_equal(
        centred, rl.Sequential(rl.Dense(3, 4), Centred(), rl.ReLU(), dtype=np.float64, rng=0)(x)
    )


def test_memory_that_x_and_y_share(monkeypatch: pytest.MonkeyPatch) -> None:
    model = rl.Sequential(rl.Dense(3, 3), rl.ReLU(), rl.Dense(3, 3), dtype=np.float64, rng=0)
    memory = RNG.standard_normal((31, 3))
    x, out = memory[:-1], memory[1:]
    expected = one_by_one(model, x.copy())
    assert np.array_equal(model(x, out), expected)


def test_errors_show_the_shapes_that_were_passed() -> None:
    model = rl.mlp([3, 8, 2], dtype=np.float64, rng=0)
    x = np.ones((50, 3))
    with pytest.raises(ValueError, match=r"50, 4"):
        model(np.ones((50, 4)))
    for out in (np.empty((49, 2)), np.empty((50, 3)), np.empty((2, 50)).T):
        with pytest.raises(ValueError, match="out"):
            model(x, out)
    with pytest.raises(TypeError, match="float32"):
        model(x, np.empty((50, 2), dtype=np.float32))


def test_training_in_another_thread_cannot_come_between_two_blocks() -> None:
    model = rl.mlp([3, 8, 2], dtype=np.float64, rng=0)
    trainer = rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.SGD(0.1))
    refused: list[str] = []
    call = rl.Sequential.__call__

    def between(self: Any, x: Any, out: Any = None) -> Any:
        try:
            trainer.step(np.ones((2, 3)), np.array([0, 1]))
        except RuntimeError as error:
            refused.append(str(error))
        return call(self, x, out)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rl.Sequential, "__call__", between)
        y = model._infer_in_layers(np.ones((50, 3)), None)
    assert refused
    assert y.shape == (50, 2)


def test_a_million_rows_need_little_memory_beyond_their_output() -> None:
    """Before, each layer's output of all rows was in memory: 256 MB here."""
    program = """
        import resource
        import numpy as np
        import relu_layers as rl
        rl.set_num_threads(1)
        model = rl.mlp([20, 64, 64, 3], rng=0)
        x, out = np.zeros((10**6, 20), np.float32), np.zeros((10**6, 3), np.float32)
        model(x[:5000], out[:5000])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        model(x, out)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    if sys.platform != "linux":
        pytest.skip("ru_maxrss in kB")
    printed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    ).stdout
    assert int(printed) < 10_000
