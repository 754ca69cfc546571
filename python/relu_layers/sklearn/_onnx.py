"""What the converter skl2onnx asks a fitted estimator for: the types of its outputs, and its nodes.

skl2onnx finds the two functions by the methods `onnx_shape_calculator` and `onnx_converter` of an estimator, so nothing
is registered, and it is imported by nobody but the program that converts. The nodes are those that it writes for
scikit-learn's networks: scores, and labels made of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from skl2onnx.proto import onnx_proto

from relu_layers.layers import Dense, Dropout, ReLU, Sigmoid, Tanh

Array = np.ndarray[Any, np.dtype[Any]]
_TENSOR = onnx_proto.TensorProto
_PLAIN = {Sigmoid: "Sigmoid", Tanh: "Tanh"}


def shapes(operator: Any) -> None:
    """Set the types of the outputs: one row for each of the input's."""
    estimator = operator.raw_operator
    rows = operator.inputs[0].get_first_dimension()
    scores = DoubleTensorType if isinstance(operator.inputs[0].type, DoubleTensorType) else FloatTensorType
    if not hasattr(estimator, "classes_"):
        operator.outputs[0].type = scores([rows, estimator.n_outputs_])
        return
    label, probabilities = operator.outputs
    probabilities.type = scores([rows, len(estimator.classes_)])
    if _several_labels(estimator):
        label.type = Int64TensorType([rows, len(estimator.classes_)])
    else:
        kind = StringTensorType if _classes(estimator)[0] == _TENSOR.STRING else Int64TensorType
        label.type = kind([rows])


def convert(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of a fitted estimator."""
    graph = _Graph(scope, operator, container)
    estimator = operator.raw_operator
    scores = _network(graph, estimator, operator.inputs[0].full_name)
    names = [output.full_name for output in operator.outputs]
    if not hasattr(estimator, "classes_"):
        graph.node("Identity", [scores], names[0])
        return
    if estimator.n_outputs_ == 1:
        rest = graph.node("Sub", [graph.number(1.0), scores])
        scores = graph.node("Concat", [rest, scores], axis=1)
    graph.node("Identity", [scores], names[1])
    if _several_labels(estimator):
        above = graph.node("Greater", [scores, graph.number(0.5)])
        graph.node("Cast", [above], names[0], to=_TENSOR.INT64)
        return
    kind, classes = _classes(estimator)
    place = graph.node("ArgMax", [scores], axis=1)
    listed = graph.constant(classes, kind)
    label = graph.node("ArrayFeatureExtractor", [listed, place], domain="ai.onnx.ml")
    if kind == _TENSOR.INT64:
        label = graph.node("Cast", [label], to=kind)
    graph.node("Reshape", [label, graph.constant(np.array([-1]), _TENSOR.INT64)], names[0])


class _Graph:
    """The nodes so far, in the type of the input."""

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        self._scope, self._container = scope, container
        self.double = isinstance(operator.inputs[0].type, DoubleTensorType)
        self.kind = _TENSOR.DOUBLE if self.double else _TENSOR.FLOAT

    def node(
        self, op_type: str, inputs: list[str], output: str = "", domain: str = "", **attributes: Any
    ) -> str:
        """Append a node and return the name of its output."""
        result = output or self._scope.get_unique_variable_name(op_type.lower())
        name = self._scope.get_unique_operator_name(op_type)
        self._container.add_node(op_type, inputs, [result], op_domain=domain, name=name, **attributes)
        return result

    def constant(self, values: Array, kind: int | None = None) -> str:
        """Append an initializer, of the input's type unless another is given, and return its name."""
        name: str = self._scope.get_unique_variable_name("constant")
        flat = [each.encode() for each in values.ravel()] if kind == _TENSOR.STRING else values.ravel()
        self._container.add_initializer(name, self.kind if kind is None else kind, values.shape, flat)
        return name

    def number(self, value: float) -> str:
        """Append a single number."""
        return self.constant(np.array([value]))


def _network(graph: _Graph, estimator: Any, source: str) -> str:
    """Add the layers and what the estimator puts behind the last, and return the name of the scores."""
    current = graph.node("Cast", [source], to=graph.kind)
    for layer in estimator.model_.layers:
        if isinstance(layer, Dense):
            weight, bias = (graph.constant(layer.params[name]) for name in ("weight", "bias"))
            current = graph.node("Gemm", [current, weight, bias])
        elif isinstance(layer, ReLU):
            current = _rectified(graph, current, layer.negative_slope)
        elif not isinstance(layer, Dropout):
            current = graph.node(_PLAIN[type(layer)], [current])
    match estimator.out_activation_:
        case "softmax":
            return graph.node("Softmax", [current], axis=1)
        case "logistic":
            return graph.node("Sigmoid", [current])
        case "exp":
            return graph.node("Exp", [current])
    return current


def _rectified(graph: _Graph, current: str, slope: float) -> str:
    if slope == 0.0:
        return graph.node("Relu", [current])
    if not graph.double:
        return graph.node("LeakyRelu", [current], alpha=slope)
    # ONNX Runtime has LeakyRelu for float32 alone.
    below = graph.node("Mul", [current, graph.constant(np.array(slope))])
    above = graph.node("Greater", [current, graph.constant(np.array(0.0))])
    return graph.node("Where", [above, current, below])


def _several_labels(estimator: Any) -> bool:
    return bool(estimator.n_outputs_ > 1 and estimator.out_activation_ == "logistic")


def _classes(estimator: Any) -> tuple[int, Array]:
    """Return the element type of the labels and the classes: texts, or whole numbers, which scikit-learn asks for."""
    classes = np.asarray(estimator.classes_)
    if len(classes) < 2:
        raise ValueError(
            f"{type(estimator).__name__} was fitted on the class {classes[0]!r} alone, expected two or more"
        )
    if classes.dtype.kind not in "biuf":
        return _TENSOR.STRING, classes.astype(str)
    return _TENSOR.INT64, classes.astype(np.int64)
