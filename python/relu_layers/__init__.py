"""ReLU networks on NumPy: forward and backward kernels in C++, layers and training in thin Python."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from relu_layers._support.program import leave_on_interrupt

# First: what follows imports NumPy, and takes most of the time that the program takes to start.
leave_on_interrupt()

# The ops with it: what computes must not import anything when it is first called, where memory may be short.
from relu_layers import ops
from relu_layers._support.spelling import unknown_name
from relu_layers.layers import built_in
from relu_layers.runtime import (
    __version__,
    build_info,
    get_cmake_dir,
    get_include,
    get_num_threads,
    get_source_dir,
    instruction_set,
    register_with_threadpoolctl,
    set_num_threads,
    target,
    threads,
    use_target,
)

if TYPE_CHECKING:
    from relu_layers import (
        callbacks,
        data,
        initializers,
        layers,
        losses,
        optimizers,
        plot,
        preprocessing,
        runtime,
        schedules,
        sources,
    )
    from relu_layers.callbacks import Callback, CSVLog, EarlyStopping, ModelCheckpoint, ReduceOnPlateau
    from relu_layers.checkpoint import load
    from relu_layers.explanation import Explanation, explain
    from relu_layers.gradient_check import gradcheck
    from relu_layers.history import History
    from relu_layers.layers.built_in import *
    from relu_layers.losses import Huber, SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
    from relu_layers.model import FrozenModel, Sequential, freeze, mlp
    from relu_layers.optimizers import SGD, AdaDelta, AdaGrad, Adam, AdamW, RMSProp
    from relu_layers.sanity import sanity_check
    from relu_layers.trainer import DivergenceError, Trainer

# Releases before 3.2 have no such function.
if hasattr(sys.modules.get("threadpoolctl"), "register"):
    register_with_threadpoolctl()

# Public modules, imported when they are first asked for.
_MODULES = (
    "callbacks",
    "checkpoint",
    "data",
    "distributed",
    "explanation",
    "formats",
    "gradient_check",
    "history",
    "initializers",
    "interop",
    "layers",
    "losses",
    "model",
    "optimizers",
    "plot",
    "preprocessing",
    "runtime",
    "sanity",
    "schedules",
    "sklearn",
    "sources",
    "trainer",
)
# Classes and functions likewise, with the modules that have them: a program takes the time of what it uses.
_LATER = {
    **dict.fromkeys(built_in.__all__, "relu_layers.layers"),
    **dict.fromkeys(("FrozenModel", "Sequential", "freeze", "mlp"), "relu_layers.model"),
    **dict.fromkeys(
        ("Huber", "SigmoidCrossEntropy", "SoftmaxCrossEntropy", "SquaredError"), "relu_layers.losses"
    ),
    **dict.fromkeys(("AdaDelta", "AdaGrad", "Adam", "AdamW", "RMSProp", "SGD"), "relu_layers.optimizers"),
    **dict.fromkeys(("DivergenceError", "Trainer"), "relu_layers.trainer"),
    **dict.fromkeys(
        ("CSVLog", "Callback", "EarlyStopping", "ModelCheckpoint", "ReduceOnPlateau"), "relu_layers.callbacks"
    ),
    "History": "relu_layers.history",
    "load": "relu_layers.checkpoint",
    "Explanation": "relu_layers.explanation",
    "explain": "relu_layers.explanation",
    "gradcheck": "relu_layers.gradient_check",
    "sanity_check": "relu_layers.sanity",
}

__all__ = [
    "SGD",
    "AdaDelta",
    "AdaGrad",
    "Adam",
    "AdamW",
    "CSVLog",
    "Callback",
    "DivergenceError",
    "EarlyStopping",
    "Explanation",
    "FrozenModel",
    "History",
    "Huber",
    "ModelCheckpoint",
    "RMSProp",
    "ReduceOnPlateau",
    "Sequential",
    "SigmoidCrossEntropy",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "Trainer",
    "__version__",
    "build_info",
    "callbacks",
    "data",
    "explain",
    "freeze",
    "get_cmake_dir",
    "get_include",
    "get_num_threads",
    "get_source_dir",
    "gradcheck",
    "initializers",
    "instruction_set",
    "layers",
    "load",
    "losses",
    "mlp",
    "ops",
    "optimizers",
    "plot",
    "preprocessing",
    "register_with_threadpoolctl",
    "runtime",
    "sanity_check",
    "schedules",
    "set_num_threads",
    "sources",
    "target",
    "threads",
    "use_target",
]
__all__ += built_in.__all__
del built_in


def __getattr__(name: str) -> Any:
    """Import a module, class or function when it is first asked for: the package stays quick to import."""
    if name in _MODULES:
        return import_module(f"relu_layers.{name}")
    if name in _LATER:
        value = globals()[name] = getattr(import_module(_LATER[name]), name)
        return value
    raise AttributeError(unknown_name(name, __all__))


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_LATER})
