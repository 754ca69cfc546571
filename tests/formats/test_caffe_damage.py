"""Damaged prototxt, solver and caffemodel files: a ValueError, or what is finite and of the declared shapes."""

from __future__ import annotations

import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers.formats.caffe import read_solver

# A few thousand by default; the slow battery counts in hundreds of thousands.
MUTATIONS = int(os.environ.get("RELU_LAYERS_CAFFE_MUTATIONS", "300000"))

SMALLEST_TEXT = b"""input:"x"input_dim:1 input_dim:2
layer{type:"InnerProduct"bottom:"x"top:"y"inner_product_param{num_output:2}}
layer{type:"ReLU"bottom:"y"top:"y"relu_param{negative_slope:.5}}"""

TEXT = b"""name: "a net" # comment
layer { name: 'data' type: "Input" top: "data" input_param { shape: { dim: 1 dim: 4 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" param { lr_mult: 1 } param { decay_mult: 0 }
  inner_product_param < num_output: 0x5; weight_filler { type: "xavier" variance_norm: AVERAGE },
    bias_filler { type: "gaussian" std: 1e-2 } > }
layer { name: "e" type: "ELU" bottom: "ip" top: "ip" elu_param { alpha: 0.5 } }
layer { name: "s" type: "PReLU" bottom: ["ip"] top: "ip" prelu_param { channel_shared: false } }
layer { name: "d" type: "Dropout" bottom: "ip" top: "ip" dropout_param { dropout_ratio: 0.25 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" include { phase: TRAIN stage: "a" }
  loss_param { ignore_label: 3 } }
layer { name: "prob" type: "Soft" "max" bottom: "ip" top: "\\160rob" softmax_param { axis: 1 } }
"""

SOLVER = b"""train_net_param {
  input: "x" input_shape { dim: 1 dim: 2 } input: "t"
  layers { name: "ip" type: INNER_PRODUCT bottom: "x" top: "y" blobs_lr: 1 blobs_lr: 2
    inner_product_param { num_output: 2 } }
  layers { name: "l" type: EUCLIDEAN_LOSS bottom: "y" bottom: "t" }
}
type: "Adam" base_lr: 0.01 momentum: 0.9 momentum2: 0.99 delta: 1e-6 weight_decay: 5e-4 regularization_type: "L1"
lr_policy: "multistep" gamma: 0.5 stepvalue: [10, 20] clip_gradients: 2 iter_size: 3 max_iter: 100 display: 0
"""


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field of less than 128 bytes."""
    key = number << 3 | 2
    return (
        (bytes([key]) if key < 128 else bytes([key & 127 | 128, key >> 7])) + bytes([len(content)]) + content
    )


def blob(shape: bytes, *values: float) -> bytes:
    return field(5, struct.pack(f"<{len(values)}f", *values)) + field(7, field(1, shape))


SMALLEST_BINARY = field(
    100,
    field(2, b"InnerProduct") + field(3, b"x") + field(4, b"y") + field(7, blob(b"\x02\x02", 1, 2, 3, -4))
    + field(7, blob(b"\x02", 0.5, -1)) + b"\xaa\x07\x02\x08\x02",
)  # fmt: skip
BINARY = (
    field(1, b"net")
    + SMALLEST_BINARY
    + field(100, field(2, b"PReLU") + field(3, b"y") + field(4, b"y") + field(7, blob(b"\x02", 0.25, 0.5)))
    + field(100, field(2, b"Dropout") + field(3, b"y") + field(4, b"z") + b"\xe2\x06\x05\x0d\0\0\x80\x3e")
    + field(100, field(2, b"ELU") + field(3, b"z") + field(4, b"z") + b"\xe2\x08\x05\x0d\0\0\0\x3f")
    + field(100, field(2, b"Softmax") + field(3, b"z") + field(4, b"p"))
)


def load(path: Path) -> Any:
    # A mutated num_output within the default limit is a net that would take a second to draw.
    return rl.load(path, most_parameters=10_000)


def solve(path: Path) -> Any:
    return read_solver(path, most_parameters=10_000)


def check(model: rl.Sequential) -> None:
    """Assert that parameters are finite and of their layers' shapes, and that the model runs where it takes rows."""
    for layer in model.layers:
        for name, value in layer.params.items():
            assert value.shape == layer.parameters()[name].shape
            assert np.isfinite(value).all()
    features = next((layer.in_features for layer in model.layers if layer.in_features), 2)
    assert len(model(np.ones((2, features), model.dtype))) == 2


def check_solver(solver: Any) -> None:
    check(solver.model)
    assert np.isfinite(solver.optimizer.learning_rate(0))


READERS: dict[str, tuple[Any, Any, str, list[bytes]]] = {
    "prototxt": (load, check, "t.prototxt", [SMALLEST_TEXT, TEXT]),
    "solver": (solve, check_solver, "s.prototxt", [SOLVER]),
    "caffemodel": (load, check, "t.caffemodel", [SMALLEST_BINARY, BINARY]),
}


@pytest.mark.parametrize("reader", READERS)
def test_the_undamaged_files_are_read(reader: str, tmp_path: Path, damage: Any) -> None:
    read, accept, name, seeds = READERS[reader]
    assert damage.read_all(seeds, tmp_path / name, read, accept) == (0, len(seeds))


@pytest.mark.parametrize("reader", READERS)
def test_no_beginning_of_a_file_does_harm(reader: str, tmp_path: Path, damage: Any) -> None:
    read, accept, name, seeds = READERS[reader]
    for seed in seeds:
        refused, accepted = damage.read_all(damage.truncations(seed), tmp_path / name, read, accept)
        assert refused + accepted == len(seed)
        assert refused > accepted


@pytest.mark.parametrize("reader", ["prototxt", "caffemodel"])
def test_every_single_byte_of_a_small_file_may_change(reader: str, tmp_path: Path, damage: Any) -> None:
    """By bytes of each class that the format tells apart; by all 255 in the slow battery."""
    read, accept, name, seeds = READERS[reader]
    values = b"\0\x01\x08\x0a\x7f\x80\xff" if reader == "caffemodel" else b'\0 "#-.1:<A\\}\xff'
    changed = damage.single_byte_changes(seeds[0], values)
    refused, accepted = damage.read_all(changed, tmp_path / name, read, accept)
    assert refused > accepted / 4
    assert accepted > 0


@pytest.mark.parametrize("reader", READERS)
def test_mutated_files(reader: str, tmp_path: Path, damage: Any) -> None:
    read, accept, name, seeds = READERS[reader]
    refused, accepted = damage.read_all(damage.mutations(seeds, 800), tmp_path / name, read, accept)
    assert refused > accepted > 5


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_every_single_byte_of_all_files_may_change(reader: str, tmp_path: Path, damage: Any) -> None:
    read, accept, name, seeds = READERS[reader]
    for seed in seeds:
        damage.read_all(damage.single_byte_changes(seed), tmp_path / name, read, accept)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_many_mutated_files(reader: str, tmp_path: Path, damage: Any) -> None:
    read, accept, name, seeds = READERS[reader]
    damage.read_all(damage.mutations(seeds, MUTATIONS, seed=1), tmp_path / name, read, accept)


def test_a_file_of_very_many_layers_is_refused(tmp_path: Path) -> None:
    """Each is an object of several, and 100,000 took minutes; the battery holds the time."""
    layer = 'layer { name: "r" type: "ReLU" bottom: "d" top: "d" }\n'
    path = tmp_path / "long.prototxt"
    path.write_text('input: "d" input_dim: 1 input_dim: 2\n' + layer * 20_000)
    with pytest.raises(ValueError, match="it has 20000 layers, more than 16384"):
        rl.load(path)


@pytest.mark.parametrize(
    "text",
    ['name: "' + "a" * 10**5, 'name: "' + r"\n" * 10**5 + '"', " " * 10**5, "#\n" * 10**5, "a" * 10**5],
    ids=["no end", "escapes", "spaces", "comments", "name"],
)
def test_one_long_word_takes_memory_in_proportion(text: str, tmp_path: Path) -> None:
    """A pattern that may give back what it has matched keeps a place for every character, of 180 bytes."""
    path = tmp_path / "long.prototxt"
    path.write_text(text)
    tracemalloc.start()
    with pytest.raises(ValueError) as caught:
        rl.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * len(text)
    assert len(str(caught.value)) < 1000
