"""Networks of other programs: every rule of the reader on models built by hand, checked by another runtime.

The judge is ONNX Runtime where it runs the opset (7 and later), else a formula.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import relu_layers as rl

onnx = pytest.importorskip("onnx", reason="needs onnx")
runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
make_node, helper, numpy_helper = onnx.helper.make_node, onnx.helper, onnx.numpy_helper
RNG = np.random.default_rng(7)
KINDS = {np.dtype(np.float32): onnx.TensorProto.FLOAT, np.dtype(np.float64): onnx.TensorProto.DOUBLE}
X = RNG.standard_normal((4, 3)).astype(np.float32)
W = RNG.standard_normal((3, 5)).astype(np.float32)
B = RNG.standard_normal(5).astype(np.float32)


def model_of(
    nodes: list[Any],
    constants: dict[str, Any] | None = None,
    *,
    opset: int = 13,
    x_shape: Any = ("n", 3),
    y_shape: Any = None,
    dtype: Any = np.float32,
    outputs: tuple[str, ...] = ("y",),
    inputs: tuple[str, ...] = ("x",),
    ir_version: int = 8,
) -> Any:
    """Return a model with input x and output y."""
    kind = KINDS[np.dtype(dtype)]
    graph = helper.make_graph(
        nodes,
        "made by hand",
        [helper.make_tensor_value_info(name, kind, x_shape) for name in inputs],
        [helper.make_tensor_value_info(name, kind, y_shape) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def elsewhere(model: Any, x: Any) -> Any:
    """Return what ONNX Runtime computes."""
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": x})[0]


def read(model: Any, path: Path, **options: Any) -> rl.Sequential:
    onnx.save(model, path / "model.onnx")
    return rl.load(path / "model.onnx", **options)


def softmax(x: Any, axis: Any = -1) -> Any:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


GEMM = make_node("Gemm", ["x", "w"], ["y"])
MATMUL = make_node("MatMul", ["x", "w"], ["p"])
ADD = make_node("Add", ["p", "b"], ["y"])


def weights_among_the_inputs() -> Any:
    """Return a Gemm as IR version 3 wanted it; its c was not optional yet."""
    model = model_of([make_node("Gemm", ["x", "w", "b"], ["y"])], {"w": W, "b": B}, opset=8, ir_version=3)
    model.graph.input.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in model.graph.initializer
    )
    return model


# name -> (model, the layers it must become)
RULES: dict[str, tuple[Any, str]] = {
    "gemm": (model_of([make_node("Gemm", ["x", "w", "b"], ["y"])], {"w": W, "b": B}), "Dense(3, 5)"),
    "gemm without c": (model_of([GEMM], {"w": W}), "Dense(3, 5, bias=False)"),
    "gemm with an empty c": (
        model_of([make_node("Gemm", ["x", "w", ""], ["y"])], {"w": W}),
        "Dense(3, 5, bias=False)",
    ),
    "gemm of a transposed weight": (
        model_of([make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)], {"w": W.T, "b": B}),
        "Dense(3, 5)",
    ),
    "gemm with alpha and beta": (
        model_of([make_node("Gemm", ["x", "w", "b"], ["y"], alpha=0.3, beta=-2.5)], {"w": W, "b": B}),
        "Dense(3, 5)",
    ),
    "gemm with beta 0": (
        model_of([make_node("Gemm", ["x", "w", "b"], ["y"], beta=0.0)], {"w": W, "b": B}),
        "Dense(3, 5, bias=False)",
    ),
    "gemm with one number as c": (
        model_of([make_node("Gemm", ["x", "w", "b"], ["y"])], {"w": W, "b": np.float32(0.7)}),
        "Dense(3, 5)",
    ),
    "gemm with a row as c": (
        model_of([make_node("Gemm", ["x", "w", "b"], ["y"])], {"w": W, "b": B[None, :]}),
        "Dense(3, 5)",
    ),
    "gemm, then add": (
        model_of([make_node("Gemm", ["x", "w", "b"], ["p"]), ADD], {"w": W, "b": B}, opset=7),
        "Dense(3, 5)",
    ),
    "gemm at opset 9": (
        model_of([make_node("Gemm", ["x", "w", "b"], ["y"])], {"w": W, "b": B}, opset=9),
        "Dense(3, 5)",
    ),
    "matmul": (model_of([make_node("MatMul", ["x", "w"], ["y"])], {"w": W}), "Dense(3, 5, bias=False)"),
    "matmul, then add": (model_of([MATMUL, ADD], {"w": W, "b": B}), "Dense(3, 5)"),
    "matmul, then add the other way round": (
        model_of([MATMUL, make_node("Add", ["b", "p"], ["y"])], {"w": W, "b": B}),
        "Dense(3, 5)",
    ),
    "matmul, then add twice": (
        model_of([MATMUL, make_node("Add", ["p", "b"], ["q"]), make_node("Add", ["q", "c"], ["y"])],
                 {"w": W, "b": B, "c": np.float32(3)}),
        "Dense(3, 5)",
    ),
    "matmul, then add one number": (model_of([MATMUL, ADD], {"w": W, "b": np.float32([[2]])}), "Dense(3, 5)"),
    "matmul of three axes": (
        model_of([MATMUL, ADD], {"w": W, "b": B[None, None, :]}, x_shape=("n", 2, 3)),
        "Dense(3, 5)",
    ),
    "float64": (
        model_of([MATMUL, ADD], {"w": W.astype(np.float64), "b": B.astype(np.float64)}, dtype=np.float64),
        "Dense(3, 5)",
    ),
    "relu": (model_of([make_node("Relu", ["x"], ["y"])]), "ReLU()"),
    "relu of three axes": (model_of([make_node("Relu", ["x"], ["y"])], x_shape=("n", 2, 3)), "ReLU()"),
    "leaky relu": (model_of([make_node("LeakyRelu", ["x"], ["y"], alpha=0.2)]), "ReLU(0.2)"),
    "leaky relu, default": (model_of([make_node("LeakyRelu", ["x"], ["y"])]), "ReLU(0.01)"),
    "elu": (model_of([make_node("Elu", ["x"], ["y"], alpha=0.3)]), "ELU(0.3)"),
    "elu, default": (model_of([make_node("Elu", ["x"], ["y"])]), "ELU()"),
    "sigmoid": (model_of([make_node("Sigmoid", ["x"], ["y"])]), "Sigmoid()"),
    "tanh": (model_of([make_node("Tanh", ["x"], ["y"])]), "Tanh()"),
    "silu": (model_of([make_node("Sigmoid", ["x"], ["s"]), make_node("Mul", ["x", "s"], ["y"])]), "SiLU()"),
    "silu, mirrored": (model_of([make_node("Sigmoid", ["x"], ["s"]), make_node("Mul", ["s", "x"], ["y"])]), "SiLU()"),
    "clip": (
        model_of([make_node("Clip", ["x", "a", "b"], ["y"])], {"a": np.float32(-0.5), "b": np.float32(0.75)}),
        "Clip(-0.5, 0.75)",
    ),
    "clip from below": (model_of([make_node("Clip", ["x", "a"], ["y"])], {"a": np.float32(-0.5)}), "Clip(-0.5, inf)"),
    "clip of opset 10": (model_of([make_node("Clip", ["x"], ["y"], min=0.0, max=6.0)], opset=10), "Clip()"),
    "max": (model_of([make_node("Max", ["a", "x"], ["y"])], {"a": np.float32(0.25)}), "Clip(0.25, inf)"),
    "min": (model_of([make_node("Min", ["x", "a"], ["y"])], {"a": np.float32([0.25])}), "Clip(-inf, 0.25)"),
    "selu": (model_of([make_node("Selu", ["x"], ["y"])]), "SELU()"),
    "softplus": (model_of([make_node("Softplus", ["x"], ["y"])]), "Softplus()"),
    "silu after a dense": (
        model_of([make_node("Gemm", ["x", "w", "b"], ["z"]), make_node("Sigmoid", ["z"], ["s"]),
                  make_node("Mul", ["s", "z"], ["y"])], {"w": W, "b": B}),
        "Dense(3, 5), SiLU()",
    ),
    "thresholded relu": (model_of([make_node("ThresholdedRelu", ["x"], ["y"], alpha=0.4)]), "Threshold(0.4, 0.0)"),
    "thresholded relu, default": (model_of([make_node("ThresholdedRelu", ["x"], ["y"])]), "Threshold(1.0, 0.0)"),
    "threshold as where": (
        model_of([make_node("LessOrEqual", ["x", "t"], ["c"]), make_node("Where", ["c", "v", "x"], ["y"])],
                 {"t": np.float32(0.1), "v": np.float32([9])}),
        "Threshold(0.1, 9.0)",
    ),
    "threshold as where, mirrored": (
        model_of([make_node("Greater", ["x", "t"], ["c"]), make_node("Where", ["c", "x", "v"], ["y"])],
                 {"t": np.float32(0.1), "v": np.float32(-2)}, opset=9),
        "Threshold(0.1, -2.0)",
    ),
    "prelu, shared": (model_of([make_node("PRelu", ["x", "s"], ["y"])], {"s": np.float32([0.3])}), "PReLU(1)"),
    "prelu, one number": (model_of([make_node("PRelu", ["x", "s"], ["y"])], {"s": np.float32(0.3)}), "PReLU(1)"),
    "prelu of features": (
        model_of([make_node("PRelu", ["x", "s"], ["y"])], {"s": np.float32([0.3, -0.1, 2])}),
        "PReLU(3)",
    ),
    "prelu of features as a row, opset 7": (
        model_of([make_node("PRelu", ["x", "s"], ["y"])], {"s": np.float32([[0.3, -0.1, 2]])}, opset=7),
        "PReLU(3)",
    ),
    "prelu of features, three axes": (
        model_of([make_node("PRelu", ["x", "s"], ["y"])], {"s": np.float32([0.3, -0.1, 2])}, x_shape=("n", 2, 3)),
        "PReLU(3)",
    ),
    "softmax": (model_of([make_node("Softmax", ["x"], ["y"])]), "Softmax()"),
    "softmax of axis 1 of 2": (model_of([make_node("Softmax", ["x"], ["y"], axis=1)]), "Softmax()"),
    "softmax of axis 0": (model_of([make_node("Softmax", ["x"], ["y"], axis=0)]), "Softmax(0)"),
    "softmax of axis 1 of 3": (
        model_of([make_node("Softmax", ["x"], ["y"], axis=1)], x_shape=("n", 2, 3)),
        "Softmax(1)",
    ),
    "softmax, default axis of opset 11": (model_of([make_node("Softmax", ["x"], ["y"])], opset=11), "Softmax()"),
    "softmax of the last of 3 axes, opset 11": (
        model_of([make_node("Softmax", ["x"], ["y"], axis=2)], x_shape=("n", 2, 3), opset=11),
        "Softmax()",
    ),
    "log softmax": (model_of([make_node("LogSoftmax", ["x"], ["y"])]), "LogSoftmax()"),
    "log softmax, opset 7": (model_of([make_node("LogSoftmax", ["x"], ["y"], axis=1)], opset=7), "LogSoftmax()"),
    "dropout, ratio as attribute": (
        model_of([make_node("Dropout", ["x"], ["y", "mask"], ratio=0.2)], opset=10),
        "Dropout(0.2)",
    ),
    "dropout, ratio as input": (
        model_of([make_node("Dropout", ["x", "r", "t"], ["y"])], {"r": np.float32(0.2), "t": np.bool_(False)}),
        "Dropout(0.2)",
    ),
    "dropout, default ratio": (model_of([make_node("Dropout", ["x"], ["y"])], opset=12), "Dropout(0.5)"),
    "identity and cast to the same type": (
        model_of([make_node("Identity", ["x"], ["i"]), make_node("Cast", ["i"], ["c"], to=1),
                  make_node("Tanh", ["c"], ["t"]), make_node("Identity", ["t"], ["y"])]),
        "Tanh()",
    ),
    "flatten of rows": (
        model_of([make_node("Flatten", ["x"], ["f"]), make_node("Relu", ["f"], ["y"])]),
        "ReLU()",
    ),
    "reshape that keeps rows, -1": (
        model_of([make_node("Reshape", ["x", "s"], ["f"]), make_node("Relu", ["f"], ["y"])], {"s": np.int64([-1, 3])}),
        "ReLU()",
    ),
    "reshape that keeps rows, 0": (
        model_of([make_node("Reshape", ["x", "s"], ["f"]), make_node("Relu", ["f"], ["y"])], {"s": np.int64([0, -1])}),
        "ReLU()",
    ),
    "a constant node as weight": (
        model_of([make_node("Constant", [], ["w"], value=numpy_helper.from_array(W)), GEMM], {}),
        "Dense(3, 5, bias=False)",
    ),
    "a transposed constant as weight": (
        model_of([make_node("Transpose", ["v"], ["w"], perm=[1, 0]), make_node("Identity", ["w"], ["u"]),
                  make_node("MatMul", ["x", "u"], ["y"])], {"v": W.T}),
        "Dense(3, 5, bias=False)",
    ),
    "a cast constant as weight": (
        model_of([make_node("Cast", ["v"], ["w"], to=1), GEMM], {"v": W.astype(np.float64)}),
        "Dense(3, 5, bias=False)",
    ),
    "a constant node of floats": (
        model_of([MATMUL, make_node("Constant", [], ["b"], value_floats=[1.0, 2.0, 3.0, 4.0, 5.0]), ADD], {"w": W}),
        "Dense(3, 5)",
    ),
    "no declared shape": (
        model_of([make_node("Gemm", ["x", "w"], ["p"]), make_node("Softmax", ["p"], ["y"], axis=1)], {"w": W},
                 x_shape=None),
        "Dense(3, 5, bias=False), Softmax()",
    ),
    "weights among the inputs, as before IR version 4": (weights_among_the_inputs(), "Dense(3, 5)"),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_rule(name: str, tmp_path: Path) -> None:
    model, layers = RULES[name]
    loaded = read(model, tmp_path)
    assert repr(loaded) == f"Sequential({layers}, dtype=np.{loaded.dtype})"
    shape = [dim.dim_value or 4 for dim in model.graph.input[0].type.tensor_type.shape.dim] or [4, 3]
    x = RNG.standard_normal(shape).astype(loaded.dtype)
    np.testing.assert_allclose(loaded(x), elsewhere(model, x), rtol=2e-6, atol=1e-6)


class Stack:
    """Nodes in a row, as one program or another would write them."""

    def __init__(self, rng: np.random.Generator, features: int, opset: int) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.rng, self.features, self.opset = rng, features, opset

    def node(self, op_type: str, *operands: Any, **attributes: Any) -> None:
        names = [f"c{len(self.constants) + i}" for i in range(len(operands))]
        self.constants |= dict(zip(names, operands, strict=True))
        source = f"v{len(self.nodes)}" if self.nodes else "x"
        self.nodes.append(make_node(op_type, [source, *names], [f"v{len(self.nodes) + 1}"], **attributes))

    def numbers(self, *shape: int) -> Any:
        return self.rng.uniform(-1, 1, shape).astype(np.float32)

    def gemm(self) -> None:
        inputs, self.features = self.features, int(self.rng.integers(1, 7))
        turned = int(self.rng.integers(2))
        weight = self.numbers(self.features, inputs) if turned else self.numbers(inputs, self.features)
        bias = self.numbers(*((self.features,), (1, self.features), (1,), ())[self.rng.integers(4)])
        alpha, beta = self.rng.uniform(0.5, 2, 2)
        self.node("Gemm", weight, bias, transB=turned, alpha=alpha, beta=beta)

    def matmul(self) -> None:
        inputs, self.features = self.features, int(self.rng.integers(1, 7))
        self.node("MatMul", self.numbers(inputs, self.features))
        if self.rng.integers(2):
            self.node("Add", self.numbers(self.features))

    def prelu(self) -> None:
        self.node("PRelu", self.numbers(*((self.features,), (1,), (1, self.features))[self.rng.integers(3)]))

    def threshold(self) -> None:
        if self.opset >= 10:
            self.node("ThresholdedRelu", alpha=float(self.rng.uniform(0, 0.5)))

    def dropout(self) -> None:
        if self.opset >= 12:
            self.node("Dropout", np.float32(0.3))
        else:
            self.node("Dropout", ratio=0.3)

    def simple(self) -> None:
        op_type = ("Relu", "Sigmoid", "Tanh", "Identity")[self.rng.integers(4)]
        self.node(op_type)

    def sloped(self) -> None:
        self.node(("LeakyRelu", "Elu")[self.rng.integers(2)], alpha=float(self.rng.uniform(0, 1)))

    def softmax(self) -> None:
        op_type = ("Softmax", "LogSoftmax")[self.rng.integers(2)]
        self.node(op_type, axis=(1, -1)[self.rng.integers(2)] if self.opset >= 11 else 1)

    def flat(self) -> None:
        if self.rng.integers(2):
            self.node("Flatten", axis=1)
        else:
            self.node("Reshape", np.int64([-1, self.features]))


STEPS = ("gemm", "matmul", "prelu", "threshold", "dropout", "simple", "sloped", "softmax", "flat")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.sampled_from(STEPS), max_size=8),
    opset=st.integers(7, 17),
    features=st.integers(1, 6),
    seed=st.integers(0, 2**32),
)
def test_any_row_of_nodes_computes_the_same_here(
    steps: list[str], opset: int, features: int, seed: int, tmp_path: Path
) -> None:
    stack = Stack(np.random.default_rng(seed), features, opset)
    for step in ("gemm", *steps):
        getattr(stack, step)()
    stack.nodes[-1].output[0] = "y"
    model = model_of(stack.nodes, stack.constants, opset=opset, x_shape=("n", features))
    x = stack.numbers(3, features) * 3
    np.testing.assert_allclose(read(model, tmp_path)(x), elsewhere(model, x), rtol=2e-5, atol=2e-6)


OLD = {
    "relu": (make_node("Relu", ["x"], ["y"], consumed_inputs=[0]), {}, 1, lambda x: np.maximum(x, 0)),
    "elu": (make_node("Elu", ["x"], ["y"]), {}, 6, lambda x: np.where(x > 0, x, np.expm1(x))),
    "gemm": (
        make_node("Gemm", ["x", "w", "b"], ["y"], broadcast=1),
        {"w": W, "b": B},
        6,
        lambda x: x @ W + B,
    ),
    "softmax": (make_node("Softmax", ["x"], ["y"]), {}, 1, softmax),
    "prelu": (
        make_node("PRelu", ["x", "s"], ["y"]),
        {"s": np.float32([0.5, 2, 0])},
        6,
        lambda x: np.where(x > 0, x, x * np.float32([0.5, 2, 0])),
    ),
    "dropout": (make_node("Dropout", ["x"], ["y"], is_test=1), {}, 6, lambda x: x),
    "reshape": (make_node("Reshape", ["x"], ["y"], shape=[0, 3]), {}, 1, lambda x: x),
    "cast": (make_node("Cast", ["x"], ["y"], to="FLOAT"), {}, 1, lambda x: x),
}


@pytest.mark.parametrize("name", OLD)
def test_opsets_that_runtimes_no_longer_run(name: str, tmp_path: Path) -> None:
    node, constants, opset, formula = OLD[name]
    node.output[0] = "h"
    model = model_of([node, make_node("Tanh", ["h"], ["y"])], constants, opset=opset, ir_version=3)
    np.testing.assert_allclose(read(model, tmp_path)(X), np.tanh(formula(X)), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("axis", [1, -1, None])
def test_add_of_opset_6_broadcasts_when_told(axis: int | None, tmp_path: Path) -> None:
    more = {} if axis is None else {"axis": axis}
    add = make_node("Add", ["p", "b"], ["y"], broadcast=1, **more)
    model = model_of([MATMUL, add], {"w": W, "b": B}, opset=6, ir_version=3)
    np.testing.assert_allclose(read(model, tmp_path)(X), X @ W + B, rtol=1e-5)


@pytest.mark.parametrize("how", ["Flatten", "Reshape"])
def test_an_image_is_taken_as_a_flat_row(how: str, tmp_path: Path) -> None:
    weight = RNG.standard_normal((24, 2)).astype(np.float32)
    to_rows = make_node(how, ["r", "s"][: 1 + (how == "Reshape")], ["f"])
    nodes = [make_node("Relu", ["x"], ["r"]), to_rows, make_node("MatMul", ["f", "w"], ["y"])]
    model = model_of(nodes, {"w": weight, "s": np.int64([0, -1])}, x_shape=("n", 2, 3, 4))
    images = RNG.standard_normal((5, 2, 3, 4)).astype(np.float32)
    loaded = read(model, tmp_path)
    np.testing.assert_allclose(loaded(images.reshape(5, 24)), elsewhere(model, images), rtol=1e-5, atol=1e-6)


def two_heads(tmp_path: Path, **options: Any) -> rl.Sequential:
    """A classifier as scikit-learn's converters write it: probabilities, and labels made of them."""
    nodes = [
        make_node("Cast", ["x"], ["c"], to=1),
        make_node("MatMul", ["c", "w"], ["p"]),
        ADD,
        make_node("Softmax", ["y"], ["probabilities"], axis=1),
        make_node("ArgMax", ["probabilities"], ["label"], axis=1),
    ]
    return read(model_of(nodes, {"w": W, "b": B}, outputs=("probabilities", "label")), tmp_path, **options)


def test_one_of_several_outputs_is_chosen_by_name(tmp_path: Path) -> None:
    loaded = two_heads(tmp_path, output="probabilities")
    np.testing.assert_allclose(loaded(X), softmax(X @ W + B), rtol=1e-5)
    # Labels are the same network.
    for options in ({}, {"output": "label"}):
        np.testing.assert_array_equal(two_heads(tmp_path, **options)(X), loaded(X))
    with pytest.raises(ValueError, match=r"output is 'probability', .*did you mean 'probabilities'"):
        two_heads(tmp_path, output="probability")
    heads = [make_node("MatMul", ["x", "w"], ["y"]), make_node("Relu", ["x"], ["z"])]
    with pytest.raises(ValueError, match=r"2 outputs \(y, z\), expected one; choose with output="):
        read(model_of(heads, {"w": W}, outputs=("y", "z")), tmp_path)
    with pytest.raises(TypeError, match="output is 3"):
        two_heads(tmp_path, output=3)
    with pytest.raises(TypeError, match=r"no option 'outputs'.*did you mean 'output'"):
        two_heads(tmp_path, outputs="label")
    with pytest.raises(TypeError, match="finite is 'no'"):
        two_heads(tmp_path, finite="no")


# name -> (model, words of the message)
CONV = make_node("Conv", ["x", "w"], ["y"], name="conv1")
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "an operator": (lambda: model_of([CONV], {"w": W}), "node 0 'conv1' .Conv. is not supported.*supported are Gemm"),
    "nearly an operator": (lambda: model_of([make_node("Softmx", ["x"], ["y"])]), r"did you mean 'Softmax'\?"),
    "an operator of another domain": (
        lambda: model_of([make_node("Relu", ["x"], ["y"], domain="com.example")]),
        "node 0 .Relu. is of com.example: only operators of ONNX itself",
    ),
    "an operator that came later": (
        lambda: model_of([make_node("Where", ["x", "x", "x"], ["y"])], opset=8),
        "there is no Where in opset 8",
    ),
    "an opset of the future": (lambda: model_of([GEMM], {"w": W}, opset=4096), "opset 4096 is unknown to onnx"),
    "an IR version of the future": (lambda: model_of([GEMM], {"w": W}, ir_version=4096), "IR version 4096"),
    "a branch": (
        lambda: model_of([make_node("Relu", ["x"], ["a"]), make_node("Tanh", ["x"], ["b"]),
                          make_node("Add", ["a", "b"], ["y"])]),
        "node 1 .Tanh. takes 'x', but the layer before gives 'a': only layers in a row",
    ),
    "two inputs": (
        lambda: model_of([make_node("Add", ["x", "z"], ["y"])], inputs=("x", "z")),
        r"2 inputs \(x, z\), expected one",
    ),
    "no node": (lambda: model_of([make_node("Identity", ["x"], ["y"])]), "it has no layer"),
    "a weight that is no constant": (
        lambda: model_of([make_node("MatMul", ["x", "x"], ["y"])]), "its input 1, 'x', must be constant"),
    "a weight on the left": (
        lambda: model_of([make_node("MatMul", ["w", "x"], ["y"])], {"w": W}), "its input 0 must be 'x', got 'w'"),
    "a weight of three axes": (
        lambda: model_of([make_node("MatMul", ["x", "w"], ["y"])], {"w": W[None]}), "expected a matrix"),
    "a weight of another size": (
        lambda: model_of([GEMM], {"w": W.T}), r"takes 5 features, but gets values of shape \(None, 3\)"),
    "a weight of another type": (
        lambda: model_of([GEMM], {"w": W.astype(np.float64)}), "'w' is float64, but the model's input is float32"),
    "integers": (
        lambda: model_of([GEMM], {"w": W.astype(np.int8)}), "INT8, expected one of FLOAT, DOUBLE"),
    "transA": (lambda: model_of([make_node("Gemm", ["x", "w"], ["y"], transA=1)], {"w": W}), "transA is set"),
    "a bias for each row": (
        lambda: model_of([make_node("Gemm", ["x", "w", "b"], ["y"])], {"w": W, "b": np.ones((4, 5), np.float32)}),
        r"has shape \(4, 5\), expected one number or 5, the same for every row"),
    "a bias without broadcast, opset 6": (
        lambda: model_of([make_node("Gemm", ["x", "w", "b"], ["y"])], {"w": W, "b": B}, opset=6), "needs broadcast=1"),
    "an add on another axis, opset 6": (
        lambda: model_of([MATMUL, make_node("Add", ["p", "b"], ["y"], broadcast=1, axis=0)], {"w": W, "b": B}, opset=6),
        "axis 0 .* is not the end"),
    "an add to no product": (
        lambda: model_of([make_node("Add", ["x", "b"], ["y"])], {"b": np.ones(600, np.float32)}, x_shape=("n", 600)),
        "node 0 .Add. follows no product"),
    "slopes of channels": (
        lambda: model_of([make_node("PRelu", ["x", "s"], ["y"])], {"s": np.ones((2, 1), np.float32)},
                         x_shape=("n", 2, 3)),
        "one for each feature of the last axis"),
    "slopes of channels, opset 6": (
        lambda: model_of([make_node("PRelu", ["x", "s"], ["y"])], {"s": np.ones(3, np.float32)}, x_shape=("n", 3, 3),
                         opset=6),
        "one for each feature of the last axis"),
    "a softmax that joins axes, opset 11": (
        lambda: model_of([make_node("Softmax", ["x"], ["y"], axis=1)], x_shape=("n", 2, 3), opset=11),
        "before opset 13 any other stands for all axes behind it too"),
    "a softmax of an unknown number of axes": (
        lambda: model_of([make_node("Softmax", ["x"], ["y"], axis=1)], x_shape=None), "expected their last axis"),
    "an axis that is not there": (
        lambda: model_of([make_node("Softmax", ["x"], ["y"], axis=2)]), "axis is 2, but its input has 2 axes"),
    "dropout in training mode": (
        lambda: model_of([make_node("Dropout", ["x", "", "t"], ["y"])], {"t": np.bool_(True)}),
        "is in training mode, where its output is random"),
    "dropout in training mode, opset 6": (
        lambda: model_of([make_node("Dropout", ["x"], ["y"])], opset=6), "is in training mode"),
    "a dropout that drops everything": (
        lambda: model_of([make_node("Dropout", ["x"], ["y"], ratio=1.0)], opset=7), "ratio is 1.0"),
    "the mask of a dropout": (
        lambda: model_of([make_node("Dropout", ["x"], ["d", "m"]), make_node("Relu", ["m"], ["y"])], opset=7),
        "takes 'm', but the layer before gives 'd'"),
    "another type on the way": (
        lambda: model_of([make_node("Cast", ["x"], ["c"], to=11), make_node("Relu", ["c"], ["y"])]),
        "turns float32 into float64"),
    "flatten of another axis": (
        lambda: model_of([make_node("Flatten", ["x"], ["y"], axis=2)], x_shape=("n", 2, 3)), "joins or splits rows"),
    "flatten after a layer that needs the axes": (
        lambda: model_of([MATMUL, make_node("Flatten", ["p"], ["y"])], {"w": W}, x_shape=("n", 2, 3)),
        "after a layer that needs these axes"),
    "reshape of the rows": (
        lambda: model_of([make_node("Reshape", ["x", "s"], ["y"])], {"s": np.int64([-1, 2])}),
        r"to \(-1, 2\), expected one row to stay one row"),
    "reshape to something computed": (
        lambda: model_of([make_node("Reshape", ["x", "x"], ["y"])]), "its shape 'x' is no constant list"),
    "transpose": (lambda: model_of([make_node("Transpose", ["x"], ["y"])]), "only where what it takes is constant"),
    "where without a comparison": (
        lambda: model_of([make_node("Where", ["c", "x", "v"], ["y"])], {"c": np.bool_(True), "v": np.float32(0)}),
        "is no threshold"),
    "a threshold the wrong way round": (
        lambda: model_of([make_node("LessOrEqual", ["x", "t"], ["c"]), make_node("Where", ["c", "x", "v"], ["y"])],
                         {"t": np.float32(0.1), "v": np.float32(-2)}),
        "is no threshold"),
    "a threshold for each feature": (
        lambda: model_of([make_node("LessOrEqual", ["x", "t"], ["c"]), make_node("Where", ["c", "v", "x"], ["y"])],
                         {"t": np.ones(3, np.float32), "v": np.float32(-2)}),
        r"'t' has shape \(3,\), expected one number"),
    "something between a comparison and its where": (
        lambda: model_of([make_node("LessOrEqual", ["x", "t"], ["c"]), make_node("Relu", ["x"], ["r"]),
                          make_node("Where", ["c", "r", "r"], ["y"])], {"t": np.float32(0.1)}),
        "stands between a LessOrEqual and its Where"),
    "an unknown attribute": (
        lambda: model_of([make_node("LeakyRelu", ["x"], ["y"], alhpa=0.1)]), "'alhpa' is unknown.*mean 'alpha'"),
    "an attribute of another type": (
        lambda: model_of([make_node("LeakyRelu", ["x"], ["y"], alpha=1)]), "'alpha' is INT, expected FLOAT"),
    "a slope without end": (
        lambda: model_of([make_node("LeakyRelu", ["x"], ["y"], alpha=float("inf"))]), "alpha is inf"),
    "a selu of other constants": (
        lambda: model_of([make_node("Selu", ["x"], ["y"], alpha=2.0)]), "is read only in y = Selu"),
    "a clip the wrong way round": (
        lambda: model_of([make_node("Clip", ["x", "a", "b"], ["y"])], {"a": np.float32(1), "b": np.float32(0)}),
        "limits are 1.0 and 0.0"),
    "a clip for each feature": (
        lambda: model_of([make_node("Max", ["x", "a"], ["y"])], {"a": np.ones(3, np.float32)}), "expected one number"),
    "a maximum of three": (
        lambda: model_of([make_node("Max", ["x", "a", "a"], ["y"])], {"a": np.float32(1)}), "has 3 inputs"),
    "a product that is no SiLU": (
        lambda: model_of([make_node("Mul", ["x", "x"], ["y"])]), "read only in s = Sigmoid-13"),
    "a product with another layer's output": (
        lambda: model_of([make_node("Tanh", ["x"], ["s"]), make_node("Mul", ["s", "x"], ["y"])]), "no branches"),
    "an ELU with a negative alpha": (
        lambda: model_of([make_node("Elu", ["x"], ["y"], alpha=-1.0)]), "alpha is -1.0, expected at least 0"),
    "too few inputs": (lambda: model_of([make_node("PRelu", ["x"], ["y"])]), ".PRelu. has 1 inputs, expected 2 to 2"),
    "a value from nowhere": (
        lambda: model_of([make_node("Relu", ["z"], ["y"])]), "nothing before it gives its input 'z'"),
    "a value that is given twice": (
        lambda: model_of([make_node("Relu", ["x"], ["x"]), make_node("Relu", ["x"], ["y"])]), "'x' is given already"),
    "nodes in the wrong order": (
        lambda: model_of([make_node("Relu", ["h"], ["y"]), make_node("Tanh", ["x"], ["h"])]), "gives its input 'h'"),
    "an output of another size": (
        lambda: model_of([GEMM], {"w": W}, y_shape=("n", 6)), r"declared as \(None, 6\), but comes as \(None, 5\)"),
    "an output from nowhere": (lambda: model_of([], outputs=("q",)), "nothing gives the output 'q'"),
    "no output": (lambda: model_of([GEMM], {"w": W}, outputs=()), "it has no output"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_row_of_layers_names_the_node(name: str, tmp_path: Path) -> None:
    make, words = REFUSED[name]
    with pytest.raises(ValueError, match=words) as caught:
        read(make(), tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'model.onnx'} cannot be loaded: ")


def test_newer_versions_of_operators_are_not_guessed_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = pytest.importorskip("relu_layers.formats.onnx._graph").NEWEST
    monkeypatch.setitem(newest, "Relu", 13)
    with pytest.raises(ValueError, match=r"\(Relu\) is of version 14, known up to 13"):
        read(model_of([make_node("Relu", ["x"], ["y"])], opset=14), tmp_path)


def test_a_loaded_network_can_be_trained_and_saved(tmp_path: Path) -> None:
    loaded = read(model_of([MATMUL, ADD], {"w": W, "b": B}), tmp_path)
    labels = RNG.integers(0, 5, 4)
    trainer = rl.Trainer(loaded, rl.SoftmaxCrossEntropy(), rl.SGD(0.5))
    first = trainer.step(X, labels)
    assert [trainer.step(X, labels) for _ in range(30)][-1] < first / 2
    loaded.save(tmp_path / "again.onnx")
    np.testing.assert_array_equal(rl.load(tmp_path / "again.onnx")(X), loaded(X))
    assert os.path.getsize(tmp_path / "again.onnx") > 0
