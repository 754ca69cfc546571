"""Frozen models: the bits of the model, from any thread, and nothing of them changes."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relu_layers as rl
from relu_layers import _core
from relu_layers.layers import BUILT_IN

ROWS = (1, 2, 3, 4, 5, 8, 13, 16, 24, 32, 64, 128, 256)
TARGETS = rl.build_info()["targets"]


@pytest.fixture
def settings_kept() -> Iterator[None]:
    target, threads = rl.target(), rl.get_num_threads()
    yield
    rl.use_target(target)
    rl.set_num_threads(threads)
    _core.set_parallel_threshold(-1)


def every_layer(dtype: Any) -> rl.Sequential:
    """Return a model of all built-in layers, products before, between and after them."""
    made: list[Any] = [rl.Dense(9, 40)]
    for name, kind in BUILT_IN.items():
        if name == "Dense":
            made.append(rl.Dense(40, 40, bias=False))
        elif name == "Threshold":
            made.append(kind(-0.5, 0.0))
        elif name == "PReLU":
            made.append(kind(40))
        elif name == "Dropout":
            made.append(kind(0.5))
        else:
            made.append(kind())
    return rl.Sequential(*made, rl.Dense(40, 3), rl.Softmax(), dtype=dtype, rng=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("target", TARGETS)
def test_the_bits_are_those_of_the_model(target: str, dtype: Any, settings_kept: None) -> None:
    # Widths on both sides of whole panels and blocks of 512, sizes on both sides of what is packed.
    made = np.random.default_rng(0)
    nets = ([20, 64, 64, 3], [70, 130, 10], [513, 257, 1], [1100, 97, 33, 10])
    slopes = (0.0, 0.1, 0.0, -0.1)
    models = [
        rl.mlp(sizes, dtype=dtype, rng=0, negative_slope=slope)
        for sizes, slope in zip(nets, slopes, strict=True)
    ]
    rl.use_target(target)
    frozen = [rl.freeze(model) for model in models]
    _core.set_parallel_threshold(0)
    for threads in (1, 2, 3):
        rl.set_num_threads(threads)
        for rows in ROWS:
            for sizes, model, packed in zip(nets, models, frozen, strict=True):
                x = made.standard_normal((rows, sizes[0])).astype(dtype)
                np.testing.assert_array_equal(packed(x), model(x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_layer_can_be_frozen(dtype: Any) -> None:
    model = every_layer(dtype)
    frozen = rl.freeze(model)
    for rows in (1, 7, 50):
        x = np.random.default_rng(rows).standard_normal((rows, 9)).astype(dtype)
        for _ in range(4):  # in the layers, then captured
            np.testing.assert_array_equal(frozen(x), model(x))
        np.testing.assert_array_equal(frozen.predict(x), model.predict(x))
        np.testing.assert_array_equal(frozen.predict_proba(x), model.predict_proba(x))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 40),
    st.integers(1, 1100),
    st.integers(1, 70),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from(["plain", "reversed", "columns", "slices", "out"]),
)
def test_any_size_and_any_strides(rows: int, inputs: int, outputs: int, dtype: Any, how: str) -> None:
    model = rl.Sequential(rl.Dense(inputs, outputs), rl.ReLU(0.1), dtype=dtype, rng=0)
    frozen = rl.freeze(model)
    x = np.random.default_rng(1).standard_normal((rows, inputs)).astype(dtype)
    if how == "reversed":
        x = x[::-1, ::-1]
    elif how == "columns":
        x = np.asfortranarray(x)
    elif how == "slices":
        x = np.repeat(np.repeat(x, 2, axis=0), 2, axis=1)[::2, ::2]
    expected = model(np.ascontiguousarray(x))
    if how == "out":
        out = np.full_like(expected, np.nan)
        assert frozen(x, out) is out
        np.testing.assert_array_equal(out, expected)
    else:
        np.testing.assert_array_equal(frozen(x), expected)


def test_numbers_that_are_not_finite_stay_in_their_row() -> None:
    model = rl.mlp([100, 90, 3], rng=0)
    frozen = rl.freeze(model)
    x = np.random.default_rng(0).standard_normal((30, 100)).astype(np.float32)
    x[3, 5], x[7, 99], x[11] = np.nan, np.inf, -np.inf
    np.testing.assert_array_equal(frozen(x), model(x))
    assert np.isfinite(frozen(x)[[0, 4, 12]]).all()


@pytest.mark.skipif(len(TARGETS) < 2, reason="one target here")
def test_another_target_than_that_of_the_panels(settings_kept: None) -> None:
    model = rl.mlp([100, 90, 10], rng=0)
    x = np.random.default_rng(0).standard_normal((30, 100)).astype(np.float32)
    for packed_for in TARGETS:
        rl.use_target(packed_for)
        frozen = rl.freeze(model)
        for target in TARGETS:
            rl.use_target(target)
            np.testing.assert_array_equal(frozen(x), model(x))


def test_threads_at_once_get_the_bits_of_one() -> None:
    frozen = rl.freeze(rl.mlp([300, 200, 10], rng=0))
    made = np.random.default_rng(0)
    batches = [made.standard_normal((n, 300)).astype(np.float32) for n in (1, 7, 32, 32, 33, 64)]
    expected = [frozen(x) for x in batches]
    start = threading.Barrier(12)

    def work(first: int) -> bool:
        start.wait(10)
        order = [(first + turn) % len(batches) for turn in range(30)]
        return all(np.array_equal(frozen(batches[i]), expected[i]) for i in order)

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(work, range(12)))


def test_a_long_call_runs_without_the_gil(settings_kept: None) -> None:
    rl.set_num_threads(1)
    frozen = rl.freeze(rl.mlp([1000, 1000, 10], rng=0))
    x = np.ones((700, 1000), dtype=np.float32)
    counted = 0
    done = threading.Event()

    def work() -> None:
        for _ in range(3):
            frozen(x)
        done.set()

    before = sys.getswitchinterval()
    # With the GIL held, this thread would get it between two calls only.
    sys.setswitchinterval(1e-5)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        while not done.is_set():
            counted += 1
            done.wait(1e-4)
        thread.join()
    finally:
        sys.setswitchinterval(before)
    assert counted > 10


def test_the_model_may_change_and_go() -> None:
    model = rl.mlp([50, 60, 3], rng=0)
    x = np.random.default_rng(0).standard_normal((40, 50)).astype(np.float32)
    expected = model(x)
    frozen = rl.freeze(model)
    model.flat_params[:] = 0
    model.layers[1].negative_slope = 5.0
    np.testing.assert_array_equal(frozen(x), expected)
    gone = weakref.ref(model)
    del model
    assert gone() is None
    np.testing.assert_array_equal(frozen(x), expected)


def test_nothing_of_it_can_be_changed() -> None:
    frozen = rl.freeze(rl.mlp([4, 8, 3], rng=0))
    for name in ("dtype", "params", "preprocessing", "layers", "new"):
        with pytest.raises(AttributeError, match=f"FrozenModel: {name} cannot be set.*and freeze it again"):
            setattr(frozen, name, None)
    with pytest.raises(AttributeError, match="cannot be set or deleted"):
        del frozen.dtype
    with pytest.raises(ValueError, match="read-only"):
        frozen.params["0.weight"][0, 0] = 1
    with pytest.raises(TypeError):
        frozen.params["0.weight"] = np.zeros((4, 8), np.float32)  # type: ignore[index]
    for missing in ("forward", "backward", "run", "load_params", "flat_params", "layers"):
        assert not hasattr(frozen, missing)


def test_pickles_copies_and_files(tmp_path: Path) -> None:
    model = rl.mlp([30, 70, 3], rng=0)
    model.predicts, model.card = "classes", {"data": "none"}
    frozen = rl.freeze(model)
    x = np.random.default_rng(0).standard_normal((40, 30)).astype(np.float32)
    again = pickle.loads(pickle.dumps(frozen))
    assert isinstance(again, rl.FrozenModel)
    np.testing.assert_array_equal(again(x), model(x))
    assert copy.copy(frozen) is frozen
    assert copy.deepcopy(frozen) is frozen
    for one, name in ((frozen, "a.npz"), (again, "b.npz")):
        one.save(tmp_path / name)
        loaded = rl.load(tmp_path / name)
        np.testing.assert_array_equal(loaded(x), model(x))
        assert (loaded.predicts, loaded.card) == (model.predicts, model.card)
        rl.Trainer(loaded, rl.SoftmaxCrossEntropy(), rl.SGD(0.1)).step(x, np.zeros(40, int))
    assert repr(frozen) == "FrozenModel(Dense(30, 70), ReLU(), Dense(70, 3), dtype=np.float32)"


def test_what_cannot_be_frozen_says_why() -> None:
    class Own:
        def __init__(self) -> None:
            self.params: dict[str, Any] = {}
            self.grads: dict[str, Any] = {}

        def forward(self, x: Any, training: bool = False) -> Any:
            return x

        def backward(self, dy: Any) -> Any:
            return dy

    class Louder(rl.ReLU):
        pass

    class Called(rl.Sequential):
        def __call__(self, x: Any, out: Any = None) -> Any:
            return super().__call__(x, out) * 2

    replaced = rl.mlp([3, 4, 2])
    replaced.layers[1].forward = lambda x, training=False, out=None: x
    for model in (rl.Sequential(rl.Dense(3, 4), Own()), rl.Sequential(rl.Dense(3, 4), Louder()), replaced):
        with pytest.raises(TypeError, match=r"layer 1, .*way of your own.*copy\.deepcopy"):
            rl.freeze(model)
    with pytest.raises(TypeError, match="__call__ of its own"):
        rl.freeze(Called(rl.Dense(3, 4)))
    with pytest.raises(ValueError, match=r"model\.ops = rl\.ops"):
        rl.freeze(rl.mlp([3, 4, 2], ops=rl.ops.reference))
    with pytest.raises(TypeError, match="frozen already"):
        rl.freeze(rl.freeze(rl.mlp([3, 4, 2])))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected a Sequential"):
        rl.freeze(3)  # type: ignore[arg-type]


def test_wrong_batches_are_refused_as_by_the_model() -> None:
    model = rl.mlp([30, 70, 3], rng=0)
    frozen = rl.freeze(model)
    for x in (np.zeros((3, 30)), np.zeros((3, 31), np.float32), np.zeros(30, np.float32), [[0.0] * 30]):
        with pytest.raises((TypeError, ValueError)) as of_model:
            model(x)  # type: ignore[arg-type]
        with pytest.raises(of_model.type) as of_frozen:
            frozen(x)  # type: ignore[arg-type]
        assert str(of_frozen.value) == str(of_model.value).replace("Sequential:", "FrozenModel:")


def test_an_out_over_the_parameters_is_refused() -> None:
    frozen = rl.freeze(rl.Sequential(rl.Dense(64, 64, bias=False), rng=0))
    x = np.ones((64, 64), dtype=np.float32)
    for _ in range(4):
        with pytest.raises(ValueError):
            frozen(x, frozen.params["0.weight"])
        frozen(x)


def test_packed_weights_are_matrices_that_lie_in_order() -> None:
    weight = np.zeros((6, 5), dtype=np.float32)
    for wrong in (weight.T, weight[0], weight[::2]):
        with pytest.raises(ValueError, match="C-contiguous matrix"):
            _core.PackedWeight(wrong)
    with pytest.raises(TypeError):
        _core.PackedWeight(np.zeros((6, 5), dtype=np.int64))
    with pytest.raises(ValueError, match="4 columns but weight has 6 rows"):
        _core.dense_forward(np.zeros((2, 4), np.float32), _core.PackedWeight(weight))
