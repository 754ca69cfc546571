"""Caffe's six rules with its formulas, and AdamW: a class states its op, the names of its state and its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from relu_layers._support.arguments import boolean, fraction, real
from relu_layers.optimizers.base import Optimizer


class SGD(Optimizer):
    """``v = momentum * v + rate * g; w -= v``: the rate inside the velocity, as in Caffe.

    With ``nesterov=True``: ``w -= (1 + momentum) * v_new - momentum * v_old``.

    Examples
    --------
    >>> import numpy as np
    >>> import relu_layers as rl
    >>> optimizer = rl.SGD(rl.schedules.Step(0.1, gamma=0.5, every=1000), momentum=0.9, weight_decay=1e-4)
    >>> trainer = rl.Trainer(rl.mlp([2, 8, 2], rng=0), rl.SoftmaxCrossEntropy(), optimizer)
    >>> losses = [trainer.step(np.eye(2, dtype=np.float32), np.array([0, 1])) for _ in range(20)]
    >>> losses[-1] < losses[0]
    True
    """

    op = "sgd_update"
    slot_names = ("velocity",)
    settings = ("momentum", "nesterov", "regularization")

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


class AdaGrad(Optimizer):
    """``h += g**2; w -= rate * g / (sqrt(h) + epsilon)`` (Duchi et al. 2011)."""

    op = "adagrad_update"
    slot_names = ("square_sum",)
    settings = ("epsilon", "regularization")

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
        self.epsilon = real("AdaGrad", "epsilon", epsilon, minimum=0.0)


class RMSProp(Optimizer):
    """``h = rho * h + (1 - rho) * g**2; w -= rate * g / (sqrt(h) + epsilon)`` (Tieleman & Hinton 2012)."""

    op = "rmsprop_update"
    slot_names = ("square_mean",)
    settings = ("rho", "epsilon", "regularization")

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
        self.epsilon = real("RMSProp", "epsilon", epsilon, minimum=0.0)


class AdaDelta(Optimizer):
    """Zeiler 2012: ``u = g * sqrt((d + epsilon) / (h + epsilon)); w -= rate * u``.

    ``h`` and ``d`` are moving means of ``g**2`` and ``u**2`` with factor ``rho``.
    """

    op = "adadelta_update"
    slot_names = ("square_mean", "update_mean")
    settings = ("rho", "epsilon", "regularization")

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
        self.epsilon = real("AdaDelta", "epsilon", epsilon, minimum=0.0)


class Adam(Optimizer):
    """Kingma & Ba 2015: ``w -= rate * m_hat / (sqrt(v_hat) + epsilon)``, both means bias-corrected.

    ``epsilon_hat=True`` is the paper's other form, which Caffe uses: epsilon is added before the correction,
    ``w -= rate * sqrt(1 - beta2**t) / (1 - beta1**t) * m / (sqrt(v) + epsilon)``.

    Examples
    --------
    >>> import numpy as np
    >>> import relu_layers as rl
    >>> trainer = rl.Trainer(rl.mlp([2, 8, 2], rng=0), rl.SoftmaxCrossEntropy(), rl.Adam(0.01))
    >>> losses = [trainer.step(np.eye(2, dtype=np.float32), np.array([0, 1])) for _ in range(20)]
    >>> losses[-1] < losses[0]
    True
    """

    op = "adam_update"
    slot_names = ("mean", "square_mean")
    settings: ClassVar[tuple[str, ...]] = ("beta1", "beta2", "epsilon", "epsilon_hat", "regularization")

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
        self.epsilon = real(owner, "epsilon", epsilon, minimum=0.0)
        self.epsilon_hat = boolean(owner, "epsilon_hat", epsilon_hat)

    def _settings(self, missed: int = 0) -> dict[str, Any]:
        return super()._settings() | {"step": self.updates + 1 - missed}


class AdamW(Adam):
    """Adam with decoupled decay (Loshchilov & Hutter 2019): ``w *= 1 - rate * weight_decay`` comes first.

    Examples
    --------
    >>> import relu_layers as rl
    >>> rl.AdamW(rl.schedules.Cosine(0.003, total=2000), weight_decay=0.02)
    AdamW(Cosine(0.003, 2000), weight_decay=0.02)
    """

    op = "adamw_update"
    settings = ("beta1", "beta2", "epsilon", "epsilon_hat")

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
        moments = beta1, beta2, epsilon, epsilon_hat
        super().__init__(learning_rate, *moments, weight_decay=weight_decay, multipliers=multipliers)
