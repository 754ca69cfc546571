"""The messages of caffe.proto as far as a network of layers in a row and its solver need them.

A line is ``number name type``; a star marks a repeated field, ``= value`` a default. A type is a scalar, an enum
or another message. What is in `PASSED_OVER` may stand in a file and does not change the network that is built.
"""

from __future__ import annotations

import math
import struct
from typing import Any, NamedTuple

# In the order of their numbers.
_LAYER_TYPES = [
    "NONE", "ACCURACY", "BNLL", "CONCAT", "CONVOLUTION", "DATA", "DROPOUT", "EUCLIDEAN_LOSS", "FLATTEN",
    "HDF5_DATA", "HDF5_OUTPUT", "IM2COL", "IMAGE_DATA", "INFOGAIN_LOSS", "INNER_PRODUCT", "LRN",
    "MULTINOMIAL_LOGISTIC_LOSS", "POOLING", "RELU", "SIGMOID", "SOFTMAX", "SOFTMAX_LOSS", "SPLIT", "TANH",
    "WINDOW_DATA", "ELTWISE", "POWER", "SIGMOID_CROSS_ENTROPY_LOSS", "HINGE_LOSS", "MEMORY_DATA", "ARGMAX",
    "THRESHOLD", "DUMMY_DATA", "SLICE", "MVN", "ABSVAL", "SILENCE", "CONTRASTIVE_LOSS", "EXP", "DECONVOLUTION",
]  # fmt: skip

ENUMS: dict[str, list[str]] = {
    "Phase": ["TRAIN", "TEST"],
    "VarianceNorm": ["FAN_IN", "FAN_OUT", "AVERAGE"],
    "Normalization": ["FULL", "VALID", "BATCH_SIZE", "NONE"],
    "Engine": ["DEFAULT", "CAFFE", "CUDNN"],
    "DimCheckMode": ["STRICT", "PERMISSIVE"],
    "LayerType": _LAYER_TYPES,
    "SolverType": ["SGD", "NESTEROV", "ADAGRAD", "RMSPROP", "ADADELTA", "ADAM"],
}

_MESSAGES = {
    "BlobShape": "1 dim* int",
    "BlobProto": """
        1 num int = 0, 2 channels int = 0, 3 height int = 0, 4 width int = 0
        5 data* float, 7 shape BlobShape, 8 double_data* double""",
    "FillerParameter": """
        1 type string = constant, 2 value float = 0, 3 min float = 0, 4 max float = 1, 5 mean float = 0
        6 std float = 1, 7 sparse int = -1, 8 variance_norm VarianceNorm = FAN_IN""",
    "NetState": "1 phase Phase, 2 level int = 0, 3 stage* string",
    "NetStateRule": """
        1 phase Phase, 2 min_level int, 3 max_level int, 4 stage* string, 5 not_stage* string""",
    "NetParameter": """
        1 name string, 2 layers* V1LayerParameter, 3 input* string, 4 input_dim* int, 6 state NetState
        8 input_shape* BlobShape, 100 layer* LayerParameter""",
    "ParamSpec": """
        1 name string, 2 share_mode DimCheckMode, 3 lr_mult float = 1, 4 decay_mult float = 1""",
    "LayerParameter": """
        1 name string, 2 type string, 3 bottom* string, 4 top* string, 5 loss_weight* float, 6 param* ParamSpec
        7 blobs* BlobProto, 8 include* NetStateRule, 9 exclude* NetStateRule, 10 phase Phase
        101 loss_param LossParameter, 108 dropout_param DropoutParameter, 109 dummy_data_param DummyDataParameter
        117 inner_product_param InnerProductParameter, 119 memory_data_param MemoryDataParameter
        123 relu_param ReLUParameter, 125 softmax_param SoftmaxParameter, 131 prelu_param PReLUParameter
        135 flatten_param FlattenParameter, 140 elu_param ELUParameter, 143 input_param InputParameter""",
    "V1LayerParameter": """
        1 layer V0LayerParameter, 2 bottom* string, 3 top* string, 4 name string, 5 type LayerType = NONE
        6 blobs* BlobProto, 7 blobs_lr* float, 8 weight_decay* float, 12 dropout_param DropoutParameter
        17 inner_product_param InnerProductParameter, 22 memory_data_param MemoryDataParameter
        26 dummy_data_param DummyDataParameter, 30 relu_param ReLUParameter, 32 include* NetStateRule
        33 exclude* NetStateRule, 35 loss_weight* float, 39 softmax_param SoftmaxParameter
        42 loss_param LossParameter, 1001 param* string""",
    "V0LayerParameter": "",
    "LossParameter": "1 ignore_label int, 2 normalize bool, 3 normalization Normalization",
    "DropoutParameter": "1 dropout_ratio float = 0.5, 2 scale_train bool = true",
    "DummyDataParameter": "2 num* int, 3 channels* int, 4 height* int, 5 width* int, 6 shape* BlobShape",
    "ELUParameter": "1 alpha float = 1",
    "FlattenParameter": "1 axis int = 1, 2 end_axis int = -1",
    "InnerProductParameter": """
        1 num_output int = 0, 2 bias_term bool = true, 3 weight_filler FillerParameter
        4 bias_filler FillerParameter, 5 axis int = 1, 6 transpose bool = false""",
    "InputParameter": "1 shape* BlobShape",
    "MemoryDataParameter": "1 batch_size int, 2 channels int = 0, 3 height int = 0, 4 width int = 0",
    "PReLUParameter": "1 filler FillerParameter, 2 channel_shared bool = false",
    "ReLUParameter": "1 negative_slope float = 0, 2 engine Engine",
    "SoftmaxParameter": "1 engine Engine, 2 axis int = 1",
    "SolverParameter": """
        1 train_net string, 5 base_lr float = 0, 7 max_iter int = 0, 8 lr_policy string, 9 gamma float = 0
        10 power float = 0, 11 momentum float = 0, 12 weight_decay float = 0, 13 stepsize int = 0
        20 random_seed int = -1, 21 train_net_param NetParameter, 24 net string, 25 net_param NetParameter
        26 train_state NetState, 29 regularization_type string = L2, 30 solver_type SolverType = SGD
        31 delta float = 1e-8, 34 stepvalue* int, 35 clip_gradients float = -1, 36 iter_size int = 1
        38 rms_decay float = 0.99, 39 momentum2 float = 0.999, 40 type string = SGD""",
}

PASSED_OVER: dict[str, set[str]] = {
    "BlobProto": {"diff", "double_diff"},
    "NetParameter": {"force_backward", "debug_info"},
    "LayerParameter": {"propagate_down"},
    "V1LayerParameter": {"blob_share_mode"},
    "DummyDataParameter": {"data_filler"},
    "SolverParameter": {
        "average_loss", "debug_info", "device_id", "display", "layer_wise_reduce", "snapshot",
        "snapshot_after_train", "snapshot_diff", "snapshot_format", "snapshot_prefix", "solver_mode",
        "test_compute_loss", "test_initialization", "test_interval", "test_iter", "test_net", "test_net_param",
        "test_state",
    },
}  # fmt: skip


class Field(NamedTuple):
    """One field of a message."""

    number: int
    name: str
    kind: str
    repeated: bool
    default: Any


class Message:
    """The fields of one message: values of the file, else defaults (None without one, [] for a repeated field)."""

    __slots__ = ("_values", "kind")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._values: dict[str, Any] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __getitem__(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        field = FIELDS[self.kind][name]
        return [] if field.repeated else field.default

    def part(self, name: str) -> Message:
        """Return the message in a field, an empty one if there is none."""
        return self._values.get(name) or Message(FIELDS[self.kind][name].kind)

    def put(self, field: Field, value: Any) -> None:
        """Set a field, or append to a repeated one."""
        if field.repeated:
            self._values.setdefault(field.name, []).append(value)
        else:
            self._values[field.name] = value


def _default(kind: str, text: str) -> Any:
    if not text:
        return None
    if kind == "int":
        return int(text)
    if kind == "bool":
        return text == "true"
    return as_float32(float(text)) if kind == "float" else text


def _fields(lines: str) -> dict[str, Field]:
    result = {}
    for line in lines.replace("\n", ",").split(","):
        if line.strip():
            number, name, kind, *rest = line.split()
            repeated, name = name.endswith("*"), name.rstrip("*")
            result[name] = Field(int(number), name, kind, repeated, _default(kind, "".join(rest[1:])))
    return result


def as_float32(value: float) -> float:
    """Return ``value`` as Caffe keeps it: rounded to float32, infinite beyond its range."""
    try:
        rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return rounded


def refuse_no_float32(name: str, value: float) -> None:
    """Raise a ValueError for a number beyond what Caffe's float fields hold."""
    if not math.isfinite(as_float32(value)):
        raise ValueError(f"{name} is {value}: Caffe keeps such numbers as float32, which ends at 3.4e38")


FIELDS: dict[str, dict[str, Field]] = {kind: _fields(lines) for kind, lines in _MESSAGES.items()}
NUMBERS: dict[str, dict[int, Field]] = {
    kind: {field.number: field for field in fields.values()} for kind, fields in FIELDS.items()
}
