"""What a model answers: outputs, predictions, probabilities."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from relu_layers._core import UsageGuard
from relu_layers._engine.captures import InferenceCaptures
from relu_layers._engine.passes import Passes
from relu_layers._engine.row_blocks import rows_at_once
from relu_layers._support.arguments import converted_array, strict_array
from relu_layers._support.arrays import empty
from relu_layers._support.configured import Array, Ops
from relu_layers.layers import LogSoftmax, Sigmoid, Softmax


class Inference:
    """Base of what runs layers without training them; a subclass sets the attributes below."""

    dtype: np.dtype[Any]
    preprocessing: Any
    predicts: str | None
    ops: Ops
    _passes: Passes
    _guard: UsageGuard
    _captures: InferenceCaptures
    # How messages name it.
    _NAME: ClassVar[str] = "Sequential"

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Return y for a batch x: inference, callable from many threads at once.

        Parameters
        ----------
        x : ndarray (batch, features), of the model's dtype
            Not converted: another dtype is a TypeError that prints the conversion (`predict` converts).
        out : ndarray, optional
            Takes y: exact shape and dtype, C-contiguous. Otherwise y is a new array on every call.
        """
        y = self._captures.infer(x, out)
        return self._infer_in_layers(x, out) if y is None else y

    def _infer_in_layers(self, x: Array, out: Array | None) -> Array:
        """Do what `__call__` says by running the layers."""
        if type(x) is not np.ndarray or x.dtype != self.dtype:
            x = strict_array(self._NAME, "x", x, self.dtype)
        self._guard.begin_inference()
        try:
            rows, shape = rows_at_once(self._passes, x, out)
            if shape:
                y = empty(shape, self.dtype) if out is None else out
                for start in range(0, len(x), rows):
                    self(x[start : start + rows], y[start : start + rows])
            else:
                y = self._passes.infer(x, out)
                self._captures.consider(x, y)
        finally:
            self._guard.end_inference()
        return y

    def predict(self, x: Any) -> Array:
        """Return predictions for x, which is converted to the model's dtype once where it differs.

        Returns
        -------
        ndarray
            After training with a loss of numbers, such as SquaredError, y itself. Else by the last layer: after a
            Sigmoid 0 or 1 for each output (y > 0.5), of y's shape; with two or more outputs the index of the
            largest along the class axis (that of Softmax or LogSoftmax, else the last); with one output y itself.

        Warns
        -----
        UserWarning
            The model has a preprocessing, and x looks as if it had not been through it.

        Examples
        --------
        >>> import numpy as np
        >>> import relu_layers as rl
        >>> x, y = rl.data.two_moons(200, rng=0)
        >>> model = rl.mlp([2, 16, 2], rng=0)
        >>> _ = rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.Adam(0.02)).fit(x, y, epochs=40)
        >>> model.predict([[0.0, 1.0], [1.0, -0.5]])
        array([0, 1])
        """
        given = self._converted(x)
        if self.preprocessing is not None:
            from relu_layers.preprocessing.predicting import warn_of_unscaled

            warn_of_unscaled(self, given)
        y = self(given)
        last = self._last_layer()
        if self.predicts == "numbers":
            return y
        if isinstance(last, Sigmoid):
            return (y > 0.5).astype(np.intp)
        if isinstance(last, (Softmax, LogSoftmax)):
            return np.asarray(np.argmax(y, axis=last.axis))
        return y if y.ndim == 0 or y.shape[-1] < 2 else np.asarray(np.argmax(y, axis=-1))

    def predict_table(self, table: Any, *, unknown: str = "error") -> Array:
        """Return a prediction for each row of a table, through the preprocessing that came with the model.

        Parameters
        ----------
        table : frame, mapping of columns, list of dicts, or array_like (rows, columns)
            As the file that the model was trained on: numbers in their units, categories as text. Columns are found
            by name, those of an array by their place.
        unknown : {"error", "zero"}, keyword
            What a category means that was not in training.

        Returns
        -------
        ndarray (rows,)
            The class, or the number in the unit of the target.

        Raises
        ------
        ValueError
            The model has no preprocessing, or the table does not fit it.
        """
        from relu_layers.preprocessing.predicting import predict_table

        return predict_table(self, table, unknown)

    def predict_proba(self, x: Any) -> Array:
        """Return probabilities for x, which is converted to the model's dtype once where it differs.

        The outputs of a final Softmax or Sigmoid are probabilities already; otherwise softmax over the last
        axis (that of a LogSoftmax), or for one output its sigmoid, the probability of class 1. Shape and dtype
        are those of y.
        """
        y = self(self._converted(x))
        last = self._last_layer()
        if isinstance(last, (Sigmoid, Softmax)):
            return y
        if isinstance(last, LogSoftmax):
            return np.asarray(self.ops.softmax_forward(y, last.axis, out=y))
        if y.ndim and y.shape[-1] == 1:
            return np.asarray(self.ops.sigmoid_forward(y, out=y))
        return np.asarray(self.ops.softmax_forward(y, -1, out=y))

    def _last_layer(self) -> Any:
        """Return the last layer that does something at inference, None if there is none."""
        steps = self._passes.inference_steps
        return self._passes.layers[steps[-1]] if steps else None

    def _converted(self, x: Any) -> Array:
        """Return x as an array of the model's dtype."""
        return converted_array(self._NAME, "x", x, self.dtype)
