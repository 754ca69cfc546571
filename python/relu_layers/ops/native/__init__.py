"""The ops on NumPy arrays, computed by the extension.

What holds for all of them: inputs are float32 or float64 arrays of any layout, all of one dtype; ``out`` is strict
(exact shape and dtype, C-contiguous, aligned, writable), and None makes a new array. TypeError and ValueError name
the argument, what came and what was expected. Everything is checked and allocated before the first write.
"""

from __future__ import annotations

from relu_layers.ops.native.activations import (
    dropout_backward,
    dropout_forward,
    elu_backward,
    elu_forward,
    prelu_backward,
    prelu_forward,
    relu_backward,
    relu_forward,
    sigmoid_backward,
    sigmoid_forward,
    tanh_backward,
    tanh_forward,
    threshold_backward,
    threshold_forward,
)
from relu_layers.ops.native.dense import dense_backward, dense_forward, matmul
from relu_layers.ops.native.losses import sigmoid_cross_entropy, softmax_cross_entropy, squared_error
from relu_layers.ops.native.measures import (
    accumulate,
    count_agreeing,
    count_correct,
    l2_penalty,
    mark_active,
    sum_of_squares,
)
from relu_layers.ops.native.softmax import (
    log_softmax_backward,
    log_softmax_forward,
    softmax_backward,
    softmax_forward,
)
from relu_layers.ops.native.updates import (
    adadelta_update,
    adagrad_update,
    adam_update,
    adamw_update,
    rmsprop_update,
    sgd_update,
)

__all__ = [
    "accumulate",
    "adadelta_update",
    "adagrad_update",
    "adam_update",
    "adamw_update",
    "count_agreeing",
    "count_correct",
    "dense_backward",
    "dense_forward",
    "dropout_backward",
    "dropout_forward",
    "elu_backward",
    "elu_forward",
    "log_softmax_backward",
    "log_softmax_forward",
    "l2_penalty",
    "mark_active",
    "matmul",
    "prelu_backward",
    "prelu_forward",
    "relu_backward",
    "relu_forward",
    "rmsprop_update",
    "sgd_update",
    "sigmoid_backward",
    "sigmoid_cross_entropy",
    "sigmoid_forward",
    "softmax_backward",
    "softmax_cross_entropy",
    "softmax_forward",
    "squared_error",
    "sum_of_squares",
    "tanh_backward",
    "tanh_forward",
    "threshold_backward",
    "threshold_forward",
]
