"""Activations, softmax and dropout with autograd; what they compute is said in `relu_layers.ops`."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd import Function

from relu_layers import ops
from relu_layers.interop.torch._tensors import Tensor, new, once, read, view


class ReLU(Function):  # type: ignore[misc] # PyTorch is not seen by the type checker
    """Keeps x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, negative_slope: float) -> Tensor:
        y = new(ops.relu_forward(read("relu", "x", x), negative_slope))
        ctx.save_for_backward(x)
        ctx.negative_slope = negative_slope
        return y

    @staticmethod
    @once
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return new(ops.relu_backward(view(x), view(dy), ctx.negative_slope)), None


def relu(x: Tensor, negative_slope: float = 0.0) -> Tensor:
    """Rectify: ``y = x`` where x > 0, else ``negative_slope * x``.

    At 0 the gradient is that of the negative side, as PyTorch's own.
    """
    return ReLU.apply(x, negative_slope)


class Threshold(Function):  # type: ignore[misc]
    """Keeps x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, limit: float, value: float) -> Tensor:
        y = new(ops.threshold_forward(read("threshold", "x", x), limit, value))
        ctx.save_for_backward(x)
        ctx.limit = limit
        return y

    @staticmethod
    @once
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return new(ops.threshold_backward(view(x), view(dy), ctx.limit)), None, None


def threshold(x: Tensor, threshold: float, value: float) -> Tensor:
    """Replace what does not exceed the threshold: ``y = x`` where x > threshold, else ``value``."""
    return Threshold.apply(x, threshold, value)


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


class ELU(Function):  # type: ignore[misc]
    """Keeps y."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: float) -> Tensor:
        y = new(ops.elu_forward(read("elu", "x", x), alpha))
        ctx.save_for_backward(y)
        ctx.alpha = alpha
        return y

    @staticmethod
    @once
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        return new(ops.elu_backward(view(y), view(dy), ctx.alpha)), None


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """Exponential linear unit: ``y = x`` where x > 0, else ``alpha * (exp(x) - 1)``, with alpha >= 0."""
    return ELU.apply(x, alpha)


class Sigmoid(Function):  # type: ignore[misc]
    """Keeps y."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = new(ops.sigmoid_forward(read("sigmoid", "x", x)))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @once
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return new(ops.sigmoid_backward(view(y), view(dy)))


def sigmoid(x: Tensor) -> Tensor:
    """Logistic function ``y = 1 / (1 + exp(-x))``."""
    return Sigmoid.apply(x)


class Tanh(Function):  # type: ignore[misc]
    """Keeps y."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = new(ops.tanh_forward(read("tanh", "x", x)))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @once
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return new(ops.tanh_backward(view(y), view(dy)))


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent ``y = tanh(x)``."""
    return Tanh.apply(x)


class Softmax(Function):  # type: ignore[misc]
    """Keeps y."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, axis: int) -> Tensor:
        y = new(ops.softmax_forward(read("softmax", "x", x), axis))
        ctx.save_for_backward(y)
        ctx.axis = axis
        return y

    @staticmethod
    @once
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        return new(ops.softmax_backward(view(y), view(dy), ctx.axis)), None


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Softmax ``y = exp(x) / sum(exp(x))`` along `axis`."""
    return Softmax.apply(x, axis)


class LogSoftmax(Function):  # type: ignore[misc]
    """Keeps y."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, axis: int) -> Tensor:
        y = new(ops.log_softmax_forward(read("log_softmax", "x", x), axis))
        ctx.save_for_backward(y)
        ctx.axis = axis
        return y

    @staticmethod
    @once
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        return new(ops.log_softmax_backward(view(y), view(dy), ctx.axis)), None


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Logarithm of softmax along `axis`."""
    return LogSoftmax.apply(x, axis)


class Dropout(Function):  # type: ignore[misc]
    """Keeps no mask: key and counter make it again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float, key: int, counter: int) -> Tensor:
        y = new(ops.dropout_forward(read("dropout", "x", x), rate, key=key, counter=counter))
        ctx.settings = rate, key, counter
        return y

    @staticmethod
    @once
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        rate, key, counter = ctx.settings
        return new(ops.dropout_backward(view(dy), rate, key=key, counter=counter)), None, None, None


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
    return Dropout.apply(x, rate, key, counter)
