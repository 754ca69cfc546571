"""Losses with their gradients in one call: ``loss = sum(w * l) / n`` and ``w * dl / n``.

l is the loss of one position (one row of logits, or one element), w its weight, n the normalizer:

- ``full``: the number of all positions;
- ``batch_size``: the product of the dimensions before the class axis (without a class axis: ``shape[0]``);
- ``valid``: the number of positions not ignored, or the sum of their weights where weights are given;
- ``none``: 1, the plain sum.

A count is at least 1, so a batch of ignored positions has loss and gradient 0. A sum of weights is never
raised: where it is 0, loss and gradient are 0. The sum over positions runs in float64.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from relu_layers.ops.reference.arrays import FloatArray, as_array, class_axis, float_array, output
from relu_layers.ops.reference.softmax import shifted_row_terms

if TYPE_CHECKING:
    from numpy.typing import NDArray  # importing it takes a tenth of what NumPy takes

__all__ = [
    "softmax_cross_entropy",
    "sigmoid_cross_entropy",
    "squared_error",
    "huber",
]

_quiet = np.errstate(all="ignore")

NORMALIZATIONS = ("valid", "full", "batch_size", "none")


def _normalizer(
    op: str, normalization: str, *, positions: int, leading: int, valid: float, weighted: bool
) -> float:
    if normalization not in NORMALIZATIONS:
        raise ValueError(
            f"{op}: normalization is {normalization!r}, expected one of {', '.join(NORMALIZATIONS)}"
        )
    if normalization == "none":
        return 1.0
    if positions == 0:
        raise ValueError(f"{op}: no rows, so there is no mean: pass at least one, or normalization='none'")
    if normalization == "valid":
        return valid if weighted else max(valid, 1.0)
    return float(positions if normalization == "full" else max(leading, 1))


def _sample_weight(
    op: str, value: object, array: FloatArray, trailing: int, normalization: str
) -> FloatArray | None:
    """Return the weights with axes that broadcast over `trailing` further axes of the positions."""
    if value is None:
        return None
    if array.ndim == 0:
        raise ValueError(f"{op}: sample_weight needs a batch axis, but the prediction has shape ()")
    weight = float_array(op, "sample_weight", value, like=array, shape=array.shape[:1])
    with np.errstate(invalid="ignore"):
        bad = np.flatnonzero(~np.isfinite(weight) | ((weight < 0) & (normalization == "valid")))
    if bad.size:
        number = float(weight[bad[0]])
        expected = (
            "but the loss is divided by the sum of the weights: expected at least 0, or a normalization that "
            "divides by a number of rows ('full', 'batch_size', 'none')"
            if np.isfinite(number)
            else "expected finite numbers"
        )
        raise ValueError(f"{op}: sample_weight[{bad[0]}] is {number!r}, {expected}")
    return weight.reshape(-1, *(1,) * trailing)


def _class_indices(
    op: str, labels: NDArray[Any], classes: int, ignore_label: int | None
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return indices (0 where ignored) and which positions count; IndexError names the first bad label."""
    used = np.ones(labels.shape, np.bool_) if ignore_label is None else labels != ignore_label
    bad = used & ((labels < 0) | (labels >= classes))
    if bad.any():
        first = np.unravel_index(int(bad.argmax()), labels.shape)
        place = f"labels[{', '.join(str(i) for i in first)}]" if labels.ndim else "labels"
        raise IndexError(f"{op}: {place} is {labels[first]}, expected 0 <= label < {classes}")
    return np.where(used, labels, 0).astype(np.intp), used


@_quiet
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

    Examples
    --------
    >>> import numpy as np
    >>> import relu_layers as rl
    >>> loss, dlogits = rl.ops.softmax_cross_entropy(np.array([[0.0, 0.0]]), np.array([1]))
    >>> round(loss, 4)
    0.6931
    >>> dlogits
    array([[ 0.5, -0.5]])
    """
    op = "softmax_cross_entropy"
    logits = float_array(op, "logits", logits)
    axis = class_axis(op, "logits", logits, axis)
    rows = np.moveaxis(logits, axis, -1)
    classes = rows.shape[-1]
    if classes == 0:
        raise ValueError(f"{op}: logits has shape {logits.shape} with no class on axis {axis}")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"{op}: label_smoothing is {label_smoothing}, expected 0 <= label_smoothing <= 1")
    by_class = np.ones(classes, logits.dtype)
    if class_weight is not None:
        by_class = float_array(op, "class_weight", class_weight, like=logits, shape=(classes,))
    if sample_weight is not None and axis == 0:
        raise ValueError(f"{op}: sample_weight needs a batch axis before the class axis, but axis is 0")
    by_sample = _sample_weight(op, sample_weight, logits, rows.ndim - 2, normalization)

    labels = as_array(op, "labels", labels)
    weight = (
        np.ones(rows.shape[:-1], logits.dtype)
        if by_sample is None
        else np.broadcast_to(by_sample, rows.shape[:-1])
    )
    if np.issubdtype(labels.dtype, np.integer):
        if labels.shape != rows.shape[:-1]:
            raise ValueError(
                f"{op}: labels has shape {labels.shape}, expected {rows.shape[:-1]} (logits without "
                f"axis {axis})"
            )
        index, used = _class_indices(
            op, labels, classes, None if ignore_label is None else operator.index(ignore_label)
        )
        target = np.zeros(rows.shape, logits.dtype)
        np.put_along_axis(
            target,
            index[..., np.newaxis],
            (by_class[index] * (1 - label_smoothing))[..., np.newaxis],
            axis=-1,
        )
        target += by_class * (label_smoothing / classes)
        valid_weight = weight * by_class[index]
    else:
        if labels.dtype == np.bool_ or (labels.shape == rows.shape[:-1] and labels.shape != logits.shape):
            raise TypeError(
                f"{op}: labels has dtype {labels.dtype}, expected integers: pass labels.astype(np.int64)"
            )
        if ignore_label is not None:
            raise ValueError(f"{op}: ignore_label needs integer labels, but labels holds probabilities")
        labels = float_array(op, "labels", labels, like=logits, shape=logits.shape)
        used = np.ones(rows.shape[:-1], np.bool_)
        target = by_class * (
            np.moveaxis(labels, axis, -1) * (1 - label_smoothing) + label_smoothing / classes
        )
        valid_weight = weight
    weighted = sample_weight is not None or (
        class_weight is not None and np.issubdtype(labels.dtype, np.integer)
    )
    n = _normalizer(
        op,
        normalization,
        positions=used.size,
        leading=int(np.prod(logits.shape[:axis])),
        valid=float(valid_weight[used].sum(dtype=np.float64)) if weighted else float(np.count_nonzero(used)),
        weighted=weighted,
    )
    reads = [a for a in (labels, class_weight, sample_weight) if a is not None]
    out = output(op, out, logits.shape, logits.dtype, reads=reads, may_alias=[logits])
    gradient = np.moveaxis(out, axis, -1)
    if n == 0 or used.size == 0:
        gradient[...] = 0
        return 0.0, out
    shifted, exponentials, others = shifted_row_terms(rows)
    log_probability = shifted - np.log1p(others)
    # A target of 0 asks nothing of its class, not even where the class is impossible (log probability -inf).
    terms = np.where(
        (target == 0) & (log_probability == -np.inf), logits.dtype.type(0), target * log_probability
    )
    per_position = np.where(used, -weight * terms.sum(axis=-1), logits.dtype.type(0))
    difference = exponentials / (1 + others) * target.sum(axis=-1, keepdims=True) - target
    gradient[...] = np.where(
        used[..., np.newaxis], weight[..., np.newaxis] * difference / n, logits.dtype.type(0)
    )
    return float(per_position.sum(dtype=np.float64)) / n, out


@_quiet
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
    op = "sigmoid_cross_entropy"
    logits = float_array(op, "logits", logits)
    targets = float_array(op, "targets", targets, like=logits, shape=logits.shape)
    used = np.ones(logits.shape, np.bool_) if ignore_label is None else np.asarray(targets != ignore_label)
    e = np.exp(-np.abs(logits))
    per_position = np.log1p(e) + np.abs(logits) * np.where(logits < 0, targets, 1 - targets)
    derivative = np.where(logits < 0, e, logits.dtype.type(1)) / (1 + e) - targets
    return _elementwise(
        op, logits, targets, per_position, derivative, used, sample_weight, normalization, out
    )


@_quiet
def squared_error(
    prediction: FloatArray,
    target: FloatArray,
    *,
    columns: NDArray[np.integer[Any]] | None = None,
    scale: float = 1.0,
    sample_weight: FloatArray | None = None,
    normalization: str = "full",
    out: FloatArray | None = None,
) -> tuple[float, FloatArray]:
    """Squared error ``scale * sum(w * (p - t)**2) / n`` with gradient ``2 * scale * w * (p - t) / n``.

    `target` has the shape and dtype of `prediction`; ``out=prediction`` is allowed. Caffe's Euclidean loss is
    ``scale=0.5, normalization="batch_size"``; the plain sum of squares is ``normalization="none"``.
    Returns the loss as a float and its gradient.

    With `columns`, one integer for each row of a prediction ``(batch, outputs)``, only ``prediction[i, columns[i]]``
    counts, against ``target[i]``: the positions are the rows, and the gradient is 0 elsewhere. A column out of range
    is an IndexError.
    """

    def of(difference: FloatArray) -> tuple[FloatArray, FloatArray]:
        return scale * (difference * difference), (2 * scale) * difference

    return _of_difference("squared_error", prediction, target, columns, of, sample_weight, normalization, out)


@_quiet
def huber(
    prediction: FloatArray,
    target: FloatArray,
    *,
    columns: NDArray[np.integer[Any]] | None = None,
    delta: float = 1.0,
    sample_weight: FloatArray | None = None,
    normalization: str = "full",
    out: FloatArray | None = None,
) -> tuple[float, FloatArray]:
    """Huber's loss ``sum(w * l) / n`` (1964): squares near the target, its gradient limited to `delta` beyond.

    With ``d = p - t`` it is ``l = d**2 / 2`` where ``abs(d) <= delta``, else ``delta * (abs(d) - delta / 2)``, and
    ``dl`` is d limited to ``-delta .. delta``: PyTorch's ``huber_loss``, whose "mean" is ``full`` and whose "sum" is
    ``none``. `delta` is a finite number above 0. All else is as in `squared_error`, `columns` included.
    Returns the loss as a float and its gradient.
    """
    if not 0 < delta < np.inf:
        raise ValueError(f"huber: delta is {delta!r}, expected a finite number above 0")

    def of(difference: FloatArray) -> tuple[FloatArray, FloatArray]:
        size = np.abs(difference)
        inside = 0.5 * (difference * difference)
        value = np.where(size > delta, delta * (size - 0.5 * delta), inside)
        return value.astype(difference.dtype), np.clip(difference, -delta, delta)

    return _of_difference("huber", prediction, target, columns, of, sample_weight, normalization, out)


def _of_difference(
    op: str,
    prediction: FloatArray,
    target: FloatArray,
    columns: NDArray[np.integer[Any]] | None,
    of: Callable[[FloatArray], tuple[FloatArray, FloatArray]],
    sample_weight: FloatArray | None,
    normalization: str,
    out: FloatArray | None,
) -> tuple[float, FloatArray]:
    """Return a loss of prediction - target; ``of(difference)`` is that of each position and its derivative."""
    prediction = float_array(op, "prediction", prediction)
    if columns is None:
        target = float_array(op, "target", target, like=prediction, shape=prediction.shape)
        value, derivative = of(prediction - target)
        used = np.ones(prediction.shape, np.bool_)
        return _elementwise(
            op, prediction, target, value, derivative, used, sample_weight, normalization, out
        )
    if prediction.ndim != 2:
        raise ValueError(
            f"{op}: prediction has shape {prediction.shape}, expected (batch, outputs) where columns are given"
        )
    rows, outputs = prediction.shape
    target = float_array(op, "target", target, like=prediction, shape=(rows,))
    columns = as_array(op, "columns", columns)
    if not np.issubdtype(columns.dtype, np.integer):
        raise TypeError(
            f"{op}: columns has dtype {columns.dtype}, expected integers: pass columns.astype(np.int64)"
        )
    if columns.shape != (rows,):
        raise ValueError(f"{op}: columns has shape {columns.shape}, expected ({rows},)")
    bad = np.flatnonzero((columns < 0) | (columns >= outputs))
    if bad.size:
        raise IndexError(
            f"{op}: columns[{bad[0]}] is {columns[bad[0]]} but prediction has {outputs} columns: "
            f"expected 0 <= column < {outputs}"
        )
    at = np.arange(rows), columns.astype(np.intp)
    chosen = prediction[at]
    value, derivative = of(chosen - target)
    reads = [a for a in (target, columns, sample_weight) if a is not None]
    used = np.ones(rows, np.bool_)
    loss, gradient = _elementwise(
        op, chosen, target, value, derivative, used, sample_weight, normalization, None
    )
    out = output(op, out, prediction.shape, prediction.dtype, reads=reads, may_alias=[prediction])
    out[...] = 0
    out[at] = gradient
    return loss, out


def _elementwise(
    op: str,
    prediction: FloatArray,
    target: FloatArray,
    per_position: FloatArray,
    derivative: FloatArray,
    used: NDArray[np.bool_],
    sample_weight: FloatArray | None,
    normalization: str,
    out: FloatArray | None,
) -> tuple[float, FloatArray]:
    """Weigh, mask, sum and normalize a loss whose positions are the elements."""
    by_sample = _sample_weight(op, sample_weight, prediction, prediction.ndim - 1, normalization)
    weight = np.broadcast_to(prediction.dtype.type(1) if by_sample is None else by_sample, prediction.shape)
    n = _normalizer(
        op,
        normalization,
        positions=prediction.size,
        leading=prediction.shape[0] if prediction.ndim else 1,
        valid=float(weight[used].sum(dtype=np.float64)),
        weighted=by_sample is not None,
    )
    reads = [target] if sample_weight is None else [target, sample_weight]
    out = output(op, out, prediction.shape, prediction.dtype, reads=reads, may_alias=[prediction])
    if n == 0 or prediction.size == 0:
        out[...] = 0
        return 0.0, out
    zero = prediction.dtype.type(0)
    out[...] = np.where(used, weight * derivative / n, zero)
    return float(np.where(used, weight * per_position, zero).sum(dtype=np.float64)) / n, out
