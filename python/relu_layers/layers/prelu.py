"""PReLU: ReLU whose negative slopes are learned."""

from __future__ import annotations

from typing import Any

import numpy as np

from relu_layers import initializers
from relu_layers._support.arguments import integer
from relu_layers._support.configured import Array
from relu_layers.initializers import InitializerLike
from relu_layers.layers.base import Parameter, ParameterLayer


class PReLU(ParameterLayer):
    """``y = x if x > 0 else slope * x`` with one learned slope per feature, or one for all.

    Backward: ``dx = dy if x > 0 else slope * dy``; ``dslope`` sums ``x * dy`` over all x <= 0 that the slope
    serves.

    Parameters
    ----------
    features : int
        Size of the last axis of x; 1 shares one slope.
    slope_init : str, float or callable, keyword
        Initial slopes, 0.25 as in He et al. 2015 and Caffe.

    Attributes
    ----------
    params, grads : mapping
        ``"slope"`` (features,).
    """

    def __init__(self, features: int, *, slope_init: InitializerLike = 0.25) -> None:
        super().__init__()
        self.features = integer("PReLU", "features", features, minimum=1)
        self.slope_init = initializers.get(slope_init, owner="PReLU", name="slope_init")
        self.in_features = self.features if self.features > 1 else None

    def parameters(self) -> dict[str, Parameter]:
        """Return the slopes."""
        return {"slope": Parameter((self.features,), self.slope_init, self.features, self.features)}

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, the initializer by name."""
        return super().config() | {"slope_init": initializers.describe(self.slope_init)}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return ``input_shape``, whose last axis must be ``features`` unless one slope is shared."""
        if self.features > 1 and (not input_shape or input_shape[-1] != self.features):
            raise ValueError(f"PReLU: x has shape {input_shape}, expected {self.features} as its last axis")
        return input_shape

    def forward(self, x: Array, training: bool = False, *, out: Array | None = None) -> Array:
        """Return y of the shape of x."""
        values = self._values or self._values_for(x)
        y: Array = self.ops.prelu_forward(x, values["slope"], out=out)
        self._saved = x if training else None
        return y

    def backward(
        self,
        dy: Array,
        *,
        need_dx: bool = True,
        need_gradients: bool = True,
        accumulate: bool = False,
        out: Array | None = None,
    ) -> Array:
        """Fill the gradient of the slopes, or add to it, and return dx (None with ``need_dx=False``).

        Without ``need_gradients`` that of the slopes is left alone.
        """
        x, grad = self._kept(), self._gradients["slope"]
        if need_dx and out is None:
            out = np.empty(x.shape, dtype=x.dtype)
        own = grad if need_gradients and not accumulate else np.empty_like(grad)
        target = out if need_dx else None, own
        dx: Array = self.ops.prelu_backward(x, self._values["slope"], dy, need_dx=need_dx, out=target)[0]
        if accumulate and need_gradients:
            self.ops.accumulate(grad, own)
        self._saved = None
        return dx
