"""The ops on NumPy arrays, computed by the extension.

Inputs may be of any layout; ``out`` is strict: exact shape and dtype, C-contiguous, aligned, writable. All arrays of a
call share float32 or float64. Everything is checked and allocated before the first write.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu_layers import _core

FloatArray = NDArray[Any]


def _outputs(op: str, out: Any, length: int) -> tuple[Any, ...]:
    """Return ``out`` of an op with several results as a tuple; None stands for new arrays."""
    if out is None:
        return (None,) * length
    if not isinstance(out, tuple):
        raise TypeError(f"{op}: out is a {type(out).__name__}, expected a tuple of {length} arrays")
    if len(out) != length:
        raise ValueError(f"{op}: out has {len(out)} entries, expected {length}")
    return out


def relu_forward(x: FloatArray, negative_slope: float = 0.0, *, out: FloatArray | None = None) -> FloatArray:
    """Rectify: ``y = x`` where x > 0, else ``negative_slope * x``.

    With slope 0, y is +0 for x < 0, and x for 0, -0 and NaN.

    Parameters
    ----------
    x
        Array of any shape, float32 or float64.
    negative_slope
        Slope for x <= 0. With ``out=x`` it must be >= 0, because backward then reads the sign of x off y.
    out
        Array for the result; x itself is allowed.

    Notes
    -----
    Equal to Caffe's ``max(x, 0) + slope * min(x, 0)`` for every finite x. At x = -inf with slope 0, y is 0.
    """
    return _core.relu_forward(x, negative_slope, out)


def relu_backward(
    x: FloatArray, dy: FloatArray, negative_slope: float = 0.0, *, out: FloatArray | None = None
) -> FloatArray:
    """Gradient of `relu_forward`: ``dx = dy`` where x > 0, else ``negative_slope * dy``.

    The kink at 0 counts as off. With slope 0, dx is +0 for x <= 0 whatever dy is, and dy where x is NaN.
    `x` may be the result of the forward pass instead when the slope is >= 0 (in place).
    ``out=dy`` is allowed.
    """
    return _core.relu_backward(x, dy, negative_slope, out)


def threshold_forward(
    x: FloatArray, threshold: float, value: float, *, out: FloatArray | None = None
) -> FloatArray:
    """Replace what does not exceed the threshold: ``y = value`` where x <= threshold, else x (NaN stays NaN).

    ``threshold_forward(x, e, e)`` is ``max(e, x)``. `out` may not overlap x.
    """
    return _core.threshold_forward(x, threshold, value, out)


def threshold_backward(
    x: FloatArray, dy: FloatArray, threshold: float, *, out: FloatArray | None = None
) -> FloatArray:
    """Gradient of `threshold_forward`: ``dx = 0`` where x <= threshold, else dy. ``out=dy`` is allowed."""
    return _core.threshold_backward(x, dy, threshold, out)


def prelu_forward(x: FloatArray, slope: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Rectify with learned slopes: ``y = x`` where x > 0, else ``slope * x``.

    Parameters
    ----------
    x
        ``(..., features)``.
    slope
        ``(features,)``, or ``(1,)`` for one slope shared by all features.
    out
        Array for the result; it may not overlap x, whose values backward needs.
    """
    return _core.prelu_forward(x, slope, out)


def prelu_backward(
    x: FloatArray,
    slope: FloatArray,
    dy: FloatArray,
    *,
    need_dx: bool = True,
    out: tuple[FloatArray | None, FloatArray | None] | None = None,
) -> tuple[FloatArray | None, FloatArray]:
    """Gradients of `prelu_forward`: ``dx = dy`` where x > 0, else ``slope * dy``.

    dslope is the sum of ``x * dy`` where x is not > 0, over all rows, and over the features too for a shared
    slope. dx is None when not needed; dx may be dy.
    """
    return _core.prelu_backward(x, slope, dy, need_dx, *_outputs("prelu_backward", out, 2))


def elu_forward(x: FloatArray, alpha: float = 1.0, *, out: FloatArray | None = None) -> FloatArray:
    """Exponential linear unit: ``y = x`` where x > 0, else ``alpha * (exp(x) - 1)``, with alpha >= 0.

    ``out=x`` is allowed.
    """
    return _core.elu_forward(x, alpha, out)


def elu_backward(
    y: FloatArray, dy: FloatArray, alpha: float = 1.0, *, out: FloatArray | None = None
) -> FloatArray:
    """Gradient of `elu_forward` from its result: ``dx = dy`` where y > 0, else ``dy * (y + alpha)``.

    ``out=dy`` is allowed.
    """
    return _core.elu_backward(y, dy, alpha, out)


def sigmoid_forward(x: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Logistic function ``y = 1 / (1 + exp(-x))``, without overflow. ``out=x`` is allowed."""
    return _core.sigmoid_forward(x, out)


def sigmoid_backward(y: FloatArray, dy: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Gradient of `sigmoid_forward` from its result: ``dx = dy * y * (1 - y)``. ``out=dy`` is allowed."""
    return _core.sigmoid_backward(y, dy, out)


def tanh_forward(x: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Hyperbolic tangent ``y = tanh(x)``. ``out=x`` is allowed."""
    return _core.tanh_forward(x, out)


def tanh_backward(y: FloatArray, dy: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Gradient of `tanh_forward` from its result: ``dx = dy * (1 - y) * (1 + y)``. ``out=dy`` is allowed."""
    return _core.tanh_backward(y, dy, out)


def softmax_forward(x: FloatArray, axis: int = -1, *, out: FloatArray | None = None) -> FloatArray:
    """Softmax ``y = exp(x) / sum(exp(x))`` along `axis`, from ``x - max(x)``. ``out=x`` is allowed."""
    return _core.softmax_forward(x, axis, out)


def softmax_backward(
    y: FloatArray, dy: FloatArray, axis: int = -1, *, out: FloatArray | None = None
) -> FloatArray:
    """Jacobian-vector product of `softmax_forward` from its result: ``dx = y * (dy - sum(dy * y))``.

    ``out=dy`` is allowed.
    """
    return _core.softmax_backward(y, dy, axis, out)


def log_softmax_forward(x: FloatArray, axis: int = -1, *, out: FloatArray | None = None) -> FloatArray:
    """Logarithm of softmax, ``y = x - max - log1p(sum of the other exponentials)``.

    The form keeps relative accuracy where y is near 0. ``out=x`` is allowed.
    """
    return _core.log_softmax_forward(x, axis, out)


def log_softmax_backward(
    y: FloatArray, dy: FloatArray, axis: int = -1, *, out: FloatArray | None = None
) -> FloatArray:
    """Jacobian-vector product of `log_softmax_forward` from its result: ``dx = dy - exp(y) * sum(dy)``.

    ``out=dy`` is allowed.
    """
    return _core.log_softmax_backward(y, dy, axis, out)


def softmax_cross_entropy(
    logits: FloatArray,
    labels: NDArray[Any],
    *,
    axis: int = -1,
    class_weight: FloatArray | None = None,
    sample_weight: FloatArray | None = None,
    label_smoothing: float = 0.0,
    ignore_label: int | None = None,
    normalization: str = "valid",
    out: FloatArray | None = None,
) -> tuple[float, FloatArray]:
    """Cross-entropy of softmax along `axis` against labels, from log-sum-exp, never clamped.

    Parameters
    ----------
    logits
        Any shape with a class axis.
    labels
        Integers of the shape of logits without the class axis, or probabilities with the shape and dtype of
        logits.
    class_weight
        ``(classes,)``.
    sample_weight
        ``(batch,)``, one weight per entry of the first axis, which is then not the class axis.
    label_smoothing
        In [0, 1]: this much of the target is spread evenly over the classes. With class weights as PyTorch:
        ``(1 - s) * w_y * nll_y + s / classes * sum_c w_c * nll_c``, while ``valid`` still divides by the sum
        of w_y. For probability labels ``valid`` counts positions (or sums sample weights), class weights or not.
    ignore_label
        Positions with this label count nowhere; integer labels only.
    normalization
        One of ``valid``, ``full``, ``batch_size``, ``none``.
    out
        Array for the gradient; ``out=logits`` is allowed.

    Returns
    -------
    loss, dlogits
        The loss as a float, and its gradient in the shape of logits: ``w * (softmax * sum(t) - t) / n`` with
        the weighted target t.
    """
    return _core.softmax_cross_entropy(
        logits, labels, axis, class_weight, sample_weight, label_smoothing, ignore_label, normalization, out
    )


def sigmoid_cross_entropy(
    logits: FloatArray,
    targets: FloatArray,
    *,
    sample_weight: FloatArray | None = None,
    ignore_label: float | None = None,
    normalization: str = "batch_size",
    out: FloatArray | None = None,
) -> tuple[float, FloatArray]:
    """Cross-entropy of the logistic function against targets in [0, 1], element by element.

    ``l = log(1 + exp(-|x|)) + |x| * (1 - t where x >= 0, else t)`` and ``dl = sigmoid(x) - t``; `targets` has
    the shape and dtype of `logits`, elements equal to `ignore_label` count nowhere, `sample_weight` is
    ``(batch,)``. ``out=logits`` is allowed. Returns the loss as a float and its gradient.
    """
    return _core.sigmoid_cross_entropy(logits, targets, sample_weight, ignore_label, normalization, out)


def squared_error(
    prediction: FloatArray,
    target: FloatArray,
    *,
    scale: float = 1.0,
    sample_weight: FloatArray | None = None,
    normalization: str = "full",
    out: FloatArray | None = None,
) -> tuple[float, FloatArray]:
    """Squared error ``scale * sum(w * (p - t)**2) / n`` with gradient ``2 * scale * w * (p - t) / n``.

    `target` has the shape and dtype of `prediction`; ``out=prediction`` is allowed. Caffe's Euclidean loss is
    ``scale=0.5, normalization="batch_size"``; the plain sum of squares is ``normalization="none"``.
    Returns the loss as a float and its gradient.
    """
    return _core.squared_error(prediction, target, scale, sample_weight, normalization, out)


def dense_forward(
    x: FloatArray, weight: FloatArray, bias: FloatArray | None = None, *, out: FloatArray | None = None
) -> FloatArray:
    """Affine map ``y = x @ weight + bias``.

    Parameters
    ----------
    x
        ``(..., in_features)``; all leading axes together are the batch.
    weight
        ``(in_features, out_features)``.
    bias
        ``(out_features,)`` or None.
    out
        ``(..., out_features)``, apart from every input.
    """
    return _core.dense_forward(x, weight, bias, out)


def dense_backward(
    x: FloatArray,
    weight: FloatArray,
    dy: FloatArray,
    *,
    need_dx: bool = True,
    out: tuple[FloatArray | None, FloatArray | None, FloatArray | None] | None = None,
) -> tuple[FloatArray | None, FloatArray, FloatArray]:
    """Gradients of `dense_forward`: ``dx = dy @ weight.T``, ``dweight = x.T @ dy``, ``dbias = dy.sum(0)``.

    dx is None when not needed. All three are overwritten, never added to; None in `out` allocates that one.
    """
    return _core.dense_backward(x, weight, dy, need_dx, *_outputs("dense_backward", out, 3))


def matmul(
    a: FloatArray,
    b: FloatArray,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    accumulate: bool = False,
    out: FloatArray | None = None,
) -> FloatArray:
    """Matrix product ``c = a @ b`` of matrices or broadcast stacks of them, as `numpy.matmul`.

    Parameters
    ----------
    a, b
        ``(..., m, k)`` and ``(..., k, n)``; a transposed operand comes as ``(..., k, m)`` or ``(..., n, k)``.
    accumulate
        Add the product to `out` instead of overwriting it; needs `out`.
    out
        ``(..., m, n)``, apart from a and b.
    """
    return _core.matmul(a, b, transpose_a, transpose_b, accumulate, out)


def sum_of_squares(x: FloatArray) -> float:
    """Sum of ``x * x`` over a contiguous array of any shape, in float64 (the squared gradient norm)."""
    return _core.sum_of_squares(x)


def accumulate(total: FloatArray, grad: FloatArray) -> None:
    """Add ``grad`` to ``total`` in place; both 1-D, contiguous, of one shape."""
    _core.accumulate(total, grad)


def mark_active(x: FloatArray, active: NDArray[np.uint8]) -> int:
    """Set ``active[j] = 1`` where any ``x[..., j] > 0``; return how many units are still 0.

    Parameters
    ----------
    x
        ``(..., units)``, the input of a ReLU. NaN is not active.
    active
        ``(units,)`` uint8, changed in place; what is already 1 stays.
    """
    return _core.mark_active(x, active)


def dropout_forward(
    x: FloatArray, rate: float, *, key: int, counter: int, out: FloatArray | None = None
) -> FloatArray:
    """Set each element to 0 with probability `rate`, multiply the others by ``1 / (1 - rate)``.

    Parameters
    ----------
    x
        Array of any shape; elements are counted in C order.
    rate
        In [0, 1).
    key, counter
        64-bit unsigned integers. Element i takes word ``i % 4`` of Philox4x32-10 at counter words
        (i // 4 low, i // 4 high, counter low, counter high) under key words (key low, key high).
    out
        Array for the result, apart from x.
    """
    return _core.dropout_forward(x, rate, key, counter, out)


def dropout_backward(
    dy: FloatArray, rate: float, *, key: int, counter: int, out: FloatArray | None = None
) -> FloatArray:
    """Gradient of `dropout_forward` with the same rate, key and counter: the same map applied to dy.

    ``out=dy`` is allowed.
    """
    return _core.dropout_backward(dy, rate, key, counter, out)


def sgd_update(
    param: FloatArray,
    grad: FloatArray,
    velocity: FloatArray,
    *,
    learning_rate: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    regularization: str = "l2",
    grad_scale: float = 1.0,
) -> None:
    """Gradient descent: ``v = momentum * v + rate * g; w -= v``.

    Nesterov: ``w -= (1 + momentum) * v_new - momentum * v_old``.

    The rate is inside the velocity, as in Caffe, so a change of rate does not rescale what is already moving.
    """
    _core.sgd_update(
        param, grad, velocity, learning_rate, momentum, nesterov, weight_decay, regularization, grad_scale
    )


def adagrad_update(
    param: FloatArray,
    grad: FloatArray,
    square_sum: FloatArray,
    *,
    learning_rate: float,
    epsilon: float = 1e-08,
    weight_decay: float = 0.0,
    regularization: str = "l2",
    grad_scale: float = 1.0,
) -> None:
    """AdaGrad: ``h += g * g; w -= rate * g / (sqrt(h) + epsilon)``."""
    _core.adagrad_update(
        param, grad, square_sum, learning_rate, epsilon, weight_decay, regularization, grad_scale
    )


def rmsprop_update(
    param: FloatArray,
    grad: FloatArray,
    square_mean: FloatArray,
    *,
    learning_rate: float,
    rho: float = 0.99,
    epsilon: float = 1e-08,
    weight_decay: float = 0.0,
    regularization: str = "l2",
    grad_scale: float = 1.0,
) -> None:
    """RMSProp: ``h = rho * h + (1 - rho) * g * g; w -= rate * g / (sqrt(h) + epsilon)``."""
    _core.rmsprop_update(
        param, grad, square_mean, learning_rate, rho, epsilon, weight_decay, regularization, grad_scale
    )


def adadelta_update(
    param: FloatArray,
    grad: FloatArray,
    square_mean: FloatArray,
    update_mean: FloatArray,
    *,
    learning_rate: float = 1.0,
    rho: float = 0.95,
    epsilon: float = 1e-06,
    weight_decay: float = 0.0,
    regularization: str = "l2",
    grad_scale: float = 1.0,
) -> None:
    """AdaDelta: ``h = rho * h + (1 - rho) * g * g; u = g * sqrt((d + epsilon) / (h + epsilon));
    d = rho * d + (1 - rho) * u * u; w -= rate * u``."""
    _core.adadelta_update(
        param,
        grad,
        square_mean,
        update_mean,
        learning_rate,
        rho,
        epsilon,
        weight_decay,
        regularization,
        grad_scale,
    )


def adam_update(
    param: FloatArray,
    grad: FloatArray,
    mean: FloatArray,
    square_mean: FloatArray,
    *,
    learning_rate: float = 0.001,
    step: int,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-08,
    epsilon_hat: bool = False,
    weight_decay: float = 0.0,
    regularization: str = "l2",
    grad_scale: float = 1.0,
) -> None:
    """Adam (Kingma and Ba, 2015): moving means m of g and v of g * g, corrected for their start at 0.

    ``w -= rate * (m / (1 - beta1**step)) / (sqrt(v / (1 - beta2**step)) + epsilon)``; with ``epsilon_hat``
    the paper's other form, which Caffe uses:
    ``w -= rate * sqrt(1 - beta2**step) / (1 - beta1**step) * m / (sqrt(v) + epsilon)``.
    `step` counts from 1.
    """
    _core.adam_update(
        param,
        grad,
        mean,
        square_mean,
        learning_rate,
        step,
        beta1,
        beta2,
        epsilon,
        epsilon_hat,
        weight_decay,
        regularization,
        grad_scale,
    )


def adamw_update(
    param: FloatArray,
    grad: FloatArray,
    mean: FloatArray,
    square_mean: FloatArray,
    *,
    learning_rate: float = 0.001,
    step: int,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-08,
    epsilon_hat: bool = False,
    weight_decay: float = 0.01,
    grad_scale: float = 1.0,
) -> None:
    """AdamW (Loshchilov and Hutter, 2019): first ``w *= 1 - rate * weight_decay``, then as `adam_update`."""
    _core.adamw_update(
        param,
        grad,
        mean,
        square_mean,
        learning_rate,
        step,
        beta1,
        beta2,
        epsilon,
        epsilon_hat,
        weight_decay,
        grad_scale,
    )
