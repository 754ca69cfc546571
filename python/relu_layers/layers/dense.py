"""Dense: y = x @ weight + bias."""

from __future__ import annotations

from typing import Any

import numpy as np

from relu_layers import initializers
from relu_layers._support.arguments import boolean, integer
from relu_layers._support.configured import Array
from relu_layers.initializers import InitializerLike
from relu_layers.layers.base import Parameter, ParameterLayer


class Dense(ParameterLayer):
    """Fully connected layer, Caffe's InnerProduct: ``y = x @ weight + bias``.

    Backward: ``dx = dy @ weight.T``, ``dweight = x.T @ dy``, ``dbias = dy.sum(axis=0)``.

    Parameters
    ----------
    in_features, out_features : int
        Columns of x and of y.
    bias : bool, keyword
        Whether there is a bias.
    weight_init, bias_init : str, float or callable, keyword
        Initial values: a name from `relu_layers.initializers`, a constant, or ``init(shape, fan_in, fan_out,
        rng, dtype)``.

    Attributes
    ----------
    params, grads : mapping
        ``"weight"`` (in_features, out_features) and, with bias, ``"bias"`` (out_features,).

    Examples
    --------
    >>> import numpy as np
    >>> import relu_layers as rl
    >>> layer = rl.Dense(2, 3)
    >>> model = rl.Sequential(layer, dtype=np.float64)
    >>> layer.params["weight"][:] = [[1, 0, 2], [0, 1, 2]]
    >>> model(np.array([[3.0, 4.0]]))
    array([[ 3.,  4., 14.]])
    """

    fuses_relu = True

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        weight_init: InitializerLike = "he_normal",
        bias_init: InitializerLike = "zeros",
    ) -> None:
        super().__init__()
        self.in_features: int = integer("Dense", "in_features", in_features, minimum=1)
        self.out_features: int = integer("Dense", "out_features", out_features, minimum=1)
        self.bias = boolean("Dense", "bias", bias)
        self.weight_init = initializers.get(weight_init, owner="Dense", name="weight_init")
        self.bias_init = initializers.get(bias_init, owner="Dense", name="bias_init")
        self._unused_dbias: Array | None = None

    def parameters(self) -> dict[str, Parameter]:
        """Return weight and bias; the fans of the stored (in, out) weight serve both."""
        fans = self.in_features, self.out_features
        result = {"weight": Parameter(fans, self.weight_init, *fans)}
        if self.bias:
            result["bias"] = Parameter((self.out_features,), self.bias_init, *fans)
        return result

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, initializers by name."""
        weight_init, bias_init = map(initializers.describe, (self.weight_init, self.bias_init))
        return super().config() | {"weight_init": weight_init, "bias_init": bias_init}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return ``(batch, ..., out_features)`` for ``(batch, ..., in_features)``."""
        if len(input_shape) < 2 or input_shape[-1] != self.in_features:
            hint = "; for one row pass x[None, :]" if len(input_shape) == 1 else ""
            raise ValueError(f"Dense: x has shape {input_shape}, expected (batch, {self.in_features}){hint}")
        return *input_shape[:-1], self.out_features

    def forward(
        self,
        x: Array,
        training: bool = False,
        *,
        negative_slope: float | None = None,
        out: Array | None = None,
    ) -> Array:
        """Return x @ weight + bias, through a ReLU if given its slope; all axes but the last are the batch."""
        if out is None:
            self.output_shape(np.shape(x))
        values = self._values or self._values_for(x)
        fused = {} if negative_slope is None else {"negative_slope": negative_slope}
        y: Array = self.ops.dense_forward(x, values["weight"], values.get("bias"), out=out, **fused)
        self._saved = x if training else None
        return y

    def backward(
        self,
        dy: Array,
        *,
        need_dx: bool = True,
        need_gradients: bool = True,
        accumulate: bool = False,
        negative_slope: float | None = None,
        out: Array | None = None,
    ) -> Array:
        """Fill the gradients of weight and bias and return dx (None with ``need_dx=False``).

        With ``accumulate`` they are added to what is there; without ``need_gradients`` they are left alone, and their
        product is not computed.

        With a slope (at least 0), x came out of a ReLU of that slope, and dx is the gradient of what went in.
        """
        x, grads = self._saved, self._gradients
        if x is None:
            raise self._not_after_forward()
        if need_dx and out is None:
            out = np.empty(x.shape, dtype=x.dtype)
        if not need_gradients:
            return self._backward_to_x(x, dy, negative_slope, out)
        dbias = grads.get("bias")
        if dbias is None:
            dbias = self._scratch_dbias(x.dtype)
        weight = self._values["weight"]
        target = out if need_dx else None, grads["weight"], dbias
        # Named where they are used only: an ops namespace of one's own need not know them.
        options: dict[str, Any] = {"accumulate": True} if accumulate else {}
        if negative_slope is not None:
            options["negative_slope"] = negative_slope
        dx: Array = self.ops.dense_backward(x, weight, dy, need_dx=need_dx, out=target, **options)[0]
        self._saved = None
        return dx

    def _backward_to_x(self, x: Array, dy: Array, slope: float | None, out: Array | None) -> Array:
        """Return dx alone, the same bits as those of the whole backward."""
        dx: Array = self.ops.matmul(dy, self._values["weight"], transpose_b=True, out=out)
        if slope is not None:
            self.ops.relu_backward(x, dx, slope, out=dx)
        self._saved = None
        return dx

    def _scratch_dbias(self, dtype: np.dtype[Any]) -> Array:
        """Return an array for the bias gradient, which the op computes and a layer without bias ignores."""
        if self._unused_dbias is None or self._unused_dbias.dtype != dtype:
            self._unused_dbias = np.empty(self.out_features, dtype=dtype)
        return self._unused_dbias
