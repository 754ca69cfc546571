"""The compiled extension: what `ops.native` and `runtime` call; arguments are checked inside."""

from typing import Any

from numpy.typing import NDArray

version: str
compiler: str

def accumulate(total: object, grad: object) -> None: ...
def adadelta_update(
    param: object,
    grad: object,
    square_mean: object,
    update_mean: object,
    learning_rate: object,
    rho: object,
    epsilon: object,
    weight_decay: object,
    regularization: object,
    grad_scale: object,
) -> None: ...
def adagrad_update(
    param: object,
    grad: object,
    square_sum: object,
    learning_rate: object,
    epsilon: object,
    weight_decay: object,
    regularization: object,
    grad_scale: object,
) -> None: ...
def adam_update(
    param: object,
    grad: object,
    mean: object,
    square_mean: object,
    learning_rate: object,
    step: object,
    beta1: object,
    beta2: object,
    epsilon: object,
    epsilon_hat: object,
    weight_decay: object,
    regularization: object,
    grad_scale: object,
) -> None: ...
def adamw_update(
    param: object,
    grad: object,
    mean: object,
    square_mean: object,
    learning_rate: object,
    step: object,
    beta1: object,
    beta2: object,
    epsilon: object,
    epsilon_hat: object,
    weight_decay: object,
    grad_scale: object,
) -> None: ...
def compiled_targets() -> list[str]: ...
def default_num_threads() -> int: ...
def dense_backward(
    x: object,
    weight: object,
    dy: object,
    need_dx: object,
    out_dx: object,
    out_dweight: object,
    out_dbias: object,
) -> tuple[NDArray[Any] | None, NDArray[Any], NDArray[Any]]: ...
def dense_forward(x: object, weight: object, bias: object, out: object) -> NDArray[Any]: ...
def dropout_backward(dy: object, rate: object, key: object, counter: object, out: object) -> NDArray[Any]: ...
def dropout_forward(x: object, rate: object, key: object, counter: object, out: object) -> NDArray[Any]: ...
def elu_backward(y: object, dy: object, alpha: object, out: object) -> NDArray[Any]: ...
def elu_forward(x: object, alpha: object, out: object) -> NDArray[Any]: ...
def log_softmax_backward(y: object, dy: object, axis: object, out: object) -> NDArray[Any]: ...
def log_softmax_forward(x: object, axis: object, out: object) -> NDArray[Any]: ...
def mark_active(x: object, active: object) -> int: ...
def matmul(
    a: object, b: object, transpose_a: object, transpose_b: object, accumulate: object, out: object
) -> NDArray[Any]: ...
def num_threads() -> int: ...
def prelu_backward(
    x: object, slope: object, dy: object, need_dx: object, out_dx: object, out_dslope: object
) -> tuple[NDArray[Any] | None, NDArray[Any]]: ...
def prelu_forward(x: object, slope: object, out: object) -> NDArray[Any]: ...
def refused_target() -> str | None: ...
def relu_backward(x: object, dy: object, negative_slope: object, out: object) -> NDArray[Any]: ...
def relu_forward(x: object, negative_slope: object, out: object) -> NDArray[Any]: ...
def rmsprop_update(
    param: object,
    grad: object,
    square_mean: object,
    learning_rate: object,
    rho: object,
    epsilon: object,
    weight_decay: object,
    regularization: object,
    grad_scale: object,
) -> None: ...
def set_num_threads(n: int) -> None: ...
def set_parallel_threshold(nanoseconds: float) -> None: ...
def sgd_update(
    param: object,
    grad: object,
    velocity: object,
    learning_rate: object,
    momentum: object,
    nesterov: object,
    weight_decay: object,
    regularization: object,
    grad_scale: object,
) -> None: ...
def sigmoid_backward(y: object, dy: object, out: object) -> NDArray[Any]: ...
def sigmoid_cross_entropy(
    logits: object,
    targets: object,
    sample_weight: object,
    ignore_label: object,
    normalization: object,
    out: object,
) -> tuple[float, NDArray[Any]]: ...
def sigmoid_forward(x: object, out: object) -> NDArray[Any]: ...
def softmax_backward(y: object, dy: object, axis: object, out: object) -> NDArray[Any]: ...
def softmax_cross_entropy(
    logits: object,
    labels: object,
    axis: object,
    class_weight: object,
    sample_weight: object,
    label_smoothing: object,
    ignore_label: object,
    normalization: object,
    out: object,
) -> tuple[float, NDArray[Any]]: ...
def softmax_forward(x: object, axis: object, out: object) -> NDArray[Any]: ...
def squared_error(
    prediction: object,
    target: object,
    scale: object,
    sample_weight: object,
    normalization: object,
    out: object,
) -> tuple[float, NDArray[Any]]: ...
def sum_of_squares(x: object) -> float: ...
def tanh_backward(y: object, dy: object, out: object) -> NDArray[Any]: ...
def tanh_forward(x: object, out: object) -> NDArray[Any]: ...
def target() -> str: ...
def targets() -> list[str]: ...
def threshold_backward(x: object, dy: object, threshold: object, out: object) -> NDArray[Any]: ...
def threshold_forward(x: object, threshold: object, value: object, out: object) -> NDArray[Any]: ...
def use_target(name: str) -> bool: ...
