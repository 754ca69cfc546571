"""The layers of the package: what a file can name, and what `relu_layers` exports.

A layer's file is imported when the layer is first asked for: most networks have two or three kinds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

# Layers whose file is not named as they are, in small letters.
_FILES = {"LogSoftmax": "log_softmax"}

if not TYPE_CHECKING:  # for type checkers there are no other names

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        file = _FILES.get(name, name.lower())
        layer = globals()[name] = getattr(import_module(f"relu_layers.layers.{file}"), name)
        return layer


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
