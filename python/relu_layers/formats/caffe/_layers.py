"""One layer of Caffe as one layer of this package, and its blobs as parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from relu_layers._support.configured import Array
from relu_layers.formats.caffe._blobs import blob_array
from relu_layers.formats.caffe._fillers import initializer_of
from relu_layers.formats.caffe._net import CaffeLayer
from relu_layers.formats.caffe._schema import Message
from relu_layers.layers import ELU, Dense, Dropout, Layer, PReLU, ReLU, Sigmoid, Softmax, Tanh

_UNKNOWN_SIZE = (
    "the size of its input is unknown: give the input a shape in the file, or load it with in_features= or weights= "
    "(relu-layers convert: --input-features or --weights)"
)


class Flow:
    """The known facts about the rows that reach a layer.

    Attributes
    ----------
    shape : tuple of int or None
        Of one row; None where no layer or input has said it yet.
    rows_keep_axes : bool
        Whether an earlier layer worked along the last of several axes, so that rows cannot be flattened any more.
    """

    def __init__(self, shape: tuple[int, ...] | None, most_parameters: int) -> None:
        self.shape = shape
        self.rows_keep_axes = False
        self.left = self.most_parameters = most_parameters

    def take(self, count: int) -> None:
        """Count parameters before memory is allocated for them."""
        self.left -= count
        if self.left < 0:
            raise ValueError(
                f"the net needs more than {self.most_parameters} parameters; pass most_parameters= to allow more"
            )

    def flatten(self, axis: int) -> None:
        """Flatten rows from ``axis`` (1 is the first of a row) on, as only the first axis can be."""
        if self.shape is None or len(self.shape) == 1:
            if axis not in (1, -1):
                raise ValueError(f"axis {axis}, expected 1 for rows with one axis")
            return
        if axis != 1 or self.rows_keep_axes:
            raise ValueError(
                f"rows of shape {self.shape} cannot be flattened from axis {axis} here, expected 1"
            )
        self.shape = (math.prod(self.shape),)


Built = tuple[Layer, dict[str, Array]]


def _inner_product(layer: CaffeLayer, blobs: list[Message] | None, flow: Flow) -> Built:
    settings = layer.message.part("inner_product_param")
    out, transpose, axis = settings["num_output"], settings["transpose"], settings["axis"]
    if out < 1:
        raise ValueError(f"num_output is {out}, expected at least 1")
    along_last = flow.shape is not None and len(flow.shape) > 1 and axis in (-1, len(flow.shape))
    if along_last:
        flow.rows_keep_axes = True
    else:
        flow.flatten(axis)
    known = None if flow.shape is None else flow.shape[-1]
    params = {}
    if blobs is not None:
        count = 2 if settings["bias_term"] else 1
        if len(blobs) != count:
            raise ValueError(
                f"it has {len(blobs)} blobs, expected {count} (bias_term is {settings['bias_term']})"
            )
        weight = blob_array(blobs[0], (known, out) if transpose else (out, known))
        params["weight"] = weight if transpose else weight.T
        known = params["weight"].shape[0]
        if settings["bias_term"]:
            params["bias"] = blob_array(blobs[1], (out,))
    if known is None:
        raise ValueError(_UNKNOWN_SIZE)
    if known < 1:
        raise ValueError(f"its input has size {known}, expected at least 1")
    flow.take(known * out + out)
    flow.shape = (*(flow.shape or ())[:-1], out)
    # The fillers are checked also where blobs are there, but numbers that those replace need not be drawn.
    weight_init = initializer_of(settings.part("weight_filler"), transposed=transpose)
    bias_init = initializer_of(settings.part("bias_filler"), vector=True)
    bias = settings["bias_term"]
    if blobs is None:
        return Dense(known, out, bias=bias, weight_init=weight_init, bias_init=bias_init), params
    dense = Dense(known, out, bias=bias, weight_init="zeros")
    dense.weight_init, dense.bias_init = weight_init, bias_init
    return dense, params


def _prelu(layer: CaffeLayer, blobs: list[Message] | None, flow: Flow) -> Built:
    settings = layer.message.part("prelu_param")
    shared = settings["channel_shared"]
    if not shared and flow.shape is not None and len(flow.shape) > 1:
        raise ValueError(f"one slope per channel on rows of shape {flow.shape}, expected rows with one axis")
    features = 1 if shared else (None if flow.shape is None else flow.shape[0])
    params = {}
    if blobs is not None:
        if len(blobs) != 1:
            raise ValueError(f"it has {len(blobs)} blobs, expected 1")
        slope = blob_array(blobs[0], () if shared and not blobs[0].part("shape")["dim"] else (features,))
        params["slope"] = slope.reshape(-1)
        features = params["slope"].size
    if features is None or features < 1:
        raise ValueError(_UNKNOWN_SIZE)
    flow.take(features)
    if not shared:
        flow.shape = (features,)
    filler = initializer_of(settings.part("filler"), vector=True) if "filler" in settings else 0.25
    return PReLU(features, slope_init=filler), params


def _softmax(layer: CaffeLayer, blobs: list[Message] | None, flow: Flow) -> Built:
    axis = layer.message.part("softmax_param")["axis"]
    last = 1 if flow.shape is None else len(flow.shape)
    if axis not in (-1, last):
        raise ValueError(f"axis is {axis}, expected the last one, {last}")
    return Softmax(), {}


def _dropout(layer: CaffeLayer, blobs: list[Message] | None, flow: Flow) -> Built:
    settings = layer.message.part("dropout_param")
    if not settings["scale_train"]:
        raise ValueError("scale_train is false, expected true: what is kept is scaled in training")
    return Dropout(settings["dropout_ratio"]), {}


def _relu(layer: CaffeLayer, blobs: list[Message] | None, flow: Flow) -> Built:
    return ReLU(layer.message.part("relu_param")["negative_slope"]), {}


def _elu(layer: CaffeLayer, blobs: list[Message] | None, flow: Flow) -> Built:
    alpha = layer.message.part("elu_param")["alpha"]
    if alpha < 0.0:
        # Backward reads the sign of x off y, in Caffe too, where it is then wrong without a word.
        raise ValueError(f"alpha is {alpha}, expected at least 0")
    return ELU(alpha), {}


def _sigmoid(layer: CaffeLayer, blobs: list[Message] | None, flow: Flow) -> Built:
    return Sigmoid(), {}


def _tanh(layer: CaffeLayer, blobs: list[Message] | None, flow: Flow) -> Built:
    return Tanh(), {}


BUILDERS: dict[str, Callable[[CaffeLayer, Any, Flow], Built]] = {
    "InnerProduct": _inner_product,
    "ReLU": _relu,
    "PReLU": _prelu,
    "ELU": _elu,
    "Sigmoid": _sigmoid,
    "TanH": _tanh,
    "Softmax": _softmax,
    "Dropout": _dropout,
}
