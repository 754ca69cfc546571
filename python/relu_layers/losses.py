"""Losses: ``loss(y, target) -> (value, dy)``, and the rules on which loss a net gets and where training ends.

The arithmetic is in `relu_layers.ops`; a loss object holds the options, scores predictions, and knows what a batch
counts in the mean over an epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from relu_layers._support.arguments import choice, integer, real
from relu_layers._support.configured import Array, Configured, Ops
from relu_layers._support.targets import (
    Target,
    class_weights,
    columns_and_values,
    refuse_label,
    refuse_no_distribution,
    refuse_not_finite,
    refuse_other_shape,
    refuse_outside,
)
from relu_layers.layers import LogSoftmax, Sigmoid, Softmax

NORMALIZATIONS = ("valid", "full", "batch_size", "none")


class Loss(Configured):
    """Base of the built-in losses.

    Attributes
    ----------
    ops : namespace
        The functions that compute, `relu_layers.ops` unless set.
    metric_name : str or None
        What `accuracy` measures; None where there is no such measure (regression).
    normalization : str
        What the sum over all positions is divided by, one of ``NORMALIZATIONS``.
    ignore_label : int or None
        Positions with this target count neither in the loss nor in the accuracy.
    takes_labels : bool
        Whether integer targets are labels, which stay integers; else they are converted to the dtype of y.
    takes_columns : bool
        Whether a target may be ``(columns, values)``: one output of each row, and what it is compared with.
    """

    metric_name: str | None = None
    normalization: str = "full"
    ignore_label: int | None = None
    takes_labels: bool = False
    takes_columns: bool = False

    def use(self, namespace: Ops) -> None:
        """Compute with ``namespace`` from now on."""
        if self.__dict__.get("ops") is not namespace:
            self.ops = namespace

    def __call__(
        self, y: Array, target: Array, *, sample_weight: Array | None = None, out: Array | None = None
    ) -> tuple[float, Array]:
        """Return the loss and its gradient dy, of the shape of y."""
        raise NotImplementedError

    def _compute(
        self, op: Any, y: Array, target: Any, sample_weight: Array | None, out: Array | None, **options: Any
    ) -> tuple[float, Array]:
        """Return loss and gradient from an op, which gets the columns of the target where the loss takes them."""
        if self.takes_columns:
            options["columns"], target = columns_and_values(type(self).__name__, target)
        common = {"sample_weight": sample_weight, "normalization": self.normalization, "out": out}
        value, dy = op(y, target, **common, **options)
        return value, dy

    def accuracy(self, y: Array, target: Array, top_k: int = 1) -> float | None:
        """Return the fraction predicted right, or None for a loss that has no such measure."""
        return None

    def measure(
        self, y: Array, target: Array, sample_weight: Array | None = None, top_k: int = 1
    ) -> dict[str, float]:
        """Return ``{"loss": ...}``, with ``"accuracy"`` where there is such a measure; y may be overwritten."""
        accuracy = self.accuracy(y, target) if top_k == 1 else self.accuracy(y, target, top_k=top_k)
        result = {"loss": float(self(y, target, sample_weight=sample_weight, out=y)[0])}
        return result if accuracy is None else {**result, "accuracy": float(accuracy)}

    def check_shape(self, owner: str, outputs: tuple[int, ...], target: Array) -> None:
        """Raise a ValueError that says what to pass where targets do not fit outputs of a shape."""
        if tuple(target.shape) != outputs:
            refuse_other_shape(owner, outputs, target)

    def check_labels(self, owner: str, y: Array, parts: Iterable[tuple[int, Array]]) -> None:
        """Raise an error that names the first target that the loss cannot take: here one that is not finite.

        ``y`` are outputs, ``parts`` all targets in parts, each with the number of rows before it.
        """
        for before, target in parts:
            refuse_not_finite(owner, "y", target, before)

    # --- batches of an epoch ---

    def batch_share(self, rows: int, target: Array, sample_weight: Array | None = None) -> float:
        """Return what the mean of a batch divided by, up to a factor that all batches share; 1 for a sum."""
        if self.normalization != "valid":
            return 1.0 if self.normalization == "none" else float(rows)
        counted = self._position_weights(target)
        if counted is None:
            return float(rows) if sample_weight is None else float(sample_weight.sum())
        if sample_weight is not None:
            counted *= sample_weight.reshape(-1, *[1] * (counted.ndim - 1))
        return float(counted.sum())

    def shares_by_rows(self, weighted: bool) -> bool:
        """Return whether ``batch_share`` depends on the number of rows alone, with sample weights or without."""
        return self.normalization != "valid" or (self.ignore_label is None and not weighted)

    def _position_weights(self, target: Array) -> Array | None:
        """Return what each position counts in a mean, float64; None where all count the same."""
        return None if self.ignore_label is None else (target != self.ignore_label).astype(np.float64)

    def positions(self, target: Array) -> int:
        """Return how many positions the accuracy is of."""
        return (
            target.size if self.ignore_label is None else int(np.count_nonzero(target != self.ignore_label))
        )

    def counts_with_op(self, y: Array, target: Array) -> bool:
        """Return whether `count_right` counts what `accuracy` says for such arrays."""
        return False

    def count_right(self, y: Array, target: Array) -> int:
        """Return the number of right predictions, counted by one op, which a captured step can replay."""
        raise NotImplementedError


class FunctionLoss(Loss):
    """A callable as a loss: ``function(y, target) -> (value, dy)``, with ``sample_weight=`` if there are weights.

    Its attributes ``accuracy`` (called as `Loss.accuracy`) and ``ignore_label`` are used if it has them. Integer
    targets reach it as they are.
    """

    takes_labels = True

    def check_shape(self, owner: str, outputs: tuple[int, ...], target: Array) -> None:
        """Leave targets to the function."""

    def check_labels(self, owner: str, y: Array, parts: Iterable[tuple[int, Array]]) -> None:
        """Leave targets to the function."""

    def __init__(self, function: Callable[..., tuple[float, Array]]) -> None:
        self._function = function
        self._accuracy = getattr(function, "accuracy", None)

    @property
    def metric_name(self) -> str | None:  # type: ignore[override]
        """``"accuracy"`` if the function has one."""
        return None if self._accuracy is None else "accuracy"

    @property
    def ignore_label(self) -> int | None:  # type: ignore[override]
        """That of the function, or None."""
        return getattr(self._function, "ignore_label", None)

    def use(self, namespace: Ops) -> None:
        """Leave the function to compute as it likes."""

    def __call__(
        self, y: Array, target: Array, *, sample_weight: Array | None = None, out: Array | None = None
    ) -> tuple[float, Array]:
        """Return what the function returns; ``out`` is not used."""
        if sample_weight is None:
            return self._function(y, target)
        return self._function(y, target, sample_weight=sample_weight)

    def accuracy(self, y: Array, target: Array, top_k: int = 1) -> float | None:
        """Return what the function's ``accuracy`` returns; it gets ``top_k`` only where that is not 1."""
        if self._accuracy is None:
            return None
        ranked = {} if top_k == 1 else {"top_k": top_k}
        accuracy: float | None = self._accuracy(y, target, **ranked)
        return accuracy

    def __repr__(self) -> str:
        return repr(self._function)


class SoftmaxCrossEntropy(Loss):
    """Cross entropy of softmax(logits) and labels: Caffe's SoftmaxWithLoss without its clamp.

    Parameters
    ----------
    axis : int
        Axis of the classes in the logits.
    class_weight : sequence of float, mapping of int to float, or None
        One weight per class; a mapping names all classes from 0 on.
    label_smoothing : float
        Share of the target that is spread evenly over all classes, 0 <= label_smoothing <= 1.
    ignore_label : int or None
        Positions with this label count neither in the loss nor in the accuracy.
    normalization : {"valid", "full", "batch_size", "none"}
        What the weighted sum is divided by: positions not ignored (or the sum of their weights), all
        positions, the product of the dimensions before the class axis, or 1.

    Notes
    -----
    Labels are integers of the logits' shape without the class axis, or probabilities of the logits' shape and
    dtype.

    Examples
    --------
    >>> import numpy as np
    >>> import relu_layers as rl
    >>> loss, dlogits = rl.SoftmaxCrossEntropy()(np.array([[0.0, 0.0], [2.0, 2.0]]), np.array([0, 1]))
    >>> round(loss, 4)
    0.6931
    >>> dlogits
    array([[-0.25,  0.25],
           [ 0.25, -0.25]])
    """

    metric_name = "accuracy"
    takes_labels = True
    _configuration = ("_class_weight",)

    def __init__(
        self,
        *,
        axis: int = -1,
        class_weight: Sequence[float] | Mapping[int, float] | Array | None = None,
        label_smoothing: float = 0.0,
        ignore_label: int | None = None,
        normalization: str = "valid",
    ) -> None:
        owner = type(self).__name__
        self.axis = integer(owner, "axis", axis)
        self.class_weight = class_weight
        self.label_smoothing = real(owner, "label_smoothing", label_smoothing)
        if not 0.0 <= self.label_smoothing <= 1.0:
            raise ValueError(
                f"{owner}: label_smoothing is {self.label_smoothing}, expected 0 <= label_smoothing <= 1"
            )
        self.ignore_label = None if ignore_label is None else integer(owner, "ignore_label", ignore_label)
        self.normalization = choice(owner, "normalization", normalization, NORMALIZATIONS)

    @property
    def class_weight(self) -> list[float] | None:
        """One weight per class, or None."""
        return None if self._class_weight is None else self._class_weight.tolist()

    @class_weight.setter
    def class_weight(self, value: Sequence[float] | Mapping[int, float] | Array | None) -> None:
        self._weights: dict[np.dtype[Any], Array] = {}
        self._class_weight: Array | None = None
        if value is None:
            return
        weights = class_weights(type(self).__name__, value)
        if weights.ndim != 1 or not weights.size or not np.all(np.isfinite(weights)) or np.any(weights < 0):
            raise ValueError(
                f"{type(self).__name__}: class_weight is {value!r}, "
                "expected finite numbers >= 0, one per class"
            )
        self._class_weight = weights

    def __call__(
        self, y: Array, target: Array, *, sample_weight: Array | None = None, out: Array | None = None
    ) -> tuple[float, Array]:
        """Return the loss of logits ``y`` and dlogits.

        Parameters
        ----------
        y : ndarray, float32 or float64
            Logits, ``(batch, ..., classes, ...)`` with the classes at ``axis``.
        target : ndarray
            Integer labels of that shape without the class axis, or probabilities of the shape and dtype of y.
        sample_weight : ndarray (batch,), keyword
            Weights in the dtype of y.
        out : ndarray, keyword
            Takes dlogits; may be y itself.
        """
        value, dy = self._compute(
            self.ops.softmax_cross_entropy,
            *(y, target, sample_weight, out),
            axis=self.axis,
            class_weight=self._weight_for(y),
            label_smoothing=self.label_smoothing,
            ignore_label=self.ignore_label,
        )
        # The op has checked everything else: what is left are numbers that only this loss refuses.
        if getattr(target, "ndim", None) == y.ndim:
            refuse_no_distribution(type(self).__name__, "target", np.asarray(target), self.axis)
        return value, dy

    def _weight_for(self, y: Array) -> Array | None:
        """Return the class weights in the dtype of ``y``, converted once per dtype."""
        if self._class_weight is None:
            return None
        weights = self._weights.get(y.dtype)
        if weights is None:
            kind = y.dtype if y.dtype.kind == "f" else np.dtype(np.float64)
            weights = self._weights[y.dtype] = self._class_weight.astype(kind)
        return weights

    def accuracy(self, y: Array, target: Array, top_k: int = 1) -> float | None:
        """Return the fraction of positions whose label is among the ``top_k`` largest logits.

        Ignored labels are left out (NaN if nothing is left), probabilities count as their largest class,
        equal logits rank in class order (as np.argmax), and a position with NaN among its logits is wrong.
        """
        top_k = integer("accuracy", "top_k", top_k, minimum=1)
        scores = np.moveaxis(np.asarray(y), self.axis, -1)
        labels = np.asarray(target)
        if labels.dtype.kind == "f":
            labels = np.argmax(np.moveaxis(labels, self.axis, -1), axis=-1)
        if labels.shape != scores.shape[:-1]:
            raise ValueError(
                f"accuracy: labels of shape {labels.shape} do not fit logits of shape {np.shape(y)}"
            )
        counted = (
            np.ones(labels.shape, dtype=bool) if self.ignore_label is None else labels != self.ignore_label
        )
        scores, labels = scores[counted], labels[counted].astype(np.intp)
        if not labels.size:
            return float("nan")
        bad = (labels < 0) | (labels >= scores.shape[-1])
        if bad.any():
            first = labels[bad][0]
            raise IndexError(f"accuracy: label {first} is outside 0 .. {scores.shape[-1] - 1}")
        own = np.take_along_axis(scores, labels[:, None], axis=-1)
        before = np.arange(scores.shape[-1]) < labels[:, None]
        rank = np.sum((scores > own) | ((scores == own) & before), axis=-1)
        return float(np.mean((rank < top_k) & ~np.isnan(scores).any(axis=-1)))

    def check_shape(self, owner: str, outputs: tuple[int, ...], target: Array) -> None:
        """Raise a ValueError that says what to pass where targets do not fit outputs of a shape."""
        axis = self.axis % len(outputs)
        wanted = outputs if target.dtype.kind == "f" else outputs[:axis] + outputs[axis + 1 :]
        if tuple(target.shape) != wanted:
            refuse_other_shape(owner, outputs, target, class_axis=axis)

    def check_labels(self, owner: str, y: Array, parts: Iterable[tuple[int, Array]]) -> None:
        """Raise an IndexError that names the first label outside the classes of ``y``.

        Probabilities that are negative or do not add up to 1 are a ValueError.
        """
        classes = y.shape[self.axis]
        for before, labels in parts:
            if labels.dtype.kind == "f" and labels.ndim == y.ndim:
                refuse_no_distribution(owner, "y", labels, self.axis, before)
            if labels.dtype.kind not in "iu" or labels.ndim >= y.ndim:
                continue
            bad = (labels < 0) | (labels >= classes)
            if self.ignore_label is not None:
                bad &= labels != self.ignore_label
            if bad.any():
                refuse_label(owner, labels, bad, classes, before)

    def shares_by_rows(self, weighted: bool) -> bool:
        """Return whether ``batch_share`` depends on the number of rows alone, with sample weights or without."""
        return self.normalization != "valid" or (
            super().shares_by_rows(weighted) and self._class_weight is None
        )

    def _position_weights(self, target: Array) -> Array | None:
        if target.dtype.kind == "f":
            return None
        counted = super()._position_weights(target)
        if self._class_weight is None:
            return counted
        if counted is None:
            counted = np.ones(target.shape)
        weighted: Array = counted * np.take(self._class_weight, np.where(counted > 0, target, 0))
        return weighted

    def counts_with_op(self, y: Array, target: Array) -> bool:
        """Return whether there is one label for each row of logits, none of them ignored."""
        # A subclass may have an accuracy of its own.
        plain = type(self) is SoftmaxCrossEntropy and self.ignore_label is None and self.axis in (-1, 1)
        return plain and y.ndim == 2 and target.ndim == 1

    def count_right(self, y: Array, target: Array) -> int:
        """Return the number of rows whose largest logit is that of the label."""
        return int(self.ops.count_correct(y, target))


class SigmoidCrossEntropy(Loss):
    """Binary cross entropy of sigmoid(logits) and targets in [0, 1], elementwise and from the logits.

    Parameters
    ----------
    ignore_label : int or None
        Elements with this target count neither in the loss nor in the accuracy.
    normalization : {"batch_size", "valid", "full", "none"}
        What the weighted sum is divided by; ``batch_size`` is y.shape[0], as in Caffe.

    Examples
    --------
    >>> import numpy as np
    >>> import relu_layers as rl
    >>> loss, dlogits = rl.SigmoidCrossEntropy()(np.array([[0.0], [0.0]]), np.array([[1.0], [0.0]]))
    >>> round(loss, 4)
    0.6931
    >>> dlogits
    array([[-0.25],
           [ 0.25]])
    """

    metric_name = "accuracy"

    def __init__(self, *, ignore_label: int | None = None, normalization: str = "batch_size") -> None:
        owner = type(self).__name__
        self.ignore_label = None if ignore_label is None else integer(owner, "ignore_label", ignore_label)
        self.normalization = choice(owner, "normalization", normalization, NORMALIZATIONS)

    def __call__(
        self, y: Array, target: Array, *, sample_weight: Array | None = None, out: Array | None = None
    ) -> tuple[float, Array]:
        """Return the loss of logits ``y`` against ``target`` (shape and dtype of y, in 0 .. 1) and dlogits."""
        op, ignored = self.ops.sigmoid_cross_entropy, self.ignore_label
        value, dy = self._compute(op, y, target, sample_weight, out, ignore_label=ignored)
        refuse_outside(type(self).__name__, "target", np.asarray(target), ignored=ignored)
        return value, dy

    def check_labels(self, owner: str, y: Array, parts: Iterable[tuple[int, Array]]) -> None:
        """Raise a ValueError that names the first target outside 0 .. 1."""
        for before, target in parts:
            refuse_outside(owner, "y", target, before, self.ignore_label)

    def accuracy(self, y: Array, target: Array, top_k: int = 1) -> float | None:
        """Return the fraction with (logit > 0) == (target > 0.5); ignored ones left out, NaN is wrong."""
        logits, targets = np.asarray(y), np.asarray(target)
        if logits.shape != targets.shape:
            raise ValueError(
                f"accuracy: targets of shape {targets.shape} do not fit logits of shape {logits.shape}"
            )
        counted = (
            np.ones(logits.shape, dtype=bool) if self.ignore_label is None else targets != self.ignore_label
        )
        if not counted.any():
            return float("nan")
        right = ((logits > 0) == (targets > 0.5)) & ~np.isnan(logits)
        return float(np.mean(right[counted]))

    def counts_with_op(self, y: Array, target: Array) -> bool:
        """Return whether no target is ignored and there is one for each logit."""
        return type(self) is SigmoidCrossEntropy and self.ignore_label is None and y.shape == target.shape

    def count_right(self, y: Array, target: Array) -> int:
        """Return the number of logits on their target's side of 0."""
        return int(self.ops.count_agreeing(y, target))


class SquaredError(Loss):
    """``scale * sum(w * (prediction - target)**2) / n``.

    Caffe's EuclideanLoss is ``SquaredError(0.5, "batch_size")``.

    Parameters
    ----------
    scale : float
        Factor before the sum.
    normalization : {"full", "batch_size", "valid", "none"}
        n: all elements (the mean), y.shape[0], all elements (or the sum of weights), or 1 (the sum).

    Notes
    -----
    A target ``(columns, values)``, a tuple, compares one output of each row, ``y[i, columns[i]]`` with ``values[i]``;
    all elements are then the rows. `Trainer.step` takes such targets, as the losses themselves do.

    Examples
    --------
    >>> import numpy as np
    >>> import relu_layers as rl
    >>> loss, dprediction = rl.SquaredError()(np.array([[1.0], [5.0]]), np.array([[2.0], [2.0]]))
    >>> loss
    5.0
    >>> dprediction
    array([[-1.],
           [ 3.]])
    """

    takes_columns = True

    def __init__(self, scale: float = 1.0, normalization: str = "full") -> None:
        owner = type(self).__name__
        self.scale = real(owner, "scale", scale)
        self.normalization = choice(owner, "normalization", normalization, NORMALIZATIONS)

    def __call__(
        self, y: Array, target: Target, *, sample_weight: Array | None = None, out: Array | None = None
    ) -> tuple[float, Array]:
        """Return the loss of ``y`` against ``target`` and dy.

        Parameters
        ----------
        y : ndarray, float32 or float64
        target : ndarray or (ndarray, ndarray)
            Of the shape and dtype of y; or integers and numbers of that dtype, one of each for a row of
            ``y (batch, outputs)``. A column out of range is an IndexError.
        sample_weight : ndarray (batch,), keyword
            Weights in the dtype of y.
        out : ndarray, keyword
            Takes dy; may be y itself.
        """
        return self._compute(self.ops.squared_error, y, target, sample_weight, out, scale=self.scale)


class Huber(Loss):
    """Huber's loss (1964): ``sum(w * l) / n``, squares near the target and a gradient of at most ``delta`` beyond.

    With ``d = prediction - target`` it is ``l = d**2 / 2`` where ``abs(d) <= delta``, else
    ``delta * (abs(d) - delta / 2)``: PyTorch's HuberLoss, and with ``delta=1`` its SmoothL1Loss too.

    Parameters
    ----------
    delta : float
        Where the squares end, above 0.
    normalization : {"full", "batch_size", "valid", "none"}
        n, as in `SquaredError`.

    Notes
    -----
    A target may be ``(columns, values)``, as in `SquaredError`.
    """

    takes_columns = True

    def __init__(self, delta: float = 1.0, normalization: str = "full") -> None:
        owner = type(self).__name__
        self.delta = real(owner, "delta", delta)
        if self.delta <= 0.0:
            raise ValueError(f"{owner}: delta is {delta!r}, expected a number above 0")
        self.normalization = choice(owner, "normalization", normalization, NORMALIZATIONS)

    def __call__(
        self, y: Array, target: Target, *, sample_weight: Array | None = None, out: Array | None = None
    ) -> tuple[float, Array]:
        """Return the loss of ``y`` against ``target``, both as `SquaredError` takes them, and dy."""
        return self._compute(self.ops.huber, y, target, sample_weight, out, delta=self.delta)


# Those that a checkpoint rebuilds.
BUILT_IN: dict[str, type[Loss]] = {
    loss.__name__: loss for loss in (SoftmaxCrossEntropy, SigmoidCrossEntropy, SquaredError, Huber)
}


def training_depth(layers: Sequence[object], loss: object) -> int:
    """Return how many of ``layers`` training with ``loss`` runs through: all, or all but the last.

    SoftmaxCrossEntropy wants logits, so a final ``Softmax(axis=-1)`` is left out, and likewise a final
    ``Sigmoid`` with SigmoidCrossEntropy: the loss contains them, computed without loss of accuracy. A final
    Softmax on another axis than -1, or a loss on another axis than its Softmax, is a ValueError.
    """
    last = layers[-1] if layers else None
    if isinstance(loss, SoftmaxCrossEntropy) and isinstance(last, Softmax):
        if last.axis != -1 or loss.axis != -1:
            raise ValueError(
                f"a final {last!r} with {loss!r}: "
                "training on the logits before the softmax needs axis -1 in both"
            )
        return len(layers) - 1
    if isinstance(loss, SigmoidCrossEntropy) and isinstance(last, Sigmoid):
        return len(layers) - 1
    return len(layers)


def as_loss(loss: Any, namespace: Ops) -> Loss:
    """Return ``loss``, or a callable as a loss, set to compute with ``namespace``."""
    if not isinstance(loss, Loss):
        return FunctionLoss(loss)
    if loss.ops is not namespace:
        loss.use(namespace)
    return loss


def default_loss(model: Any, y: Any) -> Loss:
    """Return the loss that suits a model and its targets, for a caller who names none.

    After a final Softmax or LogSoftmax it is SoftmaxCrossEntropy, after a final Sigmoid SigmoidCrossEntropy, for
    targets that are labels SoftmaxCrossEntropy; else SquaredError(), and without targets SquaredError(0.5), half the
    squares of whatever stands for them. Labels are integers or booleans, one for each vector of outputs.

    Parameters
    ----------
    model : Sequential
    y : array_like or None
        The targets.
    """
    if y is None:
        return SquaredError(0.5)
    last = model.layers[-1]
    if isinstance(last, (Softmax, LogSoftmax)):
        return SoftmaxCrossEntropy()
    if isinstance(last, Sigmoid):
        return SigmoidCrossEntropy()
    target = np.asarray(y)
    if target.ndim == 0 or target.dtype.kind not in "iub":
        return SquaredError()
    sizes = (getattr(layer, "out_features", None) for layer in reversed(model.layers))
    outputs = next((size for size in sizes if size is not None), None)
    labels = target.ndim == 1 or target.shape[-1] != outputs
    return SoftmaxCrossEntropy() if labels else SquaredError()
