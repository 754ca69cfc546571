"""ReLU networks on NumPy: forward and backward kernels in C++, layers and training in thin Python."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from relu_layers import ops, schedules
from relu_layers.callbacks import Callback, EarlyStopping
from relu_layers.checkpoint import load
from relu_layers.history import History
from relu_layers.layers import (
    ELU,
    Dense,
    Dropout,
    LogSoftmax,
    PReLU,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
    Threshold,
)
from relu_layers.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from relu_layers.model import Sequential, mlp
from relu_layers.optimizers import SGD, AdaDelta, AdaGrad, Adam, AdamW, RMSProp
from relu_layers.runtime import (
    __version__,
    build_info,
    get_cmake_dir,
    get_include,
    get_library,
    get_num_threads,
    register_with_threadpoolctl,
    set_num_threads,
    target,
    threads,
    use_target,
)
from relu_layers.trainer import DivergenceError, Trainer

if TYPE_CHECKING:
    from relu_layers import data, initializers, layers, losses, optimizers, preprocessing
    from relu_layers.explanation import Explanation, explain
    from relu_layers.gradient_check import gradcheck
    from relu_layers.sanity import sanity_check

if "threadpoolctl" in sys.modules:
    register_with_threadpoolctl()

_LAZY_MODULES = (
    "data",
    "initializers",
    "layers",
    "losses",
    "optimizers",
    "preprocessing",
    "plot",
    "sklearn",
    "sources",
    "interop",
)
# Functions of the outer ring and where they are.
_LAZY_FUNCTIONS = {
    "Explanation": "relu_layers.explanation",
    "explain": "relu_layers.explanation",
    "gradcheck": "relu_layers.gradient_check",
    "sanity_check": "relu_layers.sanity",
}

__all__ = [
    "ELU",
    "SGD",
    "AdaDelta",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Callback",
    "Dense",
    "DivergenceError",
    "Dropout",
    "EarlyStopping",
    "Explanation",
    "History",
    "LogSoftmax",
    "PReLU",
    "RMSProp",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "SigmoidCrossEntropy",
    "Softmax",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "Tanh",
    "Threshold",
    "Trainer",
    "__version__",
    "build_info",
    "data",
    "explain",
    "get_cmake_dir",
    "get_include",
    "get_library",
    "get_num_threads",
    "gradcheck",
    "initializers",
    "layers",
    "load",
    "losses",
    "mlp",
    "ops",
    "optimizers",
    "preprocessing",
    "register_with_threadpoolctl",
    "sanity_check",
    "schedules",
    "set_num_threads",
    "target",
    "threads",
    "use_target",
]


def __getattr__(name: str) -> Any:
    """Import what is first asked for, so that the core stays quick to import."""
    if name in _LAZY_MODULES:
        return import_module(f"relu_layers.{name}")
    if name in _LAZY_FUNCTIONS:
        return getattr(import_module(_LAZY_FUNCTIONS[name]), name)
    raise AttributeError(f"module 'relu_layers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY_MODULES, *_LAZY_FUNCTIONS})
