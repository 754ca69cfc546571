"""The compiled extension, which checks its arguments itself. Written by cpp/write_stub.py."""

from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[Any]

version: str
compiler: str

def accumulate(total: FloatArray, grad: FloatArray) -> None: ...
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
) -> None: ...
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
) -> None: ...
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
) -> None: ...
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
) -> None: ...
def count_agreeing(logits: FloatArray, targets: FloatArray) -> int: ...
def count_correct(logits: FloatArray, labels: NDArray[Any]) -> int: ...
def dense_backward(
    x: FloatArray,
    weight: FloatArray,
    dy: FloatArray,
    *,
    need_dx: bool = True,
    accumulate: bool = False,
    negative_slope: float | None = None,
    out: tuple[FloatArray | None, FloatArray | None, FloatArray | None] | None = None,
) -> tuple[FloatArray | None, FloatArray, FloatArray]: ...
def dense_forward(
    x: FloatArray,
    weight: FloatArray,
    bias: FloatArray | None = None,
    *,
    negative_slope: float | None = None,
    out: FloatArray | None = None,
) -> FloatArray: ...
def dropout_backward(
    dy: FloatArray, rate: float, *, key: int, counter: int, out: FloatArray | None = None
) -> FloatArray: ...
def dropout_forward(
    x: FloatArray, rate: float, *, key: int, counter: int, out: FloatArray | None = None
) -> FloatArray: ...
def elu_backward(
    y: FloatArray, dy: FloatArray, alpha: float = 1.0, *, out: FloatArray | None = None
) -> FloatArray: ...
def elu_forward(x: FloatArray, alpha: float = 1.0, *, out: FloatArray | None = None) -> FloatArray: ...
def l2_penalty(
    param: FloatArray,
    grad: FloatArray,
    *,
    strength: float,
    rows: int,
    sample_weight: FloatArray | None = None,
) -> float: ...
def log_softmax_backward(
    y: FloatArray, dy: FloatArray, axis: int = -1, *, out: FloatArray | None = None
) -> FloatArray: ...
def log_softmax_forward(x: FloatArray, axis: int = -1, *, out: FloatArray | None = None) -> FloatArray: ...
def mark_active(x: FloatArray, active: NDArray[np.uint8]) -> int: ...
def matmul(
    a: FloatArray,
    b: FloatArray,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    accumulate: bool = False,
    out: FloatArray | None = None,
) -> FloatArray: ...
def prelu_backward(
    x: FloatArray,
    slope: FloatArray,
    dy: FloatArray,
    *,
    need_dx: bool = True,
    out: tuple[FloatArray | None, FloatArray | None] | None = None,
) -> tuple[FloatArray | None, FloatArray]: ...
def prelu_forward(x: FloatArray, slope: FloatArray, *, out: FloatArray | None = None) -> FloatArray: ...
def relu_backward(
    x: FloatArray, dy: FloatArray, negative_slope: float = 0.0, *, out: FloatArray | None = None
) -> FloatArray: ...
def relu_forward(
    x: FloatArray, negative_slope: float = 0.0, *, out: FloatArray | None = None
) -> FloatArray: ...
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
) -> None: ...
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
) -> None: ...
def sigmoid_backward(y: FloatArray, dy: FloatArray, *, out: FloatArray | None = None) -> FloatArray: ...
def sigmoid_cross_entropy(
    logits: FloatArray,
    targets: FloatArray,
    *,
    sample_weight: FloatArray | None = None,
    ignore_label: float | None = None,
    normalization: str = "batch_size",
    out: FloatArray | None = None,
) -> tuple[float, FloatArray]: ...
def sigmoid_forward(x: FloatArray, *, out: FloatArray | None = None) -> FloatArray: ...
def softmax_backward(
    y: FloatArray, dy: FloatArray, axis: int = -1, *, out: FloatArray | None = None
) -> FloatArray: ...
def softmax_cross_entropy(
    logits: FloatArray,
    labels: NDArray[Any],
    *,
    axis: int = -1,
    class_weight: FloatArray | None = None,
    sample_weight: FloatArray | None = None,
    label_smoothing: float = 0.0,
    ignore_label: int | None = None,
    normalization: str = "valid",
    out: FloatArray | None = None,
) -> tuple[float, FloatArray]: ...
def softmax_forward(x: FloatArray, axis: int = -1, *, out: FloatArray | None = None) -> FloatArray: ...
def squared_error(
    prediction: FloatArray,
    target: FloatArray,
    *,
    scale: float = 1.0,
    sample_weight: FloatArray | None = None,
    normalization: str = "full",
    out: FloatArray | None = None,
) -> tuple[float, FloatArray]: ...
def sum_of_squares(x: FloatArray) -> float: ...
def tanh_backward(y: FloatArray, dy: FloatArray, *, out: FloatArray | None = None) -> FloatArray: ...
def tanh_forward(x: FloatArray, *, out: FloatArray | None = None) -> FloatArray: ...
def threshold_backward(
    x: FloatArray, dy: FloatArray, threshold: float, *, out: FloatArray | None = None
) -> FloatArray: ...
def threshold_forward(
    x: FloatArray, threshold: float, value: float, *, out: FloatArray | None = None
) -> FloatArray: ...
def compiled_targets() -> list[str]: ...
def configuration_changed(object: Watched) -> None: ...
def default_num_threads() -> int: ...
def document(function: Callable[..., Any], text: str) -> None: ...
def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]: ...
def num_threads() -> int: ...
def refused_target() -> str | None: ...
def set_num_threads(n: int) -> None: ...
def set_parallel_threshold(nanoseconds: float) -> None: ...
def target() -> str: ...
def targets() -> list[str]: ...
def use_target(name: str) -> bool: ...

class Watched:
    """Base of what captures depend on: a public attribute that is set or deleted makes them look again."""

    def __init__(self) -> None: ...

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
    def parameters_changed(self) -> None: ...
    @property
    def version(self) -> int: ...
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
        optimizer: object,
        constant: type,
        clip_norm: object,
        accumulate: int,
        counters: list[Any],
        watched: list[Watched],
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
    def gradient(
        self,
        capture: Capture,
        x: object,
        y: object,
        sample_weight: object,
        order: object,
        first_row: int,
        rows: int,
    ) -> tuple[float, int, float] | None: ...
    def update(self, capture: Capture, count: int) -> bool: ...

class PassReplay:
    """Captured training forwards of one model, and their backwards."""

    def __init__(
        self, guard: UsageGuard, gradients: object, counters: list[Any], watched: list[Watched]
    ) -> None: ...
    def add(self, forward: Capture, outputs: object) -> None: ...
    def add_backward(self, backward: Capture, need_dx: bool, accumulate: bool) -> None: ...
    def fits(self, x: object) -> bool: ...
    def renew(self) -> None: ...
    def forget(self) -> None: ...
    def forward(self, x: object) -> NDArray[Any] | None: ...
    def backward(self, dy: object, need_dx: bool, accumulate: bool) -> NDArray[Any] | bool | None: ...
    @property
    def current(self) -> bool: ...
    @property
    def pending(self) -> bool: ...
    @property
    def batch(self) -> NDArray[Any]: ...
    @property
    def version(self) -> int: ...
    @property
    def forwards(self) -> int: ...

class UpdateReplay:
    """Captured updates of one optimizer."""

    def __init__(
        self,
        capture: Capture,
        guards: list[UsageGuard],
        updates: object,
        last_rate: object,
        watched: list[Watched],
    ) -> None: ...
    def renew(self) -> None: ...
    def update(self, rate: float, grad_scale: float, clip_norm: float) -> float: ...
    @property
    def current(self) -> bool: ...

class InferenceReplay:
    """Captured inferences of one model."""

    def __init__(self, guard: UsageGuard, params: object, watched: list[Watched]) -> None: ...
    def add(self, capture: Capture) -> None: ...
    def count(self, x: object) -> int: ...
    def renew(self) -> None: ...
    @property
    def current(self) -> bool: ...
    def infer(self, x: object, out: object) -> Any: ...
