"""Data sets that come with scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np

from relu_layers._support.extras import how_to_install

Array = np.ndarray[Any, np.dtype[Any]]


def load_digits() -> tuple[Array, Array]:
    """Return scikit-learn's handwritten digits: 1,797 real 8x8 images.

    Returns
    -------
    x : ndarray of shape (1797, 64), float64
        Grey values 0 to 16, row by row.
    y : ndarray of shape (1797,), int64
        The digit shown.

    Raises
    ------
    ImportError
        scikit-learn is not installed; the message names the extra.
    """
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(f"the digits come with scikit-learn: {how_to_install('sklearn')}") from error
    bunch = datasets.load_digits()
    return np.asarray(bunch.data, dtype=np.float64), np.asarray(bunch.target, dtype=np.int64)
