"""What training measures on its way: norms and sums of gradients, active units, right predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from relu_layers.ops.reference.arrays import FloatArray, as_array, contiguous, float_array, output, writable

if TYPE_CHECKING:
    from numpy.typing import NDArray  # importing it takes a tenth of what NumPy takes

__all__ = [
    "sum_of_squares",
    "accumulate",
    "l2_penalty",
    "mark_active",
    "count_correct",
    "count_agreeing",
]

_quiet = np.errstate(all="ignore")


@_quiet
def sum_of_squares(x: FloatArray) -> float:
    """Sum of ``x * x`` over a contiguous array of any shape, in float64 (the squared gradient norm)."""
    x = contiguous("sum_of_squares", "x", x)
    return float(np.sum(np.square(x, dtype=np.float64)))


@_quiet
def accumulate(total: FloatArray, grad: FloatArray) -> None:
    """Add ``grad`` to ``total`` in place; both C-contiguous, of one shape."""
    grad = contiguous("accumulate", "grad", grad)
    total = output(
        "accumulate",
        writable("accumulate", "total", total, grad.shape, grad.dtype),
        grad.shape,
        grad.dtype,
        reads=[grad],
        name="total",
    )
    total += grad


@_quiet
def l2_penalty(
    param: FloatArray,
    grad: FloatArray,
    *,
    strength: float,
    rows: int,
    sample_weight: FloatArray | None = None,
) -> float:
    """Add an L2 penalty to a gradient in place, and return what it adds to the loss.

    ``grad += c * param`` and ``c / 2 * sum(param**2)``, with ``c = strength / rows``, or ``strength`` divided by the
    sum of the weights; c is 0 where that sum is 0.

    Parameters
    ----------
    param, grad
        C-contiguous, of one shape.
    strength
        scikit-learn's ``alpha``.
    rows
        Rows of the minibatch.
    sample_weight
        ``(rows,)``, of the dtype of param, or None.
    """
    param = contiguous("l2_penalty", "param", param)
    reads = [param]
    divisor = float(rows)
    if sample_weight is not None:
        sample_weight = float_array("l2_penalty", "sample_weight", sample_weight)
        if sample_weight.dtype != param.dtype:
            raise TypeError(
                f"l2_penalty: sample_weight has dtype {sample_weight.dtype}, expected {param.dtype}"
            )
        if sample_weight.shape != (rows,):
            raise ValueError(f"l2_penalty: sample_weight has shape {sample_weight.shape}, expected ({rows},)")
        reads.append(sample_weight)
        divisor = float(sample_weight.sum(dtype=np.float64))
    grad = output(
        "l2_penalty",
        writable("l2_penalty", "grad", grad, param.shape, param.dtype),
        param.shape,
        param.dtype,
        reads=reads,
        name="grad",
    )
    factor = strength / divisor if divisor else 0.0
    grad += param.dtype.type(factor) * param
    return 0.5 * factor * float(np.sum(np.square(param, dtype=np.float64)))


@_quiet
def mark_active(x: FloatArray, active: NDArray[np.uint8]) -> int:
    """Set ``active[j] = 1`` where any ``x[..., j] > 0``; return how many units are still 0.

    Parameters
    ----------
    x
        ``(..., units)``, the input of a ReLU. NaN is not active.
    active
        ``(units,)`` uint8, changed in place; what is already 1 stays.
    """
    x = float_array("mark_active", "x", x)
    if x.ndim == 0:
        raise ValueError("mark_active: x has shape (), expected (..., units)")
    active = writable("mark_active", "active", active, x.shape[-1:], np.dtype(np.uint8))
    active[(x > 0).any(axis=tuple(range(x.ndim - 1)))] = 1
    return int(np.count_nonzero(active == 0))


@_quiet
def count_correct(logits: FloatArray, labels: NDArray[Any]) -> int:
    """Count the rows whose first largest logit is that of their label; NaN is the largest, as in `numpy.argmax`.

    Parameters
    ----------
    logits
        ``(batch, classes)``.
    labels
        ``(batch,)``, integers.
    """
    logits = float_array("count_correct", "logits", logits)
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(
            f"count_correct: logits has shape {logits.shape}, expected (batch, classes) with a class"
        )
    labels = as_array("count_correct", "labels", labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"count_correct: labels has dtype {labels.dtype}, expected integers")
    if labels.shape != logits.shape[:1]:
        raise ValueError(f"count_correct: labels has shape {labels.shape}, expected {logits.shape[:1]}")
    return int(np.count_nonzero(np.argmax(logits, axis=1) == labels))


@_quiet
def count_agreeing(logits: FloatArray, targets: FloatArray) -> int:
    """Count the elements with ``(logit > 0) == (target > 0.5)``, right by a sigmoid's threshold; NaN is wrong.

    Parameters
    ----------
    logits, targets
        Of one shape and dtype.
    """
    logits = float_array("count_agreeing", "logits", logits)
    targets = float_array("count_agreeing", "targets", targets)
    if targets.dtype != logits.dtype:
        raise TypeError(f"count_agreeing: targets has dtype {targets.dtype}, expected {logits.dtype}")
    if targets.shape != logits.shape:
        raise ValueError(f"count_agreeing: targets has shape {targets.shape}, expected {logits.shape}")
    return int(np.count_nonzero(((logits > 0) == (targets > 0.5)) & ~np.isnan(logits)))
