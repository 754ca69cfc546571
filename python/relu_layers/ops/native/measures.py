"""What training measures on its way; `native` says what holds for all ops."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu_layers import _core

FloatArray = NDArray[Any]


def sum_of_squares(x: FloatArray) -> float:
    """Sum of ``x * x`` over a contiguous array of any shape, in float64 (the squared gradient norm)."""
    return _core.sum_of_squares(x)


def accumulate(total: FloatArray, grad: FloatArray) -> None:
    """Add ``grad`` to ``total`` in place; both 1-D, contiguous, of one shape."""
    _core.accumulate(total, grad)


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
        1-D, contiguous, of one shape.
    strength
        scikit-learn's ``alpha``.
    rows
        Rows of the minibatch.
    sample_weight
        ``(rows,)``, of the dtype of param, or None.
    """
    return _core.l2_penalty(param, grad, strength, rows, sample_weight)


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


def count_correct(logits: FloatArray, labels: NDArray[Any]) -> int:
    """Count the rows whose first largest logit is that of their label; NaN is the largest, as in `numpy.argmax`.

    Parameters
    ----------
    logits
        ``(batch, classes)``.
    labels
        ``(batch,)``, integers.
    """
    return _core.count_correct(logits, labels)


def count_agreeing(logits: FloatArray, targets: FloatArray) -> int:
    """Count the elements with ``(logit > 0) == (target > 0.5)``, right by a sigmoid's threshold; NaN is wrong.

    Parameters
    ----------
    logits, targets
        Of one shape and dtype.
    """
    return _core.count_agreeing(logits, targets)
