"""ONNX's backend interface on this package's ops, which ONNX's own conformance tests drive.

Nodes, attributes and the differences between versions are read by the code that reads layers; then each node runs on
our op where there is one, on NumPy where it only moves, adds or compares. `onnx.backend.base` documents the interface.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from onnx import checker, defs
from onnx.backend import base

from relu_layers import ops
from relu_layers.formats.onnx import _operators as operators
from relu_layers.formats.onnx._affine import of_normalization
from relu_layers.formats.onnx._folding import cast_dtype
from relu_layers.formats.onnx._graph import Graph, Node, graph_of, node_of
from relu_layers.formats.onnx._tensors import FLOATS

Array = np.ndarray[Any, np.dtype[Any]]
Operands = Sequence[Any]


def evaluated(node: Node, operands: Sequence[Array | None]) -> tuple[Array, ...]:
    """Return the outputs of ``node``; arrays that do not fit are a ValueError that names it."""
    try:
        result = _EVALUATIONS[node.op_type](node, operands)
    except (TypeError, ValueError, IndexError) as error:
        message = str(error)
        raise ValueError(message if message.startswith(str(node)) else f"{node}: {message}") from None
    results = result if isinstance(result, tuple) else (result,)
    return results[: len(node.outputs)]


def _gemm(node: Node, operands: Operands) -> Array:
    a, b = operands[:2]
    c = operands[2] if len(operands) > 2 else None
    turned_a, turned_b = (bool(node.attributes[name]) for name in ("transA", "transB"))
    product = ops.matmul(a, b, transpose_a=turned_a, transpose_b=turned_b)
    alpha, beta = (operators.number_of(node, name) for name in ("alpha", "beta"))
    if alpha != 1.0:
        product *= product.dtype.type(alpha)
    if c is not None and beta != 0.0:
        operators.check_broadcast(node, product.shape, c.shape)
        product += c if beta == 1.0 else product.dtype.type(beta) * c
    return product


def _matmul(node: Node, operands: Operands) -> Array:
    """Multiply as np.matmul does: a vector is a row on the left, a column on the right, and the axis goes again."""
    a, b = operands
    left, right = a.ndim == 1, b.ndim == 1
    product = ops.matmul(a[None, :] if left else a, b[:, None] if right else b)
    product = product[..., 0] if right else product
    return product[..., 0] if left and right else product[..., 0, :] if left else product


def _plus(node: Node, operands: Operands) -> Array:
    a, b = operands
    if node.version < 7 and node.attributes.get("axis") is not None and node.attributes.get("broadcast"):
        # The second input's axes stand at this axis of the first.
        axis = node.attributes["axis"] % max(a.ndim, 1)
        b = b.reshape(b.shape + (1,) * (a.ndim - axis - b.ndim))
    if node.version < 7 and a.shape != b.shape and not node.attributes.get("broadcast"):
        raise ValueError(f"shapes {a.shape} and {b.shape} differ, which before opset 7 needs broadcast=1")
    result: Array = _ARITHMETIC[node.op_type](a, b)
    return result


def _divided(a: Array, b: Array) -> Array:
    """Return the quotient, of integers without what is behind the point."""
    with np.errstate(all="ignore"):
        quotient: Array = np.asarray(a / b)
        return np.trunc(quotient).astype(a.dtype) if a.dtype.kind in "iu" else quotient


_ARITHMETIC: dict[str, Callable[..., Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _divided,
}


def _normalization(node: Node, operands: Operands) -> Array:
    x = operands[0]
    scale, shift = of_normalization(node, list(operands[1:5]), max(x.ndim, 2))
    return np.asarray(x * scale + shift).astype(x.dtype)


def _prelu(node: Node, operands: Operands) -> Array:
    x, slope = operands
    if node.version < 7 and slope.size > 1:
        # One slope for each channel, which is axis 1.
        slope = slope.reshape((-1,) + (1,) * (x.ndim - 2))
    every = np.ascontiguousarray(np.broadcast_to(slope, x.shape)).reshape(-1)
    return ops.prelu_forward(x.reshape(1, -1), every).reshape(x.shape)


def _softmax(node: Node, operands: Operands) -> Array:
    x = operands[0]
    function = ops.softmax_forward if node.op_type == "Softmax" else ops.log_softmax_forward
    axis = operators.axis_of(node, x.ndim)
    if not operators.joins_axes(node):
        return function(x, axis)
    rows = x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))
    return function(rows, 1).reshape(x.shape)


def _flatten(node: Node, operands: Operands) -> Array:
    x = operands[0]
    axis = operators.axis_of(node, x.ndim, beyond=True)
    flat: Array = x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))
    return flat


def _reshape(node: Node, operands: Operands) -> Array:
    x = operands[0]
    wanted = operators.target_shape(node, {node.input(1): operands[1]} if len(operands) > 1 else {})
    if not node.attributes.get("allowzero", 0):
        wanted = tuple(x.shape[i] if length == 0 else length for i, length in enumerate(wanted))
    result: Array = x.reshape(wanted)
    return result


def _dropout(node: Node, operands: Operands) -> tuple[Array, Array]:
    x = operands[0]
    operators.dropout_ratio(node, dict(zip(node.inputs, operands, strict=False)))
    return x.copy(), np.ones(x.shape, np.bool_ if node.version >= 10 else x.dtype)


def _cast(node: Node, operands: Operands) -> Array:
    x = operands[0]
    if x.dtype not in FLOATS.values():
        raise ValueError(f"its input is {x.dtype}, expected float32 or float64")
    with np.errstate(all="ignore"):
        result: Array = x.astype(cast_dtype(node))
    return result


def _transpose(node: Node, operands: Operands) -> Array:
    x = operands[0]
    result: Array = x.transpose(operators.permutation(node, x.ndim))
    return result


def _selu(node: Node, operands: Operands) -> Array:
    """Return any SELU: that of a layer, in which the constants are fixed, moved to the file's."""
    x, alpha, gamma = operands[0], node.attributes["alpha"], node.attributes["gamma"]
    scale, lowest = 1.0507009873554805, 1.7580993408473766
    y = ops.selu_forward(x)
    return np.where(x > 0, y * x.dtype.type(gamma / scale), y * x.dtype.type(gamma * alpha / lowest))


def _clip(node: Node, operands: Operands) -> Array:
    x = operands[0]
    if node.version < 11:
        return np.asarray(
            np.minimum(
                np.maximum(x, x.dtype.type(node.attributes["min"])), x.dtype.type(node.attributes["max"])
            )
        )
    low, high = (operands[i] if len(operands) > i else None for i in (1, 2))
    raised = x if low is None else np.maximum(x, low)
    return np.asarray(raised if high is None else np.minimum(raised, high))


def _gelu(node: Node, operands: Operands) -> Array:
    return ops.gelu_forward(operands[0], node.attributes["approximate"].decode())


_EVALUATIONS: dict[str, Callable[[Node, Operands], Any]] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    **dict.fromkeys(_ARITHMETIC, _plus),
    "BatchNormalization": _normalization,
    "Relu": lambda node, operands: ops.relu_forward(operands[0]),
    "LeakyRelu": lambda node, operands: ops.relu_forward(operands[0], operators.number_of(node, "alpha")),
    "PRelu": _prelu,
    "Elu": lambda node, operands: ops.elu_forward(operands[0], operators.number_of(node, "alpha")),
    "Selu": _selu,
    "Softplus": lambda node, operands: ops.softplus_forward(operands[0]),
    "Sigmoid": lambda node, operands: ops.sigmoid_forward(operands[0]),
    "Tanh": lambda node, operands: ops.tanh_forward(operands[0]),
    "Gelu": _gelu,
    "Clip": _clip,
    "Max": lambda node, operands: np.maximum.reduce(np.broadcast_arrays(*operands)),
    "Min": lambda node, operands: np.minimum.reduce(np.broadcast_arrays(*operands)),
    "ThresholdedRelu": lambda node, operands: ops.threshold_forward(
        operands[0], operators.number_of(node, "alpha"), 0.0
    ),
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Dropout": _dropout,
    "Identity": lambda node, operands: operands[0],
    "Cast": _cast,
    "Constant": lambda node, operands: operators.constant_of(node),
    "Transpose": _transpose,
    "Where": lambda node, operands: np.where(*operands),
    "Greater": lambda node, operands: np.greater(*operands),
    "LessOrEqual": lambda node, operands: np.less_equal(*operands),
}


class Prepared(base.BackendRep):
    """A model that is ready to run; branches and several inputs and outputs are fine here."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Array, ...]:
        """Return the outputs, by position and by name, for arrays in the order of the inputs, or by name.

        Raises
        ------
        ValueError
            An input is missing or too many, or an array does not fit.
        """
        names = [value.name for value in self._graph.inputs]
        given = inputs if isinstance(inputs, Mapping) else dict(zip(names, inputs, strict=False))
        if set(given) != set(names) or (given is not inputs and len(inputs) != len(names)):
            raise ValueError(f"got {len(inputs)} inputs, expected {', '.join(names) or 'none'}")
        values = {**self._graph.constants, **{name: np.asarray(given[name]) for name in names}}
        for node in self._graph.nodes:
            results = evaluated(node, [values[name] if name else None for name in node.inputs])
            values |= {name: result for name, result in zip(node.outputs, results, strict=False) if name}
        outputs = [value.name for value in self._graph.outputs]
        named: tuple[Array, ...] = base.namedtupledict("Outputs", outputs)(
            *(values[name] for name in outputs)
        )
        return named


class Backend(base.Backend):
    """Runs models of the supported operators node by node, on tensors of any number of axes."""

    @classmethod
    def is_compatible(cls, model: Any, device: str = "CPU", **kwargs: Any) -> bool:
        """Return whether `prepare` would take the model."""
        try:
            graph_of(model)
        except ValueError:
            return False
        return cls.supports_device(device)

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> Prepared:
        """Return the ModelProto, ready to run.

        Raises
        ------
        ValueError
            A node is not supported (the message names it), or the device is not the CPU.
        """
        cls._check_device(device)
        graph = graph_of(model)
        try:
            checker.check_model(model)
        except checker.ValidationError as error:
            raise ValueError(f"the model is not valid: {error}") from None
        return Prepared(graph)

    @classmethod
    def run_model(cls, model: Any, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Array, ...]:
        """Return the outputs of a ModelProto for its inputs."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: Any,
        inputs: Sequence[Array | None],
        device: str = "CPU",
        outputs_info: Any = None,
        **kwargs: Any,
    ) -> tuple[Array, ...]:
        """Return the outputs of a NodeProto; ``opset_version=`` chooses the version, the newest by default."""
        cls._check_device(device)
        found = node_of(node, kwargs.get("opset_version", defs.onnx_opset_version()))
        given = [None if each is None else np.asarray(each) for each in inputs]
        if len(given) != len(found.inputs):
            raise ValueError(f"{found}: got {len(given)} inputs, expected {len(found.inputs)}")
        named: tuple[Array, ...] = base.namedtupledict("Outputs", list(found.outputs))(
            *evaluated(found, given)
        )
        return named

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Return whether ``device`` is the CPU."""
        return device.split(":")[0] == "CPU"

    @classmethod
    def _check_device(cls, device: str) -> None:
        if not cls.supports_device(device):
            raise ValueError(f"device is {device!r}, expected 'CPU'")
