"""Losses with their gradients; `native` says what holds for all ops."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from relu_layers import _core

FloatArray = NDArray[Any]


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
