"""The compiled extension: what `ops.native` and `runtime` call; arguments are checked inside."""

from types import TracebackType
from typing import Any

import numpy as np
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
    negative_slope: object,
    out_dx: object,
    out_dweight: object,
    out_dbias: object,
) -> tuple[NDArray[Any] | None, NDArray[Any], NDArray[Any]]: ...
def dense_forward(
    x: object, weight: object, bias: object, negative_slope: object, out: object
) -> NDArray[Any]: ...
def dropout_backward(dy: object, rate: object, key: object, counter: object, out: object) -> NDArray[Any]: ...
def dropout_forward(x: object, rate: object, key: object, counter: object, out: object) -> NDArray[Any]: ...
def elu_backward(y: object, dy: object, alpha: object, out: object) -> NDArray[Any]: ...
def elu_forward(x: object, alpha: object, out: object) -> NDArray[Any]: ...
def log_softmax_backward(y: object, dy: object, axis: object, out: object) -> NDArray[Any]: ...
def log_softmax_forward(x: object, axis: object, out: object) -> NDArray[Any]: ...
def count_agreeing(logits: object, targets: object) -> int: ...
def count_correct(logits: object, labels: object) -> int: ...
def l2_penalty(
    param: object, grad: object, strength: object, rows: object, sample_weight: object
) -> float: ...
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
def configuration_changed() -> None: ...
def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]: ...

class Watched:
    """Base of what captures depend on: a public attribute that is set or deleted makes them look again."""

class UsageGuard:
    """Who may use a model now: any number of inferences, or one thread that trains.

    A clash is a RuntimeError, never a wait. As a context manager it is the exclusive use, which its own thread may
    nest, and in which it may also run inference.
    """

    def __init__(self) -> None: ...
    def begin_inference(self) -> None: ...
    def end_inference(self) -> None: ...
    def begin_step(self) -> None: ...
    def end_step(self) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

class Capture:
    """What the ops of one thread are asked to do between `start` and `stop`, kept instead of done.

    The four arrays, of one batch's shapes, stand for memory that each replay brings along.
    """

    def __init__(self, input: object, target: object, sample_weight: object, output: object) -> None: ...
    def start(self, phase: int) -> None: ...
    def stop(self) -> None: ...
    @property
    def failure(self) -> str | None: ...

class TrainingReplay:
    """Captured steps of one trainer."""

    def __init__(
        self,
        guard: UsageGuard,
        gradients: object,
        sum: object,
        progress: object,
        updates: object,
        last_rate: object,
        schedule: object,
        constant_rate: float | None,
        clip_norm: float,
        accumulate: int,
        counters: list[Any],
    ) -> None: ...
    def add(self, capture: Capture) -> None: ...
    def find(self, x: object, y: object, sample_weight: object) -> Capture | None: ...
    def renew(self) -> None: ...
    @property
    def current(self) -> bool: ...
    def step(self, x: object, y: object, sample_weight: object) -> float | None: ...
    def stretch(
        self,
        capture: Capture,
        x: object,
        y: object,
        sample_weight: object,
        order: object,
        first_row: int,
        rows: int,
        steps: int,
        seconds: float,
        close_last: bool,
        losses: object,
        penalties: object,
    ) -> tuple[int, int]: ...

class InferenceReplay:
    """Captured inferences of one model."""

    def __init__(self, guard: UsageGuard, params: object) -> None: ...
    def add(self, capture: Capture) -> None: ...
    def count(self, x: object) -> int: ...
    def renew(self) -> None: ...
    @property
    def current(self) -> bool: ...
    def infer(self, x: object, out: object) -> Any: ...
