"""Optimizers: Caffe's six with its formulas, and AdamW. The arithmetic is in ``ops.*_update``.

An optimizer is bound to one model; it keeps its state in flat arrays that run parallel to
``model.flat_params``, and calls one op per stretch of parameters with equal multipliers: one call for the
whole model where there are none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relu_layers._optimizer import Optimizer, at_least_zero, fraction
from relu_layers._support.arguments import boolean
from relu_layers._support.configured import Array

__all__ = ["SGD", "AdaDelta", "AdaGrad", "Adam", "AdamW", "Optimizer", "RMSProp"]


class SGD(Optimizer):
    """``v = momentum * v + rate * g; w -= v``: the rate inside the velocity, as in Caffe.

    With ``nesterov=True``: ``w -= (1 + momentum) * v_new - momentum * v_old``.
    """

    slot_names = ("velocity",)

    def __init__(
        self,
        learning_rate: Any,
        momentum: float = 0.0,
        nesterov: bool = False,
        *,
        weight_decay: float = 0.0,
        regularization: str = "l2",
        multipliers: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, regularization, multipliers)
        self.momentum = fraction("SGD", "momentum", momentum)
        self.nesterov = boolean("SGD", "nesterov", nesterov)

    def _apply(self, param: Array, grad: Array, slots: tuple[Array, ...], **common: float) -> None:
        self._model.ops.sgd_update(
            param,
            grad,
            *slots,
            momentum=self.momentum,
            nesterov=self.nesterov,
            regularization=self.regularization,
            **common,
        )


class AdaGrad(Optimizer):
    """``h += g**2; w -= rate * g / (sqrt(h) + epsilon)`` (Duchi et al. 2011)."""

    slot_names = ("square_sum",)

    def __init__(
        self,
        learning_rate: Any,
        epsilon: float = 1e-8,
        *,
        weight_decay: float = 0.0,
        regularization: str = "l2",
        multipliers: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, regularization, multipliers)
        self.epsilon = at_least_zero("AdaGrad", "epsilon", epsilon)

    def _apply(self, param: Array, grad: Array, slots: tuple[Array, ...], **common: float) -> None:
        self._model.ops.adagrad_update(
            param, grad, *slots, epsilon=self.epsilon, regularization=self.regularization, **common
        )


class RMSProp(Optimizer):
    """``h = rho * h + (1 - rho) * g**2; w -= rate * g / (sqrt(h) + epsilon)`` (Tieleman & Hinton 2012)."""

    slot_names = ("square_mean",)

    def __init__(
        self,
        learning_rate: Any,
        rho: float = 0.99,
        epsilon: float = 1e-8,
        *,
        weight_decay: float = 0.0,
        regularization: str = "l2",
        multipliers: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, regularization, multipliers)
        self.rho = fraction("RMSProp", "rho", rho)
        self.epsilon = at_least_zero("RMSProp", "epsilon", epsilon)

    def _apply(self, param: Array, grad: Array, slots: tuple[Array, ...], **common: float) -> None:
        self._model.ops.rmsprop_update(
            param,
            grad,
            *slots,
            rho=self.rho,
            epsilon=self.epsilon,
            regularization=self.regularization,
            **common,
        )


class AdaDelta(Optimizer):
    """Zeiler 2012: ``u = g * sqrt((d + epsilon) / (h + epsilon)); w -= rate * u``.

    ``h`` and ``d`` are moving means of ``g**2`` and ``u**2`` with factor ``rho``.
    """

    slot_names = ("square_mean", "update_mean")

    def __init__(
        self,
        learning_rate: Any = 1.0,
        rho: float = 0.95,
        epsilon: float = 1e-6,
        *,
        weight_decay: float = 0.0,
        regularization: str = "l2",
        multipliers: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, regularization, multipliers)
        self.rho = fraction("AdaDelta", "rho", rho)
        self.epsilon = at_least_zero("AdaDelta", "epsilon", epsilon)

    def _apply(self, param: Array, grad: Array, slots: tuple[Array, ...], **common: float) -> None:
        self._model.ops.adadelta_update(
            param,
            grad,
            *slots,
            rho=self.rho,
            epsilon=self.epsilon,
            regularization=self.regularization,
            **common,
        )


class Adam(Optimizer):
    """Kingma & Ba 2015: ``w -= rate * m_hat / (sqrt(v_hat) + epsilon)``, both means bias-corrected.

    ``epsilon_hat=True`` is the paper's other form, which Caffe uses: epsilon is added before the correction,
    ``w -= rate * sqrt(1 - beta2**t) / (1 - beta1**t) * m / (sqrt(v) + epsilon)``.
    """

    slot_names = ("mean", "square_mean")

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        epsilon_hat: bool = False,
        *,
        weight_decay: float = 0.0,
        regularization: str = "l2",
        multipliers: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, regularization, multipliers)
        owner = type(self).__name__
        self.beta1 = fraction(owner, "beta1", beta1)
        self.beta2 = fraction(owner, "beta2", beta2)
        self.epsilon = at_least_zero(owner, "epsilon", epsilon)
        self.epsilon_hat = boolean(owner, "epsilon_hat", epsilon_hat)

    def _settings(self) -> dict[str, Any]:
        """Return what both forms of the op take."""
        return {
            "step": self.updates + 1,
            "beta1": self.beta1,
            "beta2": self.beta2,
            "epsilon": self.epsilon,
            "epsilon_hat": self.epsilon_hat,
        }

    def _apply(self, param: Array, grad: Array, slots: tuple[Array, ...], **common: float) -> None:
        self._model.ops.adam_update(
            param, grad, *slots, regularization=self.regularization, **self._settings(), **common
        )


class AdamW(Adam):
    """Adam with decoupled decay (Loshchilov & Hutter 2019): ``w *= 1 - rate * weight_decay`` comes first."""

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        epsilon_hat: bool = False,
        *,
        weight_decay: float = 0.01,
        multipliers: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        super().__init__(
            learning_rate,
            beta1,
            beta2,
            epsilon,
            epsilon_hat,
            weight_decay=weight_decay,
            multipliers=multipliers,
        )

    def _apply(self, param: Array, grad: Array, slots: tuple[Array, ...], **common: float) -> None:
        self._model.ops.adamw_update(param, grad, *slots, **self._settings(), **common)


BUILT_IN: dict[str, type[Optimizer]] = {
    optimizer.__name__: optimizer for optimizer in (SGD, AdaGrad, RMSProp, AdaDelta, Adam, AdamW)
}
