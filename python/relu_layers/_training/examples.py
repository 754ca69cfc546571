"""Examples: the rows that a training or an evaluation is given, as arrays or read from a source."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from relu_layers import _core
from relu_layers._support.arguments import any_array, converted_array
from relu_layers._support.configured import Array
from relu_layers._support.targets import refuse_not_finite
from relu_layers.data import ArraySource, Minibatches, Ordered, Rows, Source, StreamedMinibatches, is_source
from relu_layers.losses import FunctionLoss, Loss

# Labels of a source that are checked at once.
_TARGETS_AT_ONCE = 2**18


class Examples(NamedTuple):
    """Inputs, targets and perhaps one weight per row, in the dtypes that training takes.

    Of a source they are `Rows`, which are sliced as arrays are and know no more than that.
    """

    x: Array
    y: Array
    sample_weight: Array | None

    def minibatches(
        self, batch_size: int, shuffle: bool | Callable[[int], Any], rng: np.random.Generator
    ) -> Ordered:
        """Return passes over all rows."""
        given = (self.x, self.y) if self.sample_weight is None else (self.x, self.y, self.sample_weight)
        source = getattr(self.x, "source", None)
        if source is None:
            return Minibatches(*given, batch_size=batch_size, shuffle=shuffle, rng=rng)
        dtypes = [array.dtype for array in given]
        return StreamedMinibatches(source, dtypes, batch_size=batch_size, shuffle=shuffle, rng=rng)

    @property
    def streamed(self) -> bool:
        """Whether the rows are read from a source."""
        return hasattr(self.x, "source")

    def targets(self, rank: int = 0, ranks: int = 1) -> Iterator[tuple[int, Array]]:
        """Yield the targets in parts, each with the number of rows before it: views, or rows read for once.

        Each of several ranks reads its share of a source.
        """
        if not self.streamed:
            yield 0, self.y
            return
        for start in range(rank * _TARGETS_AT_ONCE, len(self.y), ranks * _TARGETS_AT_ONCE):
            yield start, self.y[start : start + _TARGETS_AT_ONCE]

    def check(
        self,
        owner: str,
        loss: Loss,
        outputs: Callable[[Array], Array],
        outputs_like: Callable[[Array], Array],
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        """Raise now what a training would find wrong later: shapes, dtypes, any target, weight or input.

        ``outputs(x)`` returns what the loss looks at, ``outputs_like(x)`` outputs of that shape.
        """
        if self.sample_weight is not None and not self.streamed:
            refuse_not_finite(owner, "sample_weight", self.sample_weight)
            if loss.normalization == "valid":
                _refuse_negative(owner, self.sample_weight)
        if isinstance(loss, FunctionLoss):
            return
        first = self._row(owner)
        self._check_inputs(owner, outputs)
        y = outputs_like(first)
        loss.check_shape(owner, (len(self.x), *y.shape[1:]), self.y)
        loss.check_labels(owner, y, self.targets(rank, ranks))
        weight = None if self.sample_weight is None else self.sample_weight[:1]
        loss(y, self.y[:1], sample_weight=weight)

    def _check_inputs(self, owner: str, outputs: Callable[[Array], Array]) -> None:
        """Raise a ValueError for the first row whose inputs are not finite, and so not its outputs."""
        if self.streamed or isinstance(self.x, np.memmap) or not self.x.size:
            return
        # Where x does not lie in order two numbers show it, without an array of the size of x.
        if self.x.flags.forc and _core.all_finite(self.x.T if self.x.flags.fnc else self.x):
            return
        if math.isfinite(self.x.min()) and math.isfinite(self.x.max()):
            return
        with np.errstate(invalid="ignore"):
            at = tuple(int(i) for i in np.argwhere(~np.isfinite(self.x))[0])
            if not np.isfinite(outputs(self.x[at[0] : at[0] + 1])).all():
                raise ValueError(
                    f"{owner}: x[{', '.join(map(str, at))}] is {self.x[at]:g}, expected finite numbers"
                )

    def _row(self, owner: str) -> Array:
        """Return the first row, which the model has to take; its errors speak of the shape of all rows."""
        if self.x.ndim == 1:
            raise ValueError(
                f"{owner}: x has shape {tuple(self.x.shape)}, expected (rows, features): pass x[:, None] for one "
                "feature, x[None, :] for one row"
            )
        return self.x[:1]


def _refuse_negative(owner: str, weights: Array) -> None:
    """Raise a ValueError that names the first negative weight."""
    negative = np.flatnonzero(weights < 0)
    if negative.size:
        first = int(negative[0])
        raise ValueError(
            f"{owner}: sample_weight[{first}] is {weights[first]:g}, but the loss is divided by the sum of the "
            "weights: expected at least 0, or a normalization that divides by a number of rows ('full', "
            "'batch_size', 'none')"
        )


def examples(
    owner: str, x: Any, y: Any, sample_weight: Any = None, *, dtype: np.dtype[Any], loss: Any
) -> Examples:
    """Return arrays converted once where their dtype differs, their lengths checked.

    Parameters
    ----------
    owner : str
        Who asks, for messages.
    x, y, sample_weight : array_like
        One row each per example.
    dtype : np.dtype
        The model's: of x, of the weights, and of targets that are not labels.
    loss : Loss or callable
        Integer targets stay integers where it takes labels, as every callable may.
    """
    if isinstance(y, tuple) and isinstance(loss, Loss) and loss.takes_columns:
        raise TypeError(
            f"{owner}: y is a tuple, expected an array: targets (columns, values) are for Trainer.step, one minibatch "
            "at a time"
        )
    x = converted_array(owner, "x", x, dtype)
    if not hasattr(y, "to_numpy"):
        y = any_array(owner, "y", y)
    if not (_takes_labels(loss) and isinstance(y, np.ndarray) and y.dtype.kind in "iub"):
        y = converted_array(owner, "y", y, dtype)
    elif not y.dtype.isnative:
        y = y.astype(y.dtype.newbyteorder("="))
    if sample_weight is not None:
        sample_weight = converted_array(owner, "sample_weight", sample_weight, dtype)
    if x.ndim == 0 or y.ndim == 0:
        raise ValueError(f"{owner}: x has shape {x.shape} and y {y.shape}, expected a first axis of rows")
    if len(x) == 0:
        raise ValueError(f"{owner}: x has no rows")
    if len(y) != len(x):
        raise ValueError(f"{owner}: x has {len(x)} rows but y has {len(y)}")
    if sample_weight is not None and sample_weight.shape != (len(x),):
        raise ValueError(f"{owner}: sample_weight has shape {sample_weight.shape}, expected ({len(x)},)")
    return Examples(x, y, sample_weight)


def examples_or_source(
    owner: str, x: Any, y: Any, sample_weight: Any = None, *, dtype: np.dtype[Any], loss: Any
) -> Examples:
    """Return `examples`, or what reads a source: also a mapped file that would be read whole to convert it."""
    if is_source(x):
        if y is not None or sample_weight is not None:
            raise TypeError(f"{owner}: a source has its own targets and weights, expected x alone")
        return _streamed(owner, x, dtype, loss)
    if y is None:
        raise TypeError(f"{owner}: y is missing; only a source, as open_source returns, brings its own")
    if isinstance(x, np.memmap) and not (x.dtype == dtype and x.flags.c_contiguous):
        arrays = [np.asarray(one) for one in (y, sample_weight) if one is not None]
        if x.ndim and len(x) and all(one.shape[:1] == x.shape[:1] for one in arrays):
            return _streamed(owner, ArraySource(x, *arrays), dtype, loss)
    return examples(owner, x, y, sample_weight, dtype=dtype, loss=loss)


def held_out_examples(owner: str, validation: Any, *, dtype: np.dtype[Any], loss: Any) -> Examples | None:
    """Return the rows of a ``validation`` argument: None, a source, ``(x, y)`` or ``(x, y, sample_weight)``."""
    if validation is None:
        return None
    if is_source(validation):
        return examples_or_source(owner, validation, None, dtype=dtype, loss=loss)
    if not isinstance(validation, (tuple, list)) or len(validation) not in (2, 3):
        raise TypeError(f"{owner} must be a tuple (x, y) or (x, y, sample_weight), or a source")
    return examples_or_source(owner, *validation, dtype=dtype, loss=loss)


def _streamed(owner: str, source: Source, dtype: np.dtype[Any], loss: Any) -> Examples:
    """Return what reads the arrays of a source, in the dtypes that arrays would be converted to."""
    if len(source) == 0:
        raise ValueError(f"{owner}: the source has no rows")
    names = ("x", "y", "sample_weight")
    fields = source.fields
    if len(fields) not in (2, 3):
        raise ValueError(
            f"{owner}: the source has {len(fields)} fields, expected x, y and perhaps sample_weight"
        )
    arrays: list[Any] = []
    for index, (name, field) in enumerate(zip(names, fields, strict=False)):
        if field.dtype.kind not in "fiub":
            raise TypeError(f"{owner}: {name} has dtype {field.dtype}, expected numbers")
        keeps = name == "y" and field.dtype.kind in "iub" and _takes_labels(loss)
        arrays.append(Rows(source, index, field.dtype.newbyteorder("=") if keeps else dtype))
    if len(fields) == 3 and fields[2].shape != ():
        raise ValueError(
            f"{owner}: sample_weight has {fields[2].shape} in each row, expected a single number"
        )
    return Examples(arrays[0], arrays[1], arrays[2] if len(arrays) == 3 else None)


def _takes_labels(loss: Any) -> bool:
    """Return whether integer targets are labels, which stay as they are."""
    return loss.takes_labels if isinstance(loss, Loss) else True
