"""``save``: a model as a prototxt, for use or, with its loss, for training; or as a caffemodel, with its weights."""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np

from relu_layers._support.arguments import nearest
from relu_layers._support.files import write_atomically
from relu_layers.formats.caffe._encode import encoded
from relu_layers.formats.caffe._fillers import filler_of
from relu_layers.formats.caffe._schema import as_float32, refuse_no_float32
from relu_layers.layers import ELU, Dense, Dropout, PReLU, ReLU, Sigmoid, Softmax, Tanh
from relu_layers.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError, training_depth
from relu_layers.model import Sequential

# Protobuf's own limit.
_LARGEST_BINARY = 2**31
_WRITTEN = "Dense, ReLU, PReLU, ELU, Sigmoid, Tanh, Softmax, Dropout"
_FIXED = {Sigmoid: "Sigmoid", Tanh: "TanH", Softmax: "Softmax"}


class _Word(str):
    """The name of an enum's value, which is written without quotes."""


def save(
    model: Sequential, path: str, *, name: str = "relu_layers", batch: int = 1, loss: Any = None
) -> None:
    """Write a prototxt of the model, which describes the layers, or a caffemodel, which holds their weights too.

    Which one the suffix of ``path`` says. Caffe wants both: the caffemodel is read for the layers of the prototxt that
    have the same names. Here a caffemodel is a model by itself.

    Parameters
    ----------
    model : Sequential
    path : str
    name : str, keyword
        Of the net.
    batch : int, keyword
        Rows of the input.
    loss : Loss, keyword
        Adds the input of the labels and the layer of the loss, instead of a softmax or sigmoid that it contains.

    Raises
    ------
    ValueError
        Caffe has no such layer, or cannot express an option of the loss.
    """
    binary = path.lower().endswith(".caffemodel")
    blocks = _blocks(model, batch, loss, weights=binary)
    net = {"name": name, "layer": blocks}
    data = encoded("NetParameter", net) if binary else ("\n".join(_lines(net, "")) + "\n").encode()
    if len(data) >= _LARGEST_BINARY:
        raise ValueError(f"{path}: {len(data)} bytes, a caffemodel holds less than {_LARGEST_BINARY}")

    def write(file: BinaryIO) -> None:
        file.write(data)

    write_atomically(path, write)


def _blocks(model: Sequential, batch: int, loss: Any, *, weights: bool) -> list[dict[str, Any]]:
    """Return the layers of the net, with their blobs if ``weights``."""
    depth = len(model.layers) if loss is None else training_depth(model.layers, loss)
    layers = model.layers[:depth]
    features = next((layer.in_features for layer in layers if getattr(layer, "in_features", None)), None)
    blocks: list[dict[str, Any]] = [_input("data", [batch, features] if features else None)]
    bottom, counts = "data", dict[str, int]()
    for index, layer in enumerate(layers):
        kind, settings = _described(index, layer)
        counts[kind] = counts.get(kind, 0) + 1
        top = f"{'ip' if kind == 'InnerProduct' else kind.lower()}{counts[kind]}"
        blobs = {"blobs": _blobs(layer)} if weights and layer.params else {}
        blocks.append({"name": top, "type": kind, "bottom": bottom, "top": top, **settings, **blobs})
        bottom = top
    if loss is not None:
        kind, settings = _described_loss(loss)
        blocks.append(_input("label", None))
        blocks.append({"name": "loss", "type": kind, "bottom": [bottom, "label"], "top": "loss", **settings})
    return blocks


def _blobs(layer: Any) -> list[dict[str, Any]]:
    """Return the parameters of a layer as blobs; Caffe's weights are (out, in)."""
    arrays = [array.T if name == "weight" else array for name, array in layer.params.items()]
    field = "double_data" if arrays[0].dtype == np.float64 else "data"
    return [{"shape": {"dim": list(array.shape)}, field: np.ascontiguousarray(array)} for array in arrays]


def _input(name: str, dims: list[int] | None) -> dict[str, Any]:
    shape = {} if dims is None else {"input_param": {"shape": {"dim": dims}}}
    return {"name": name, "type": "Input", "top": name, **shape}


def _described(index: int, layer: Any) -> tuple[str, dict[str, Any]]:
    """Return the type and the parameters of a layer."""
    kind = type(layer)
    if kind is Dense:
        fans = layer.in_features, layer.out_features
        settings: dict[str, Any] = {"num_output": layer.out_features}
        if not layer.bias:
            settings["bias_term"] = False
        for part, initializer in (
            ("weight", layer.weight_init),
            ("bias", layer.bias_init if layer.bias else None),
        ):
            filler = filler_of(initializer, *fans) if initializer is not None else None
            if filler is not None:
                settings[f"{part}_filler"] = _typed(filler)
        return "InnerProduct", {"inner_product_param": settings}
    if kind is ReLU:
        slope = layer.negative_slope
        return "ReLU", {"relu_param": {"negative_slope": slope}} if slope else {}
    if kind is PReLU:
        filler = filler_of(layer.slope_init, layer.features, layer.features)
        settings = {"filler": _typed(filler)} if filler is not None else {}
        if layer.features == 1:
            settings["channel_shared"] = True
        return "PReLU", {"prelu_param": settings}
    if kind is ELU:
        return "ELU", {"elu_param": {"alpha": layer.alpha}}
    if kind is Dropout:
        return "Dropout", {"dropout_param": {"dropout_ratio": layer.rate}}
    if kind is Softmax and layer.axis not in (-1, 1):
        raise ValueError(f"layer {index}, {layer!r}: a prototxt of rows has the classes at axis -1")
    if kind not in _FIXED:
        hint = nearest(kind.__name__, _WRITTEN.split(", "))
        raise ValueError(
            f"layer {index}, {layer!r}: Caffe has no such layer, expected one of {_WRITTEN}{hint}"
        )
    return _FIXED[kind], {}


def _typed(filler: dict[str, Any]) -> dict[str, Any]:
    norm = filler.get("variance_norm")
    return {**filler, "variance_norm": _Word(norm)} if norm else filler


def _described_loss(loss: Any) -> tuple[str, dict[str, Any]]:
    if type(loss) is SquaredError:
        if loss.normalization != "batch_size":
            raise ValueError(
                f"{loss!r}: EuclideanLoss divides by the batch, expected normalization='batch_size'"
            )
        weight = 2.0 * loss.scale
        return "EuclideanLoss", {} if weight == 1.0 else {"loss_weight": weight}
    if type(loss) not in (SoftmaxCrossEntropy, SigmoidCrossEntropy):
        raise ValueError(
            f"{loss!r}: Caffe has no such loss, expected SoftmaxCrossEntropy, SigmoidCrossEntropy or SquaredError"
        )
    settings: dict[str, Any] = {"normalization": _Word(loss.normalization.upper())}
    if loss.ignore_label is not None:
        settings["ignore_label"] = loss.ignore_label
    if type(loss) is SigmoidCrossEntropy:
        return "SigmoidCrossEntropyLoss", {"loss_param": settings}
    if loss.class_weight is not None or loss.label_smoothing or loss.axis not in (-1, 1):
        raise ValueError(
            f"{loss!r}: SoftmaxWithLoss has no class weights, no smoothing and its classes at axis -1"
        )
    return "SoftmaxWithLoss", {"loss_param": settings}


def _lines(message: dict[str, Any], indent: str) -> list[str]:
    lines = []
    for name, given in message.items():
        for value in given if isinstance(given, list) else [given]:
            if isinstance(value, dict):
                lines += [f"{indent}{name} {{", *_lines(value, indent + "  "), f"{indent}}}"]
            else:
                if isinstance(value, float):
                    refuse_no_float32(name, value)
                lines.append(f"{indent}{name}: {_scalar(value)}")
    return lines


def _scalar(value: Any) -> str:
    if isinstance(value, _Word):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _shortest(value)
    if isinstance(value, int):
        return str(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _shortest(value: float) -> str:
    """Return the fewest digits that Caffe reads back as the float32 nearest to ``value``."""
    nearest_float32 = as_float32(value)
    return next(
        text
        for text in (f"{nearest_float32:.{digits}g}" for digits in range(1, 18))
        if as_float32(float(text)) == nearest_float32
    )
