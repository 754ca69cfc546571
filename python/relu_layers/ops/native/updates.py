"""Optimizer updates in place, Caffe's and AdamW; `native` says what holds for all ops."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from relu_layers import _core

FloatArray = NDArray[Any]


def sgd_update(
    param: FloatArray,
    grad: FloatArray,
    velocity: FloatArray,
    *,
    learning_rate: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    regularization: str = "l2",
    grad_scale: float = 1.0,
) -> None:
    """Gradient descent: ``v = momentum * v + rate * g; w -= v``.

    Nesterov: ``w -= (1 + momentum) * v_new - momentum * v_old``.

    The rate is inside the velocity, as in Caffe, so a change of rate does not rescale what is already moving.
    """
    _core.sgd_update(
        param, grad, velocity, learning_rate, momentum, nesterov, weight_decay, regularization, grad_scale
    )


def adagrad_update(
    param: FloatArray,
    grad: FloatArray,
    square_sum: FloatArray,
    *,
    learning_rate: float,
    epsilon: float = 1e-08,
    weight_decay: float = 0.0,
    regularization: str = "l2",
    grad_scale: float = 1.0,
) -> None:
    """AdaGrad: ``h += g * g; w -= rate * g / (sqrt(h) + epsilon)``."""
    _core.adagrad_update(
        param, grad, square_sum, learning_rate, epsilon, weight_decay, regularization, grad_scale
    )


def rmsprop_update(
    param: FloatArray,
    grad: FloatArray,
    square_mean: FloatArray,
    *,
    learning_rate: float,
    rho: float = 0.99,
    epsilon: float = 1e-08,
    weight_decay: float = 0.0,
    regularization: str = "l2",
    grad_scale: float = 1.0,
) -> None:
    """RMSProp: ``h = rho * h + (1 - rho) * g * g; w -= rate * g / (sqrt(h) + epsilon)``."""
    _core.rmsprop_update(
        param, grad, square_mean, learning_rate, rho, epsilon, weight_decay, regularization, grad_scale
    )


def adadelta_update(
    param: FloatArray,
    grad: FloatArray,
    square_mean: FloatArray,
    update_mean: FloatArray,
    *,
    learning_rate: float = 1.0,
    rho: float = 0.95,
    epsilon: float = 1e-06,
    weight_decay: float = 0.0,
    regularization: str = "l2",
    grad_scale: float = 1.0,
) -> None:
    """AdaDelta: ``h = rho * h + (1 - rho) * g * g; u = g * sqrt((d + epsilon) / (h + epsilon));
    d = rho * d + (1 - rho) * u * u; w -= rate * u``."""
    _core.adadelta_update(
        param,
        grad,
        square_mean,
        update_mean,
        learning_rate,
        rho,
        epsilon,
        weight_decay,
        regularization,
        grad_scale,
    )


def adam_update(
    param: FloatArray,
    grad: FloatArray,
    mean: FloatArray,
    square_mean: FloatArray,
    *,
    learning_rate: float = 0.001,
    step: int,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-08,
    epsilon_hat: bool = False,
    weight_decay: float = 0.0,
    regularization: str = "l2",
    grad_scale: float = 1.0,
) -> None:
    """Adam (Kingma and Ba, 2015): moving means m of g and v of g * g, corrected for their start at 0.

    ``w -= rate * (m / (1 - beta1**step)) / (sqrt(v / (1 - beta2**step)) + epsilon)``; with ``epsilon_hat``
    the paper's other form, which Caffe uses:
    ``w -= rate * sqrt(1 - beta2**step) / (1 - beta1**step) * m / (sqrt(v) + epsilon)``.
    `step` counts from 1.
    """
    _core.adam_update(
        param,
        grad,
        mean,
        square_mean,
        learning_rate,
        step,
        beta1,
        beta2,
        epsilon,
        epsilon_hat,
        weight_decay,
        regularization,
        grad_scale,
    )


def adamw_update(
    param: FloatArray,
    grad: FloatArray,
    mean: FloatArray,
    square_mean: FloatArray,
    *,
    learning_rate: float = 0.001,
    step: int,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-08,
    epsilon_hat: bool = False,
    weight_decay: float = 0.01,
    grad_scale: float = 1.0,
) -> None:
    """AdamW (Loshchilov and Hutter, 2019): first ``w *= 1 - rate * weight_decay``, then as `adam_update`."""
    _core.adamw_update(
        param,
        grad,
        mean,
        square_mean,
        learning_rate,
        step,
        beta1,
        beta2,
        epsilon,
        epsilon_hat,
        weight_decay,
        grad_scale,
    )
