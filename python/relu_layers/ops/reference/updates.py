"""Optimizer updates in place, with the formulas of Caffe's solvers and AdamW.

param, grad and state are C-contiguous arrays of one dtype and shape, any shape: param and state change, grad not.
The gradient that counts is ``g = grad * grad_scale + weight_decay * param`` (l2), or with
``weight_decay * sign(param)`` instead (l1).
"""

from __future__ import annotations

import math
import operator

import numpy as np

from relu_layers.ops.reference.arrays import FloatArray, contiguous, output

__all__ = [
    "sgd_update",
    "adagrad_update",
    "rmsprop_update",
    "adadelta_update",
    "adam_update",
    "adamw_update",
]

_quiet = np.errstate(all="ignore")


def _arrays(op: str, param: FloatArray, grad: FloatArray, **state: FloatArray) -> None:
    """Check the arrays of an update before anything is written."""
    grad = contiguous(op, "grad", grad)
    written: list[FloatArray] = []
    for name, array in {"param": param, **state}.items():
        written.append(
            output(
                op,
                array if array is not None else (),
                grad.shape,
                grad.dtype,
                reads=[grad, *written],
                name=name,
            )
        )


def _effective(
    op: str, param: FloatArray, grad: FloatArray, weight_decay: float, regularization: str, grad_scale: float
) -> FloatArray:
    if regularization not in ("l2", "l1"):
        raise ValueError(f"{op}: regularization is {regularization!r}, expected 'l2' or 'l1'")
    return grad * grad_scale + weight_decay * (param if regularization == "l2" else np.sign(param))


@_quiet
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
    _arrays("sgd_update", param, grad, velocity=velocity)
    g = _effective("sgd_update", param, grad, weight_decay, regularization, grad_scale)
    old = velocity.copy()
    velocity[...] = momentum * old + learning_rate * g
    param -= (1 + momentum) * velocity - momentum * old if nesterov else velocity


@_quiet
def adagrad_update(
    param: FloatArray,
    grad: FloatArray,
    square_sum: FloatArray,
    *,
    learning_rate: float,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    regularization: str = "l2",
    grad_scale: float = 1.0,
) -> None:
    """AdaGrad: ``h += g * g; w -= rate * g / (sqrt(h) + epsilon)``."""
    _arrays("adagrad_update", param, grad, square_sum=square_sum)
    g = _effective("adagrad_update", param, grad, weight_decay, regularization, grad_scale)
    square_sum += g * g
    param -= learning_rate * g / (np.sqrt(square_sum) + epsilon)


@_quiet
def rmsprop_update(
    param: FloatArray,
    grad: FloatArray,
    square_mean: FloatArray,
    *,
    learning_rate: float,
    rho: float = 0.99,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    regularization: str = "l2",
    grad_scale: float = 1.0,
) -> None:
    """RMSProp: ``h = rho * h + (1 - rho) * g * g; w -= rate * g / (sqrt(h) + epsilon)``."""
    _arrays("rmsprop_update", param, grad, square_mean=square_mean)
    g = _effective("rmsprop_update", param, grad, weight_decay, regularization, grad_scale)
    square_mean[...] = rho * square_mean + (1 - rho) * (g * g)
    param -= learning_rate * g / (np.sqrt(square_mean) + epsilon)


@_quiet
def adadelta_update(
    param: FloatArray,
    grad: FloatArray,
    square_mean: FloatArray,
    update_mean: FloatArray,
    *,
    learning_rate: float = 1.0,
    rho: float = 0.95,
    epsilon: float = 1e-6,
    weight_decay: float = 0.0,
    regularization: str = "l2",
    grad_scale: float = 1.0,
) -> None:
    """AdaDelta: ``h = rho * h + (1 - rho) * g * g; u = g * sqrt((d + epsilon) / (h + epsilon));
    d = rho * d + (1 - rho) * u * u; w -= rate * u``."""
    _arrays("adadelta_update", param, grad, square_mean=square_mean, update_mean=update_mean)
    g = _effective("adadelta_update", param, grad, weight_decay, regularization, grad_scale)
    square_mean[...] = rho * square_mean + (1 - rho) * (g * g)
    u = g * np.sqrt((update_mean + epsilon) / (square_mean + epsilon))
    update_mean[...] = rho * update_mean + (1 - rho) * (u * u)
    param -= learning_rate * u


def _adam_step(
    op: str,
    param: FloatArray,
    g: FloatArray,
    mean: FloatArray,
    square_mean: FloatArray,
    learning_rate: float,
    step: int,
    beta1: float,
    beta2: float,
    epsilon: float,
    epsilon_hat: bool,
) -> None:
    mean[...] = beta1 * mean + (1 - beta1) * g
    square_mean[...] = beta2 * square_mean + (1 - beta2) * (g * g)
    correction1, correction2 = 1 - beta1**step, 1 - beta2**step
    if epsilon_hat:
        param -= (
            learning_rate * math.sqrt(correction2) / correction1 * mean / (np.sqrt(square_mean) + epsilon)
        )
    else:
        param -= learning_rate / correction1 * mean / (np.sqrt(square_mean / correction2) + epsilon)


def _check_step(op: str, step: int) -> int:
    step = operator.index(step)
    if step < 1:
        raise ValueError(f"{op}: step is {step}, expected >= 1 (the first update is step 1)")
    return step


@_quiet
def adam_update(
    param: FloatArray,
    grad: FloatArray,
    mean: FloatArray,
    square_mean: FloatArray,
    *,
    learning_rate: float = 1e-3,
    step: int,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
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
    step = _check_step("adam_update", step)
    _arrays("adam_update", param, grad, mean=mean, square_mean=square_mean)
    g = _effective("adam_update", param, grad, weight_decay, regularization, grad_scale)
    _adam_step(
        "adam_update", param, g, mean, square_mean, learning_rate, step, beta1, beta2, epsilon, epsilon_hat
    )


@_quiet
def adamw_update(
    param: FloatArray,
    grad: FloatArray,
    mean: FloatArray,
    square_mean: FloatArray,
    *,
    learning_rate: float = 1e-3,
    step: int,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    epsilon_hat: bool = False,
    weight_decay: float = 0.01,
    grad_scale: float = 1.0,
) -> None:
    """AdamW (Loshchilov and Hutter, 2019): first ``w *= 1 - rate * weight_decay``, then as `adam_update`."""
    step = _check_step("adamw_update", step)
    _arrays("adamw_update", param, grad, mean=mean, square_mean=square_mean)
    param *= 1 - learning_rate * weight_decay
    _adam_step(
        "adamw_update",
        param,
        grad * grad_scale,
        mean,
        square_mean,
        learning_rate,
        step,
        beta1,
        beta2,
        epsilon,
        epsilon_hat,
    )
