"""Layers: one idea per file; `BUILT_IN` is the list that files are rebuilt from."""

from __future__ import annotations

from relu_layers.layers.base import Layer, LayerLike, Parameter, ParameterLayer
from relu_layers.layers.dense import Dense
from relu_layers.layers.dropout import Dropout
from relu_layers.layers.elu import ELU
from relu_layers.layers.log_softmax import LogSoftmax
from relu_layers.layers.prelu import PReLU
from relu_layers.layers.relu import ReLU
from relu_layers.layers.sigmoid import Sigmoid
from relu_layers.layers.softmax import Softmax
from relu_layers.layers.tanh import Tanh
from relu_layers.layers.threshold import Threshold

BUILT_IN: dict[str, type[Layer]] = {
    layer.__name__: layer
    for layer in (Dense, ReLU, PReLU, ELU, Sigmoid, Tanh, Threshold, Softmax, LogSoftmax, Dropout)
}

__all__ = [
    "BUILT_IN",
    "ELU",
    "Dense",
    "Dropout",
    "Layer",
    "LayerLike",
    "LogSoftmax",
    "PReLU",
    "Parameter",
    "ParameterLayer",
    "ReLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Threshold",
]
