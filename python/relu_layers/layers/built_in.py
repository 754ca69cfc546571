"""The layers of the package: what a file can name, and what `relu_layers` exports."""

from __future__ import annotations

from relu_layers.layers.clip import Clip
from relu_layers.layers.dense import Dense
from relu_layers.layers.dropout import Dropout
from relu_layers.layers.elu import ELU
from relu_layers.layers.gelu import GELU
from relu_layers.layers.log_softmax import LogSoftmax
from relu_layers.layers.prelu import PReLU
from relu_layers.layers.relu import ReLU
from relu_layers.layers.selu import SELU
from relu_layers.layers.sigmoid import Sigmoid
from relu_layers.layers.silu import SiLU
from relu_layers.layers.softmax import Softmax
from relu_layers.layers.softplus import Softplus
from relu_layers.layers.tanh import Tanh
from relu_layers.layers.threshold import Threshold

__all__ = [
    "Clip",
    "Dense",
    "Dropout",
    "ELU",
    "GELU",
    "LogSoftmax",
    "PReLU",
    "ReLU",
    "SELU",
    "Sigmoid",
    "SiLU",
    "Softmax",
    "Softplus",
    "Tanh",
    "Threshold",
]
