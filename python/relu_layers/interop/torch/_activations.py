"""Activations, softmax and dropout with autograd; `relu_layers.ops` documents the functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch.autograd import Function

from relu_layers import ops
from relu_layers._files.formulas import formulas, written_as
from relu_layers.interop.torch._tensors import Tensor, new, once, read, view


def _function(
    name: str, op: str, *, keeps: Literal["x", "y", "nothing"], forward_only: tuple[str, ...] = ()
) -> Any:
    """Return the autograd function of ``{op}_forward(x, **settings)`` and ``{op}_backward(kept, dy, **settings)``.

    Parameters
    ----------
    name, op : str
        Of the class, and of the op without its direction.
    keeps : {"x", "y", "nothing"}, keyword
        The tensor that backward works from; with nothing it is called with dy alone.
    forward_only : tuple of str, keyword
        Settings that backward does not take.
    """

    class Elementwise(Function):  # type: ignore[misc] # PyTorch is not seen by the type checker
        @staticmethod
        def forward(ctx: Any, x: Tensor, settings: dict[str, Any]) -> Tensor:
            y = new(getattr(ops, f"{op}_forward")(read(op, "x", x), **settings))
            ctx.save_for_backward(*{"x": [x], "y": [y], "nothing": []}[keeps])
            ctx.settings = {key: value for key, value in settings.items() if key not in forward_only}
            return y

        @staticmethod
        @once
        def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
            kept = map(view, ctx.saved_tensors)
            return new(getattr(ops, f"{op}_backward")(*kept, view(dy), **ctx.settings)), None

    Elementwise.__name__ = Elementwise.__qualname__ = name
    return Elementwise


ReLU = _function("ReLU", "relu", keeps="x")


def relu(x: Tensor, negative_slope: float = 0.0) -> Tensor:
    """Rectify: ``y = x`` where x > 0, else ``negative_slope * x``.

    At 0 the gradient is that of the negative side, as PyTorch's own.
    """
    return ReLU.apply(x, {"negative_slope": negative_slope})


Threshold = _function("Threshold", "threshold", keeps="x", forward_only=("value",))


def threshold(x: Tensor, threshold: float, value: float) -> Tensor:
    """Replace values that do not exceed the threshold: ``y = x`` where x > threshold, else ``value``."""
    return Threshold.apply(x, {"threshold": threshold, "value": value})


class PReLU(Function):  # type: ignore[misc]
    """Keeps x and the slopes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        y = new(ops.prelu_forward(read("prelu", "x", x), read("prelu", "slope", slope, x)))
        ctx.save_for_backward(x, slope)
        return y

    @staticmethod
    @once
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor]:
        x, slope = ctx.saved_tensors
        dx, dslope = ops.prelu_backward(view(x), view(slope), view(dy), need_dx=ctx.needs_input_grad[0])
        return None if dx is None else new(dx), new(dslope)


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """Rectify with learned slopes: ``y = x`` where x > 0, else ``slope * x``.

    Parameters
    ----------
    x
        ``(..., features)``. PyTorch's own has its channels in axis 1, which is the same for two axes.
    slope
        ``(features,)``, or ``(1,)`` for one slope shared by all features.
    """
    return PReLU.apply(x, slope)


ELU = _function("ELU", "elu", keeps="y")


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """Exponential linear unit: ``y = x`` where x > 0, else ``alpha * (exp(x) - 1)``, with alpha >= 0."""
    return ELU.apply(x, {"alpha": alpha})


Clip = _function("Clip", "clip", keeps="y")


def clip(x: Tensor, minimum: float = 0.0, maximum: float = 6.0) -> Tensor:
    """Clipped ReLU: x between `minimum` and `maximum`, else the nearer of them, where the gradient is 0."""
    return Clip.apply(x, {"minimum": minimum, "maximum": maximum})


GELU = _function("GELU", "gelu", keeps="x")


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """Gaussian error linear unit: x times the normal distribution of x; ``approximate="tanh"`` as in PyTorch."""
    return GELU.apply(x, {"approximate": approximate})


def _without_settings(kind: str) -> Callable[[Tensor], Tensor]:
    """Return the function of an activation without settings, documented by its formula."""
    name = kind.lower()
    kept = next(iter(inspect.signature(getattr(ops, f"{name}_backward")).parameters))
    function = _function(kind, name, keeps="x" if kept == "x" else "y")

    def activation(x: Tensor) -> Tensor:
        return function.apply(x, {})

    activation.__name__ = activation.__qualname__ = name
    activation.__doc__ = f"{kind}: ``{formulas()[kind]['plain'].format(x='x', y='y')}``."
    return activation


# The functions of all activations without settings, by name.
PLAIN = {kind.lower(): _without_settings(kind) for kind in written_as("module")}

Softmax = _function("Softmax", "softmax", keeps="y")


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Softmax ``y = exp(x) / sum(exp(x))`` along `axis`."""
    return Softmax.apply(x, {"axis": axis})


LogSoftmax = _function("LogSoftmax", "log_softmax", keeps="y")


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Logarithm of softmax along `axis`."""
    return LogSoftmax.apply(x, {"axis": axis})


# Key and counter make the mask again, so that none is kept.
Dropout = _function("Dropout", "dropout", keeps="nothing")


def dropout(
    x: Tensor, rate: float, *, training: bool = True, key: int | None = None, counter: int = 0
) -> Tensor:
    """Set each element to 0 with probability `rate`, multiply the others by ``1 / (1 - rate)``.

    Parameters
    ----------
    x
        Tensor of any shape.
    rate
        In [0, 1).
    training
        False returns x itself.
    key, counter
        64-bit unsigned integers that decide on the mask. Without a key, one is drawn from PyTorch's generator, so
        that ``torch.manual_seed`` makes masks come again. They are other masks than those of PyTorch's own.
    """
    if not training:
        return x
    if key is None:
        key = int(torch.randint(0, 2**63 - 1, ()))
    return Dropout.apply(x, {"rate": rate, "key": key, "counter": counter})
