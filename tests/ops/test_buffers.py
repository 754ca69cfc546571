"""NumPy's own memory: no copies, strict outputs, overlaps refused, nothing written by a refused call."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relu_layers as rl

IN_PLACE = [
    "relu_forward",
    "elu_forward",
    "sigmoid_forward",
    "tanh_forward",
    "softmax_forward",
    "log_softmax_forward",
]
GRADIENTS = [
    "relu_backward",
    "elu_backward",
    "sigmoid_backward",
    "silu_backward",
    "gelu_backward",
    "selu_backward",
    "softplus_backward",
    "clip_backward",
    "tanh_backward",
    "softmax_backward",
    "log_softmax_backward",
]


def test_results_are_written_where_out_points() -> None:
    x = np.linspace(-1, 1, 12).reshape(3, 4)
    out = np.empty_like(x)
    address = out.ctypes.data
    for name in IN_PLACE:
        assert getattr(rl.ops, name)(x, out=out) is out
    assert out.ctypes.data == address
    weight, bias = np.ones((4, 2)), np.zeros(2)
    y = np.empty((3, 2))
    assert rl.ops.dense_forward(x, weight, bias, out=y) is y
    np.testing.assert_allclose(y, x @ weight)


def test_without_out_every_call_gives_a_new_array() -> None:
    x = np.ones(5)
    first, second = rl.ops.relu_forward(x), rl.ops.relu_forward(x)
    assert not np.shares_memory(first, second)
    assert first.base is None
    assert first.flags.owndata


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_forward_equals_the_new_array(name: str) -> None:
    x = np.linspace(-2, 2, 21, dtype=np.float32).reshape(3, 7)
    wanted = getattr(rl.ops, name)(x)
    np.testing.assert_array_equal(getattr(rl.ops, name)(x, out=x), wanted)


@pytest.mark.parametrize(
    "name", ["threshold_forward", "prelu_forward", "dense_forward", "matmul", "dropout_forward"]
)
def test_out_may_not_be_an_input_of(name: str) -> None:
    x = np.eye(3)
    before = x.copy()
    calls: dict[str, Any] = {
        "threshold_forward": lambda: rl.ops.threshold_forward(x, 0.0, 0.0, out=x),
        "prelu_forward": lambda: rl.ops.prelu_forward(x, np.ones(3), out=x),
        "dense_forward": lambda: rl.ops.dense_forward(x, np.ones((3, 3)), out=x),
        "matmul": lambda: rl.ops.matmul(np.ones((3, 3)), x, out=x),
        "dropout_forward": lambda: rl.ops.dropout_forward(x, 0.5, key=1, counter=0, out=x),
    }
    with pytest.raises(ValueError, match=name):
        calls[name]()
    np.testing.assert_array_equal(x, before)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from([*IN_PLACE, *GRADIENTS]),
    rows=st.integers(1, 4),
    cols=st.integers(1, 9),
    shift=st.integers(-30, 30),
    double=st.booleans(),
)
def test_any_partial_overlap_is_refused_and_nothing_written(
    name: str, rows: int, cols: int, shift: int, double: bool
) -> None:
    dtype = np.float64 if double else np.float32
    size = rows * cols
    memory = np.arange(120, dtype=dtype) / 60 - 1
    x = memory[40 : 40 + size].reshape(rows, cols)
    out = memory[40 + shift : 40 + shift + size].reshape(rows, cols)
    before = memory.copy()
    arguments = (x,) if name in IN_PLACE else (np.full((rows, cols), 0.5, dtype), x)
    overlaps = 0 < abs(shift) < size
    if overlaps:
        with pytest.raises(ValueError, match=rf"{name}: .*out"):
            getattr(rl.ops, name)(*arguments, out=out)
        np.testing.assert_array_equal(memory, before)
    else:
        wanted = getattr(rl.ops.reference, name)(*[a.copy() for a in arguments])
        getattr(rl.ops, name)(*arguments, out=out)
        np.testing.assert_allclose(out, wanted, rtol=1e-5 if dtype is np.float32 else 1e-13, atol=1e-7)
        outside = np.ones(120, bool)
        outside[40 + shift : 40 + shift + size] = False
        np.testing.assert_array_equal(memory[outside], before[outside])


def test_two_outputs_may_not_overlap() -> None:
    x, weight, dy = np.ones((3, 3)), np.ones((3, 3)), np.ones((3, 3))
    shared = np.zeros((3, 3))
    with pytest.raises(ValueError, match="dense_backward"):
        rl.ops.dense_backward(x, weight, dy, out=(shared, shared, np.zeros(3)))
    with pytest.raises(ValueError, match="dense_backward"):
        rl.ops.dense_backward(x, weight, dy, out=(shared, np.zeros((3, 3)), shared[0]))
    np.testing.assert_array_equal(shared, 0)


def test_interleaved_memory_that_does_not_overlap_is_fine() -> None:
    memory = np.arange(20.0)
    evens = memory[::2]
    out = np.empty(10)
    np.testing.assert_array_equal(rl.ops.relu_forward(evens, out=out), evens)


BAD_OUT: list[tuple[Any, type[Exception], str]] = [
    (np.empty(4), ValueError, r"shape \(4,\)"),
    (np.empty(5, np.float32), TypeError, "float32"),
    (np.empty(10)[::2], ValueError, "contiguous"),
    ([0.0] * 5, TypeError, "list"),
    (np.ma.zeros(5), TypeError, "MaskedArray"),
]


@pytest.mark.parametrize(("out", "error", "message"), BAD_OUT)
def test_a_bad_out_says_what_is_wrong(out: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=rf"relu_forward: out.*{message}"):
        rl.ops.relu_forward(np.ones(5), out=out)


def test_a_read_only_out_is_refused() -> None:
    out = np.zeros(5)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="writ"):
        rl.ops.relu_forward(np.ones(5), out=out)
    np.testing.assert_array_equal(out, 0)


BAD_INPUT: list[tuple[Any, str]] = [
    ([1.0, 2.0], "list"),
    (None, "is None"),
    (np.arange(3), r"astype\(np.float32\)"),
    (np.ones(3, np.float16), "float16"),
    (np.ones(3).astype(">f8"), "byte"),
    (np.ma.masked_array([1.0, 2.0], [True, False]), "MaskedArray"),
    (np.array(["a"]), "dtype"),
    (np.ones(3, complex), "complex128"),
]


@pytest.mark.parametrize(("x", "message"), BAD_INPUT)
def test_a_bad_input_says_what_to_pass(x: Any, message: str) -> None:
    with pytest.raises(TypeError, match=rf"(?i)relu_forward: x.*{message}"):
        rl.ops.relu_forward(x)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_a_matrix_is_refused() -> None:
    with pytest.raises(TypeError, match="matrix"):
        rl.ops.relu_forward(np.matrix([[1.0, -1.0]]))


def test_one_call_has_one_dtype() -> None:
    with pytest.raises(TypeError, match=r"dense_forward: weight .*float64.*float32"):
        rl.ops.dense_forward(np.ones((2, 3), np.float32), np.ones((3, 4)))


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match="x has 30 columns but weight has 32 rows"):
        rl.ops.dense_forward(np.ones((2, 30)), np.ones((32, 10)))
    with pytest.raises(ValueError, match=r"dy.*\(3,\).*\(2,\)"):
        rl.ops.relu_backward(np.ones(2), np.ones(3))


def test_the_first_bad_label_is_named_and_nothing_written() -> None:
    logits, out = np.zeros((4, 3)), np.full((4, 3), 7.0)
    with pytest.raises(IndexError, match=r"labels\[2\] is 3"):
        rl.ops.softmax_cross_entropy(logits, np.array([0, 1, 3, -5]), out=out)
    np.testing.assert_array_equal(out, 7.0)
    with pytest.raises(IndexError, match=r"labels\[0\] is -1"):
        rl.ops.softmax_cross_entropy(logits, np.array([-1, 1, 2, 0], np.int8), out=out)
    with pytest.raises(TypeError, match="bool"):
        rl.ops.softmax_cross_entropy(logits, np.ones(4, bool))
    with pytest.raises(TypeError, match="integers"):
        rl.ops.softmax_cross_entropy(logits, np.ones(4))


def test_a_mean_over_nothing_is_refused() -> None:
    nothing = np.empty((0, 3))
    with pytest.raises(ValueError, match="softmax_cross_entropy"):
        rl.ops.softmax_cross_entropy(nothing, np.empty(0, int))
    with pytest.raises(ValueError, match="squared_error"):
        rl.ops.squared_error(nothing, nothing)
    assert rl.ops.squared_error(nothing, nothing, normalization="none")[0] == 0.0


def test_torch_tensors_come_in_through_dlpack() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    tensor = torch.tensor([1.0, -2.0], dtype=torch.float64)
    np.testing.assert_array_equal(rl.ops.relu_forward(tensor), [1.0, 0.0])
    with pytest.raises(TypeError, match="detach"):
        rl.ops.relu_forward(tensor.requires_grad_())


def test_a_memory_map_is_read_in_place(tmp_path: Any) -> None:
    np.save(tmp_path / "x.npy", np.array([1.0, -1.0]))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(rl.ops.relu_forward(mapped), [1.0, 0.0])


def test_no_buffer_can_be_resized_while_the_gil_is_released() -> None:
    """Another thread that tries to free a buffer under a running kernel gets a ValueError from NumPy."""
    size = 700
    a, b, out = np.ones((size, size)), np.ones((size, size)), np.zeros((size, size))
    refused, succeeded = 0, 0
    stop = threading.Event()
    started = threading.Event()

    def run() -> None:
        started.set()
        while not stop.is_set():
            # Between two calls the main thread may have changed the shape of out for a moment.
            with contextlib.suppress(ValueError):
                rl.ops.matmul(a, b, out=out)

    worker = threading.Thread(target=run)
    worker.start()
    started.wait()
    try:
        for _ in range(2000):
            try:
                out.resize((size, size + 1), refcheck=False)
            except ValueError:
                refused += 1
            else:
                succeeded += 1
                # Between two calls nobody uses it: put it back, as the next call wants it.
                out.resize((size, size), refcheck=False)
            if refused > 20:
                break
            threading.Event().wait(0.0005)
    finally:
        stop.set()
        worker.join()
    assert refused > 0


def test_the_gil_is_released_during_large_work() -> None:
    size = 900
    a = np.ones((size, size))
    ticks, done = 0, threading.Event()

    def run() -> None:
        for _ in range(3):
            rl.ops.matmul(a, a)
        done.set()

    worker = threading.Thread(target=run)
    worker.start()
    while not done.is_set():
        ticks += 1
    worker.join()
    assert ticks > 100


def test_native_byte_order_asked_for_by_name_is_native() -> None:
    """A dtype keeps the sign '<' or '>' that newbyteorder was given, and NumPy still calls it native."""
    sign = "<" if sys.byteorder == "little" else ">"
    x = np.array([1.0, -2.0, 3.0], dtype=np.dtype(np.float32).newbyteorder(sign))
    assert x.dtype.byteorder == sign
    np.testing.assert_array_equal(rl.ops.relu_forward(x), [1, 0, 3])
