"""Every op in plain NumPy: the specification that the compiled kernels are tested against.

Same names and signatures as the native namespace, so a model runs on either. The code prefers the formula to
speed; it is split by idea into the ``_reference_*`` files beside this one.
"""

from __future__ import annotations

from relu_layers.ops.reference.activations import (
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
from relu_layers.ops.reference.dense import dense_backward, dense_forward, matmul
from relu_layers.ops.reference.dropout import dropout_backward, dropout_forward
from relu_layers.ops.reference.losses import sigmoid_cross_entropy, softmax_cross_entropy, squared_error
from relu_layers.ops.reference.measures import (
    accumulate,
    count_agreeing,
    count_correct,
    l2_penalty,
    mark_active,
    sum_of_squares,
)
from relu_layers.ops.reference.softmax import (
    log_softmax_backward,
    log_softmax_forward,
    softmax_backward,
    softmax_forward,
)
from relu_layers.ops.reference.updates import (
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
