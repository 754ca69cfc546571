"""PyTorch: models in both directions, and the ops as differentiable functions on CPU tensors.

`from_torch` and `to_torch` convert an ``nn.Sequential`` and a `Sequential`; `loss_from_torch` and
`optimizer_from_torch` convert what trains it; `Module` puts a whole model into a PyTorch program. The functions are
the ops of `relu_layers.ops` with gradients: they read tensors where they are, without copying them, and their
results own the memory that the op wrote.

What holds for all functions: tensors are float32 or float64, in the memory of the CPU, of any strides, all of one
dtype; TypeError and ValueError name the argument, what came and what to pass. Backward runs once through each: a
second derivative is PyTorch's error for a function that is differentiable once. ``torch.compile`` and ``vmap`` are not
supported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from relu_layers._support.extras import how_to_install

try:
    import torch as _torch  # noqa: F401 - first, so that its absence raises this package's error
except ImportError as error:
    raise ImportError(f"relu_layers.interop.torch needs PyTorch: {how_to_install('torch')}") from error

from relu_layers.interop.torch._activations import (
    PLAIN,
    clip,
    dropout,
    elu,
    gelu,
    log_softmax,
    prelu,
    relu,
    softmax,
    threshold,
)
from relu_layers.interop.torch._losses import (
    huber,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    squared_error,
)
from relu_layers.interop.torch._module import Module
from relu_layers.interop.torch._networks import from_torch, to_torch
from relu_layers.interop.torch._products import dense, linear, matmul
from relu_layers.interop.torch._training import loss_from_torch, optimizer_from_torch

__all__ = [
    "Module",
    "clip",
    "dense",
    "dropout",
    "elu",
    "from_torch",
    "gelu",
    "huber",
    "linear",
    "log_softmax",
    "loss_from_torch",
    "matmul",
    "optimizer_from_torch",
    "prelu",
    "relu",
    "sigmoid_cross_entropy",
    "softmax",
    "softmax_cross_entropy",
    "squared_error",
    "threshold",
    "to_torch",
]
__all__ += PLAIN

if TYPE_CHECKING:  # the activations without settings, such as tanh

    def __getattr__(name: str) -> Callable[[Any], Any]: ...

else:
    globals().update(PLAIN)
