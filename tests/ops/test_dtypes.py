"""Every dtype of NumPy for every array argument: what an op does not take is an error that names the argument."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

ROWS, COLUMNS = 4, 3

FOREIGN: dict[str, Any] = {
    **{np.dtype(code).name: np.dtype(code) for code in "?bhilqBHILQ"},
    "longlong": np.dtype("q"),
    "ulonglong": np.dtype("Q"),
    "float16": np.dtype(np.float16),
    "longdouble": np.dtype(np.longdouble),
    "complex64": np.dtype(np.complex64),
    "complex128": np.dtype(np.complex128),
    "clongdouble": np.dtype(np.clongdouble),
    "datetime64": np.dtype("M8[s]"),
    "timedelta64": np.dtype("m8[s]"),
    "str": np.dtype("U3"),
    "bytes": np.dtype("S3"),
    "void": np.dtype("V4"),
    "object": np.dtype(object),
    "structured": np.dtype([("value", np.float32)]),
    "string": np.dtypes.StringDType(),
    "swapped float32": np.dtype(np.float32).newbyteorder("S"),
    "swapped float64": np.dtype(np.float64).newbyteorder("S"),
    "swapped int64": np.dtype(np.int64).newbyteorder("S"),
}
INTEGERS = frozenset(
    name for name, dtype in FOREIGN.items() if dtype.kind in "iu" and not name.startswith("swapped")
)


def floats(*shape: int) -> Any:
    return np.random.default_rng(5).standard_normal(shape).astype(np.float32) ** 2


MATRIX, VECTOR = (ROWS, COLUMNS), (12,)
UPDATE = {"param": VECTOR, "grad": VECTOR}
# The arrays of every op, by the shape of each; "labels" are integers and "active" is uint8.
ARRAYS: dict[str, dict[str, tuple[int, ...]]] = {
    "accumulate": {"total": VECTOR, "grad": VECTOR},
    "adadelta_update": {**UPDATE, "square_mean": VECTOR, "update_mean": VECTOR},
    "adagrad_update": {**UPDATE, "square_sum": VECTOR},
    "adam_update": {**UPDATE, "mean": VECTOR, "square_mean": VECTOR},
    "adamw_update": {**UPDATE, "mean": VECTOR, "square_mean": VECTOR},
    "count_agreeing": {"logits": MATRIX, "targets": MATRIX},
    "count_correct": {"logits": MATRIX, "labels": (ROWS,)},
    "dense_backward": {"x": MATRIX, "weight": (COLUMNS, 2), "dy": (ROWS, 2)},
    "dense_forward": {"x": MATRIX, "weight": (COLUMNS, 2), "bias": (2,), "out": (ROWS, 2)},
    "dropout_backward": {"dy": MATRIX, "out": MATRIX},
    "dropout_forward": {"x": MATRIX, "out": MATRIX},
    "elu_backward": {"y": MATRIX, "dy": MATRIX, "out": MATRIX},
    "elu_forward": {"x": MATRIX, "out": MATRIX},
    "l2_penalty": {"param": VECTOR, "grad": VECTOR, "sample_weight": (ROWS,)},
    "log_softmax_backward": {"y": MATRIX, "dy": MATRIX, "out": MATRIX},
    "log_softmax_forward": {"x": MATRIX, "out": MATRIX},
    "mark_active": {"x": MATRIX, "active": (COLUMNS,)},
    "matmul": {"a": MATRIX, "b": (COLUMNS, 2), "out": (ROWS, 2)},
    "prelu_backward": {"x": MATRIX, "slope": (COLUMNS,), "dy": MATRIX},
    "prelu_forward": {"x": MATRIX, "slope": (COLUMNS,), "out": MATRIX},
    "relu_backward": {"x": MATRIX, "dy": MATRIX, "out": MATRIX},
    "relu_forward": {"x": MATRIX, "out": MATRIX},
    "rmsprop_update": {**UPDATE, "square_mean": VECTOR},
    "sgd_update": {**UPDATE, "velocity": VECTOR},
    "sigmoid_backward": {"y": MATRIX, "dy": MATRIX, "out": MATRIX},
    "sigmoid_cross_entropy": {"logits": MATRIX, "targets": MATRIX, "sample_weight": (ROWS,), "out": MATRIX},
    "sigmoid_forward": {"x": MATRIX, "out": MATRIX},
    "gelu_backward": {"x": MATRIX, "dy": MATRIX, "out": MATRIX},
    "gelu_forward": {"x": MATRIX, "out": MATRIX},
    "silu_backward": {"x": MATRIX, "dy": MATRIX, "out": MATRIX},
    "silu_forward": {"x": MATRIX, "out": MATRIX},
    "selu_backward": {"y": MATRIX, "dy": MATRIX, "out": MATRIX},
    "selu_forward": {"x": MATRIX, "out": MATRIX},
    "softplus_backward": {"y": MATRIX, "dy": MATRIX, "out": MATRIX},
    "softplus_forward": {"x": MATRIX, "out": MATRIX},
    "clip_backward": {"y": MATRIX, "dy": MATRIX, "out": MATRIX},
    "clip_forward": {"x": MATRIX, "out": MATRIX},
    "softmax_backward": {"y": MATRIX, "dy": MATRIX, "out": MATRIX},
    "softmax_cross_entropy": {
        "logits": MATRIX,
        "labels": (ROWS,),
        "class_weight": (COLUMNS,),
        "sample_weight": (ROWS,),
        "out": MATRIX,
    },
    "softmax_forward": {"x": MATRIX, "out": MATRIX},
    "huber": {"prediction": MATRIX, "target": MATRIX, "sample_weight": (ROWS,), "out": MATRIX},
    "squared_error": {"prediction": MATRIX, "target": MATRIX, "sample_weight": (ROWS,), "out": MATRIX},
    "sum_of_squares": {"x": MATRIX},
    "tanh_backward": {"y": MATRIX, "dy": MATRIX, "out": MATRIX},
    "tanh_forward": {"x": MATRIX, "out": MATRIX},
    "threshold_backward": {"x": MATRIX, "dy": MATRIX, "out": MATRIX},
    "threshold_forward": {"x": MATRIX, "out": MATRIX},
}
# The outputs of those ops that return several arrays.
SEVERAL = {
    "dense_backward": ((ROWS, COLUMNS), (COLUMNS, 2), (2,)),
    "prelu_backward": ((ROWS, COLUMNS), (COLUMNS,)),
}
NUMBERS = {
    "threshold": 0.1,
    "value": 0.2,
    "rate": 0.5,
    "key": 1,
    "counter": 2,
    "learning_rate": 0.1,
    "step": 1,
    "strength": 0.1,
    "rows": ROWS,
}


def made(name: str, shape: tuple[int, ...]) -> Any:
    if name == "labels":
        return np.arange(shape[0]) % COLUMNS
    return np.zeros(shape, np.uint8) if name == "active" else floats(*shape)


def in_dtype(shape: tuple[int, ...], dtype: Any) -> Any:
    """An array of ones of the dtype, whatever that means for it, one element as any other."""
    array = np.zeros(shape, dtype)
    if dtype.kind in "biufcO":
        array[...] = 1
    return array


def arguments(op: str) -> dict[str, Any]:
    needed = inspect.signature(getattr(rl.ops.reference, op)).parameters
    numbers = {name: value for name, value in NUMBERS.items() if name in needed}
    several = {"out": tuple(floats(*shape) for shape in SEVERAL[op])} if op in SEVERAL else {}
    return numbers | {name: made(name, shape) for name, shape in ARRAYS[op].items()} | several


def arrays_of(call: dict[str, Any]) -> list[Any]:
    return [a for value in call.values() for a in (value if isinstance(value, tuple) else (value,))]


def refused(name: str, call: Callable[[], object], arrays: list[Any]) -> None:
    """The call is an error that names the argument, and changes no array."""
    before = [np.array(a, copy=True) for a in arrays]
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert name in str(caught.value)
    for array, copy in zip(arrays, before, strict=True):
        if isinstance(array, np.ndarray) and array.dtype.kind in "iuf":
            np.testing.assert_array_equal(array, copy)


def test_every_op_is_asked() -> None:
    assert ARRAYS.keys() == {name for name in rl.ops.__all__ if callable(getattr(rl.ops, name, None))}
    for op, arrays in ARRAYS.items():
        parameters = inspect.signature(getattr(rl.ops.reference, op)).parameters
        assert arrays.keys() | NUMBERS.keys() >= {n for n, p in parameters.items() if p.default is p.empty}


@pytest.mark.parametrize("op", ARRAYS)
@pytest.mark.parametrize("dtype", FOREIGN)
def test_every_argument_of_every_op(op: str, dtype: str) -> None:
    getattr(rl.ops, op)(**arguments(op))
    for name, shape in ARRAYS[op].items():
        if (name == "labels" and dtype in INTEGERS) or (name == "active" and dtype == "uint8"):
            continue
        call = arguments(op)
        call[name] = in_dtype(shape, FOREIGN[dtype])
        refused(name, lambda call=call: getattr(rl.ops, op)(**call), arrays_of(call))
        # Alone, without an array beside it that says what the type is.
        if "out" in call and name != "out":
            call["out"] = None
            refused(name, lambda call=call: getattr(rl.ops, op)(**call), arrays_of(call))


@pytest.mark.parametrize("op", SEVERAL)
@pytest.mark.parametrize("dtype", FOREIGN)
def test_every_output_of_ops_with_several(op: str, dtype: str) -> None:
    for place, shape in enumerate(SEVERAL[op]):
        call = arguments(op)
        outputs = list(call["out"])
        outputs[place] = in_dtype(shape, FOREIGN[dtype])
        call["out"] = tuple(outputs)
        refused(f"out[{place}]", lambda call=call: getattr(rl.ops, op)(**call), arrays_of(call))


@pytest.mark.parametrize("op", ARRAYS)
def test_all_arguments_of_one_foreign_dtype(op: str) -> None:
    for dtype in FOREIGN.values():
        call = {
            name: in_dtype(ARRAYS[op][name], dtype) if name in ARRAYS[op] else value
            for name, value in arguments(op).items()
        }
        call |= {"out": tuple(in_dtype(shape, dtype) for shape in SEVERAL[op])} if op in SEVERAL else {}
        with pytest.raises((TypeError, ValueError)):
            getattr(rl.ops, op)(**call)


LAYERS: dict[str, Callable[[], Any]] = {
    "Dense": lambda: rl.Dense(COLUMNS, COLUMNS),
    "ReLU": lambda: rl.ReLU(0.1),
    "PReLU": lambda: rl.PReLU(COLUMNS),
    "ELU": rl.ELU,
    "Sigmoid": rl.Sigmoid,
    "SiLU": rl.SiLU,
    "GELU": rl.GELU,
    "SELU": rl.SELU,
    "Softplus": rl.Softplus,
    "Clip": rl.Clip,
    "Tanh": rl.Tanh,
    "Threshold": lambda: rl.Threshold(0.1, 0.2),
    "Softmax": rl.Softmax,
    "LogSoftmax": rl.LogSoftmax,
    "Dropout": lambda: rl.Dropout(0.5),
}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("dtype", FOREIGN)
def test_every_layer(layer: str, dtype: str) -> None:
    model = rl.Sequential(LAYERS[layer](), rng=0)
    one = model.layers[0]
    foreign = in_dtype(MATRIX, FOREIGN[dtype])
    refused("x", lambda: one.forward(foreign, training=True), [model.flat_params])
    one.forward(floats(*MATRIX), training=True)
    refused("dy", lambda: one.backward(foreign), [model.flat_params])


LOSSES: dict[str, tuple[Callable[[], Any], dict[str, tuple[int, ...]]]] = {
    "SoftmaxCrossEntropy": (rl.SoftmaxCrossEntropy, {"logits": MATRIX, "labels": (ROWS,)}),
    "SigmoidCrossEntropy": (rl.SigmoidCrossEntropy, {"logits": MATRIX, "targets": MATRIX}),
    "SquaredError": (rl.SquaredError, {"prediction": MATRIX, "target": MATRIX}),
    "Huber": (rl.Huber, {"prediction": MATRIX, "target": MATRIX}),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", FOREIGN)
def test_every_loss(loss: str, dtype: str) -> None:
    make, shapes = LOSSES[loss]
    good = [made(name, shape) for name, shape in shapes.items()]
    for place, (name, shape) in enumerate(shapes.items()):
        if name == "labels" and dtype in INTEGERS:
            continue
        call = list(good)
        call[place] = in_dtype(shape, FOREIGN[dtype])
        refused(name, lambda call=call: make()(*call), call)
    weight = in_dtype((ROWS,), FOREIGN[dtype])
    refused("sample_weight", lambda: make()(*good, sample_weight=weight), good)


@pytest.mark.parametrize("dtype", FOREIGN)
@pytest.mark.parametrize("captured", [False, True])
def test_models_and_trainers(dtype: str, captured: bool) -> None:
    model = rl.Sequential(rl.Dense(COLUMNS, 5), rl.ReLU(), rl.Dense(5, COLUMNS), rng=0)
    trainer = rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.SGD(0.1))
    x, labels, weight = floats(*MATRIX), made("labels", (ROWS,)), floats(ROWS)
    for _ in range(3 if captured else 0):
        trainer.step(x, labels, weight)
        model(x)
    foreign = FOREIGN[dtype]
    kept = [model.flat_params, x, labels, weight]
    refused("x", lambda: model(in_dtype(MATRIX, foreign)), kept)
    refused("out", lambda: model(x, out=in_dtype(MATRIX, foreign)), kept)
    refused("x", lambda: trainer.step(in_dtype(MATRIX, foreign), labels, weight), kept)
    if dtype not in INTEGERS:
        refused("labels", lambda: trainer.step(x, in_dtype((ROWS,), foreign), weight), kept)
    refused("sample_weight", lambda: trainer.step(x, labels, in_dtype((ROWS,), foreign)), kept)
