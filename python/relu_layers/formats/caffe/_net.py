"""The layers of a net as Caffe would run them: one form for both generations of the format, one phase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from relu_layers._files.document import refuse_too_many_layers
from relu_layers._support.arguments import nearest
from relu_layers.formats.caffe._schema import Message

_TYPES_OF_V1 = {
    "INNER_PRODUCT": "InnerProduct", "RELU": "ReLU", "SIGMOID": "Sigmoid", "TANH": "TanH", "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss", "EUCLIDEAN_LOSS": "EuclideanLoss", "DROPOUT": "Dropout", "SPLIT": "Split",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss", "ACCURACY": "Accuracy", "FLATTEN": "Flatten",
    "DATA": "Data", "MEMORY_DATA": "MemoryData", "HDF5_DATA": "HDF5Data", "IMAGE_DATA": "ImageData",
    "WINDOW_DATA": "WindowData", "DUMMY_DATA": "DummyData", "SILENCE": "Silence", "HDF5_OUTPUT": "HDF5Output",
}  # fmt: skip


class CaffeLayer(NamedTuple):
    """One layer; ``message`` holds its parameters, ``multipliers`` the (lr_mult, decay_mult) of its blobs."""

    name: str
    type: str
    bottoms: list[str]
    tops: list[str]
    message: Message
    multipliers: list[tuple[float, float]]

    def __str__(self) -> str:
        return f"layer {self.name!r} ({self.type})"


class State(NamedTuple):
    """The state that the rules of layers are compared with."""

    phase: str
    level: int = 0
    stages: Sequence[str] = ()


def layers_of(net: Message, state: State | None) -> list[CaffeLayer]:
    """Return the layers that a net has in ``state``; None takes all of them.

    Raises
    ------
    ValueError
        The layers are too many or of the first format, or one has rules both to include and to exclude it.
    """
    if net["layers"] and net["layer"]:
        raise ValueError("the net has both 'layer' and 'layers', expected one of them")
    refuse_too_many_layers(len(net["layer"]) + len(net["layers"]))
    if state is not None and "state" in net:
        given = net.part("state")
        state = State(given["phase"] or state.phase, given["level"], (*state.stages, *given["stage"]))
    layers = []
    for place, message in enumerate([*net["layer"], *net["layers"]]):
        layer = _layer(message, place)
        if state is None or _is_included(layer, state):
            layers.append(layer)
    return layers


def _layer(message: Message, place: int) -> CaffeLayer:
    name = message["name"] or f"#{place}"
    old = message.kind == "V1LayerParameter"
    if old and "layer" in message:
        raise ValueError(
            f"layer #{place} is in Caffe's first format; Caffe's tools upgrade_net_proto_text and "
            "upgrade_net_proto_binary write the present one"
        )
    if not old:
        rates = [(spec["lr_mult"], spec["decay_mult"]) for spec in message["param"]]
        kind = message["type"] or ""
    else:
        kind = _TYPES_OF_V1.get(message["type"], message["type"])
        count = max(len(message["blobs_lr"]), len(message["weight_decay"]))
        both = (_floats(message, field) for field in ("blobs_lr", "weight_decay"))
        rates = list(zip(*(each + [1.0] * (count - len(each)) for each in both), strict=True))
    return CaffeLayer(name, kind, message["bottom"], message["top"], message, rates)


def _floats(message: Message, field: str) -> list[float]:
    from relu_layers.formats.caffe._blobs import numbers

    return [float(value) for value in numbers(message[field], "<f4")]


def loss_weights(layer: CaffeLayer) -> list[float]:
    """Return the weights of a layer's tops in the objective, [] where they are not given."""
    return _floats(layer.message, "loss_weight")


def _is_included(layer: CaffeLayer, state: State) -> bool:
    include, exclude = layer.message["include"], layer.message["exclude"]
    if include and exclude:
        raise ValueError(f"{layer}: it has rules both to include and to exclude it, expected one kind")
    if include:
        return any(_meets(rule, state) for rule in include)
    return not any(_meets(rule, state) for rule in exclude)


def _meets(rule: Message, state: State) -> bool:
    level: Any = state.level
    return (
        rule["phase"] in (None, state.phase)
        and (rule["min_level"] is None or rule["min_level"] <= level)
        and (rule["max_level"] is None or level <= rule["max_level"])
        and all(stage in state.stages for stage in rule["stage"])
        and not any(stage in state.stages for stage in rule["not_stage"])
    )


def leading_to(layers: Sequence[CaffeLayer], output: str) -> list[CaffeLayer]:
    """Return the layers that make a blob, also those that compute in its place; else a ValueError."""
    wanted, kept = {output}, []
    for layer in reversed(layers):
        if not wanted.isdisjoint(layer.tops):
            kept.append(layer)
            wanted.update(layer.bottoms)
    if not kept:
        tops = list(dict.fromkeys(top for layer in layers for top in layer.tops))
        shown = ", ".join(tops[:20]) or "none"
        raise ValueError(f"output is {output!r}, expected the name of a blob: {shown}{nearest(output, tops)}")
    return kept[::-1]
