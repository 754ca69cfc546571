"""The ops on NumPy arrays, computed by the extension: its own functions, with the docstrings of the reference.

What holds for all of them: inputs are float32 or float64 arrays of any layout, all of one dtype; ``out`` is strict
(exact shape and dtype, C-contiguous, aligned, writable), and None makes a new array. TypeError and ValueError name
the argument, what came and what was expected. Everything is checked and allocated before the first write.
"""

from __future__ import annotations

from relu_layers import _core
from relu_layers._core import (
    accumulate,
    adadelta_update,
    adagrad_update,
    adam_update,
    adamw_update,
    count_agreeing,
    count_correct,
    dense_backward,
    dense_forward,
    dropout_backward,
    dropout_forward,
    elu_backward,
    elu_forward,
    l2_penalty,
    log_softmax_backward,
    log_softmax_forward,
    mark_active,
    matmul,
    prelu_backward,
    prelu_forward,
    relu_backward,
    relu_forward,
    rmsprop_update,
    sgd_update,
    sigmoid_backward,
    sigmoid_cross_entropy,
    sigmoid_forward,
    softmax_backward,
    softmax_cross_entropy,
    softmax_forward,
    squared_error,
    sum_of_squares,
    tanh_backward,
    tanh_forward,
    threshold_backward,
    threshold_forward,
)
from relu_layers.ops import reference

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
    "l2_penalty",
    "log_softmax_backward",
    "log_softmax_forward",
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

for _name in __all__:
    _core.document(globals()[_name], getattr(reference, _name).__doc__)
