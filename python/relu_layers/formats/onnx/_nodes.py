"""The nodes that stand for a model's layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import helper

from relu_layers import layers
from relu_layers._support.arguments import nearest
from relu_layers._support.configured import Array
from relu_layers.formats.onnx._composed import composed
from relu_layers.model import Sequential


@dataclass
class LayerNodes:
    """Nodes in order, the arrays that they take, and the sizes of a row before and after, None where any will do."""

    dtype: np.dtype[Any]
    in_features: int | None
    out_features: int | None
    nodes: list[Any] = field(default_factory=list)
    initializers: dict[str, Array] = field(default_factory=dict)


def nodes_of(model: Sequential, source: str, target: str, *, dropout: bool) -> LayerNodes:
    """Return the nodes of a model that turn ``source`` into ``target``.

    Raises
    ------
    ValueError
        A layer is not of this package, does not take rows, or one of the two names is taken.
    """
    features = _in_features(model)
    shape: tuple[int, ...] = (2, features or 1)
    for index, layer in enumerate(model.layers):
        if type(layer) not in _WRITERS:
            known = [kind.__name__ for kind in _WRITERS]
            name = type(layer).__name__
            raise ValueError(
                f"layer {index}, {layer!r}, has no ONNX operator{nearest(name, known)}; written are {', '.join(known)}"
            )
        shape = layer.output_shape(shape)
    written = LayerNodes(model.dtype, features, shape[-1] if features is not None else None)
    steps = [
        (i, layer) for i, layer in enumerate(model.layers) if dropout or not isinstance(layer, layers.Dropout)
    ]
    current = source
    for index, layer in steps:
        result = target if index == steps[-1][0] else f"{index}.y"
        _WRITERS[type(layer)](_Place(written, index, layer, current, result))
        current = result
    if not steps:
        written.nodes.append(helper.make_node("Identity", [source], [target], name="identity"))
    taken = {*written.initializers, *(name for node in written.nodes[:-1] for name in node.output)}
    for name in (source, target):
        if name in taken:
            raise ValueError(f"the name {name!r} is taken by a value inside the network, expected another")
    return written


def _in_features(model: Sequential) -> int | None:
    """Return how many features the first layer takes that does not take any number."""
    return next((layer.in_features for layer in model.layers if getattr(layer, "in_features", None)), None)


@dataclass
class _Place:
    """Where a layer's nodes go."""

    written: LayerNodes
    index: int
    layer: Any
    source: str
    target: str

    def parameter(self, name: str) -> str:
        """Put one of the layer's parameters among the initializers and return its name there."""
        return self.constant(name, self.layer.params[name])

    def constant(self, name: str, value: Any) -> str:
        """Put an array or number among the initializers and return its name there."""
        key = f"{self.index}.{name}"
        self.written.initializers[key] = np.asarray(value)
        return key

    def float32(self, name: str) -> float:
        """Return one of the layer's numbers, which must not be too large for the float32 of an attribute."""
        value: float = getattr(self.layer, name)
        if abs(value) > float(np.finfo(np.float32).max):
            raise ValueError(
                f"layer {self.index}, {self.layer!r}: {name} is too large for the float32 of an ONNX file"
            )
        return value

    def node(
        self,
        op_type: str,
        *operands: str,
        target: str = "",
        inputs: Any = None,
        name: str = "",
        **attributes: Any,
    ) -> None:
        """Append a node that takes what the layer takes, then ``operands``; or ``inputs`` instead of both.

        The name is ``op_type``, where the layer has another node of that type another one.
        """
        self.written.nodes.append(
            helper.make_node(
                op_type,
                [self.source, *operands] if inputs is None else inputs,
                [target or self.target],
                name=f"{self.index}.{name or op_type}",
                doc_string=repr(self.layer),
                **attributes,
            )
        )


def _dense(place: _Place) -> None:
    names = ("weight", "bias") if place.layer.bias else ("weight",)
    place.node("Gemm", *(place.parameter(name) for name in names))


def _relu(place: _Place) -> None:
    slope = place.layer.negative_slope
    if slope == 0.0:
        place.node("Relu")
    elif place.written.dtype == np.float64:
        _select(place, place.source, place.constant("slope", np.float64(slope)))
    else:
        place.node("LeakyRelu", alpha=place.float32("negative_slope"))


def _prelu(place: _Place) -> None:
    slope = place.parameter("slope")
    if place.written.dtype == np.float64:
        _select(place, place.source, slope)
    else:
        place.node("PRelu", slope)


def _elu(place: _Place) -> None:
    if place.written.dtype != np.float64:
        place.node("Elu", alpha=place.float32("alpha"))
        return
    power, less = f"{place.index}.power", f"{place.index}.less"
    place.node("Exp", target=power)
    place.node("Sub", inputs=[power, place.constant("one", np.float64(1))], target=less)
    _select(place, less, place.constant("alpha", np.float64(place.layer.alpha)))


def _select(place: _Place, below: str, factor: str) -> None:
    """Write ``x > 0 ? x : below * factor``: in float64, where runtimes lack the operators, see `_selected`."""
    product, above = f"{place.index}.below", f"{place.index}.above"
    place.node("Mul", inputs=[below, factor], target=product)
    place.node("Greater", place.constant("zero", np.float64(0)), target=above)
    place.node("Where", inputs=[above, place.source, product])


def _threshold(place: _Place) -> None:
    # Not ThresholdedRelu, whose value is always 0; and not Greater, which would replace NaN.
    kind = place.written.dtype
    read = place.float32 if kind == np.float32 else lambda name: getattr(place.layer, name)
    threshold, value = (place.constant(name, kind.type(read(name))) for name in ("threshold", "value"))
    below = f"{place.index}.below"
    place.node("LessOrEqual", threshold, target=below)
    place.node("Where", inputs=[below, value, place.source])


def _clip(place: _Place) -> None:
    kind = place.written.dtype
    read = place.float32 if kind == np.float32 else lambda name: getattr(place.layer, name)
    limits = [
        place.constant(name, kind.type(read(name))) if np.isfinite(getattr(place.layer, name)) else ""
        for name in ("minimum", "maximum")
    ]
    source, before = place.source, place.written.nodes[-1:]
    if kind == np.float64 and before and before[0].op_type == "Relu":
        # ONNX Runtime merges a Relu and a Clip and then refuses their float64. What a Relu gives is its own |x|.
        source = f"{place.index}.same"
        place.node("Abs", target=source)
    place.node("Clip", inputs=[source, *limits])


def _gelu(place: _Place) -> None:
    """Write the formula: Gelu itself came with opset 20, and runtimes merge these nodes."""
    index, kind = place.index, place.written.dtype.type
    tanh_form = place.layer.approximate == "tanh"
    steps: list[tuple[Any, ...]]
    if tanh_form:
        steps = [("Mul", "x", "x"), ("Mul", "square", "x"), ("Mul", "cube", 0.044715), ("Add", "x", "small")]
        steps += [("Mul", "sum", np.sqrt(2 / np.pi)), ("Tanh", "argument")]
    else:
        steps = [("Div", "x", np.sqrt(2)), ("Erf", "argument")]
    steps += [("Add", "function", 1.0), ("Mul", "x", "raised"), ("Mul", "twice", 0.5)]
    names = ["square", "cube", "small", "sum", "argument", "function"][0 if tanh_form else 4 :]
    names += ["raised", "twice", "y"]
    values = {**{name: f"{index}.{name}" for name in names}, "x": place.source, "y": place.target}
    for (op_type, *operands), result in zip(steps, names, strict=True):
        inputs = [
            values[each] if isinstance(each, str) else place.constant(f"{result}.constant", kind(each))
            for each in operands
        ]
        place.node(op_type, inputs=inputs, target=values[result], name=result)


def _plain(place: _Place) -> None:
    """Write an activation without settings as the nodes of its form."""
    names = {"x": place.source, "y": place.target}
    for step in composed()[type(place.layer).__name__]:
        result = names.setdefault(step.result, f"{place.index}.{step.result}")
        place.node(step.op_type, inputs=[names[name] for name in step.operands], target=result)


def _dropout(place: _Place) -> None:
    place.node("Dropout", place.constant("ratio", np.float32(place.layer.rate)))


_WRITERS: dict[type, Callable[[_Place], None]] = {
    layers.Dense: _dense,
    layers.ReLU: _relu,
    layers.PReLU: _prelu,
    layers.ELU: _elu,
    layers.Threshold: _threshold,
    layers.Clip: _clip,
    layers.GELU: _gelu,
    layers.Softmax: lambda place: place.node("Softmax", axis=place.layer.axis),
    layers.LogSoftmax: lambda place: place.node("LogSoftmax", axis=place.layer.axis),
    layers.Dropout: _dropout,
    **{layers.BUILT_IN[kind]: _plain for kind in composed()},
}
