"""`relu-layers convert` and `relu-layers inspect`: between all formats, and what each file tells."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

import relu_layers as rl
from relu_layers.cli.escaping import escaped
from relu_layers.preprocessing import Preprocessing

READ_AND_WRITTEN = ["npz", "safetensors", "onnx"]
NEEDS = {"safetensors": "safetensors", "onnx": "onnx"}


def available(*suffixes: str) -> None:
    for suffix in suffixes:
        if suffix in NEEDS:
            pytest.importorskip(NEEDS[suffix], reason=f"needs {NEEDS[suffix]}")


def network(dtype: Any = np.float32) -> rl.Sequential:
    model = rl.Sequential(
        rl.Dense(4, 6), rl.ReLU(0.1), rl.Dense(6, 5), rl.PReLU(5), rl.Dense(5, 5), rl.ELU(0.5), rl.Dense(5, 4),
        rl.Tanh(), rl.Dense(4, 4), rl.Sigmoid(), rl.Dropout(0.25), rl.Dense(4, 3), rl.Softmax(), dtype=dtype, rng=3,
    )  # fmt: skip
    model.preprocessing = Preprocessing()
    model.preprocessing.fit({"a": np.arange(4.0), "b": ["x", "y", "z", "x"]})
    model.preprocessing.fit_target(["no", "yes", "no", "maybe"], name="answer")
    return model


@pytest.mark.parametrize("target", [*READ_AND_WRITTEN, "h"])
@pytest.mark.parametrize("source", READ_AND_WRITTEN)
def test_every_pair_of_formats(call: Callable[..., Result], tmp_path: Path, source: str, target: str) -> None:
    available(source, target)
    model = network()
    model.save(tmp_path / f"in.{source}")
    result = call("convert", tmp_path / f"in.{source}", tmp_path / f"out.{target}")
    assert result.exit_code == 0, result.output
    assert "parameters" in result.output
    if target == "h":
        assert "compile out.h to use it" in result.output
        return
    assert "random rows differ by at most" in result.output
    loaded = rl.load(tmp_path / f"out.{target}")
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)
    assert loaded.preprocessing is not None
    assert model.preprocessing is not None
    assert loaded.preprocessing.to_dict() == model.preprocessing.to_dict()


def test_a_training_stays_whole_where_it_can(call: Callable[..., Result], tmp_path: Path) -> None:
    available("safetensors")
    x, y = rl.data.two_moons(40, rng=0)
    trainers = [
        rl.Trainer(rl.mlp([2, 5, 2], rng=0), rl.SoftmaxCrossEntropy(), rl.Adam(), rng=1) for _ in "ab"
    ]
    for trainer in trainers:
        trainer.fit(x, y, epochs=2, batch_size=8)
    trainers[0].save_checkpoint(tmp_path / "t.npz")
    result = call("convert", tmp_path / "t.npz", tmp_path / "t.safetensors")
    assert "left behind" not in result.output
    back = rl.Trainer.restore(tmp_path / "t.safetensors")
    for trainer in (back, trainers[1]):
        trainer.fit(x, y, epochs=2, batch_size=8)
    assert back.model.flat_params.tobytes() == trainers[1].model.flat_params.tobytes()
    result = call("convert", tmp_path / "t.npz", tmp_path / "m.npz", "--dtype", "float64")
    assert "left behind: the training" in result.output
    assert rl.load(tmp_path / "m.npz").dtype == np.float64
    facts = json.loads(call("inspect", tmp_path / "t.safetensors", "--json").output)
    assert facts["kind"] == "trainer"
    assert facts["training"]["optimizer"] == "Adam"
    assert facts["training"]["epochs"] == 2


def test_options_go_to_the_format_that_has_them(call: Callable[..., Result], tmp_path: Path) -> None:
    available("safetensors", "onnx")
    import onnx
    import safetensors.numpy

    network().save(tmp_path / "net.npz")
    assert call("convert", tmp_path / "net.npz", tmp_path / "net.onnx", "--opset", "14").exit_code == 0
    assert onnx.load(tmp_path / "net.onnx").opset_import[0].version == 14
    call("convert", tmp_path / "net.npz", tmp_path / "net.safetensors", "--names", "torch")
    assert "3.weight" in safetensors.numpy.load_file(tmp_path / "net.safetensors")
    call("convert", tmp_path / "net.npz", tmp_path / "net.h", "--name", "brain")
    assert "brain_forward" in (tmp_path / "net.h").read_text()
    result = call("convert", tmp_path / "net.npz", tmp_path / "other.h", "--opset", "14")
    assert result.exit_code == 1
    assert ".h files have no option 'opset', expected name" in result.output
    assert not (tmp_path / "other.h").exists()


def test_nothing_is_replaced_unless_forced(call: Callable[..., Result], tmp_path: Path) -> None:
    network().save(tmp_path / "net.npz")
    (tmp_path / "net.h").write_text("precious")
    result = call("convert", tmp_path / "net.npz", tmp_path / "net.h")
    assert (result.exit_code, (tmp_path / "net.h").read_text()) == (1, "precious")
    assert "--force replaces it" in result.output
    assert call("convert", tmp_path / "net.npz", tmp_path / "net.h", "--force").exit_code == 0
    assert "precious" not in (tmp_path / "net.h").read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("convert", "no.npz", "out.onnx"), "no.npz: no such model file"),
        (
            ("convert", "net.npz", "out.caffemodel", "--opset", "13"),
            ".caffemodel files have no option 'opset'",
        ),
        (("convert", "net.npz", "out.onx"), "(did you mean '.onnx'?)"),
        (("convert", "broken.npz", "out.h"), "broken.npz is not a readable relu_layers file"),
        (("inspect", "broken.npz"), "broken.npz is not a readable relu_layers file"),
        (("inspect", "no.npz"), "no.npz: no such model file"),
        (("inspect", "net.h"), ".h files cannot be read"),
    ],
)
def test_errors_are_one_line(
    call: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    network().save("net.npz")
    Path("net.h").write_text("")
    Path("broken.npz").write_bytes(Path("net.npz").read_bytes()[:-7])
    result = call(*arguments)
    assert result.exit_code == 1
    assert told in result.output
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1
    assert not Path("out.h").exists()


def test_inspect_tells_what_is_in_a_model(call: Callable[..., Result], tmp_path: Path) -> None:
    network().save(tmp_path / "net.npz")
    result = call("inspect", tmp_path / "net.npz")
    for part in (
        "intact",
        "float32",
        "Dense(4, 6)",
        "weight (4, 6), bias (6)",
        "PReLU(5)",
        "answer: maybe, no, yes",
    ):
        assert part in result.output
    facts = json.loads(call("inspect", tmp_path / "net.npz", "--json").output)
    assert facts["parameters"] == network().flat_params.size
    assert facts["preprocessing"]["columns"] == {"a": "number", "b": "3 categories"}


def test_inspect_lists_the_nodes_that_keep_a_file_from_being_loaded(
    call: Callable[..., Result], tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx", reason="needs onnx")
    helper = onnx.helper
    node = helper.make_node("Cos", ["x"], ["y"], name="wave\x1b[2J")
    value = {name: helper.make_tensor_value_info(name, 1, [None, 3]) for name in "xy"}
    graph = helper.make_graph([node], "g", [value["x"]], [value["y"]])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "cos.onnx")
    result = call("inspect", tmp_path / "cos.onnx")
    assert result.exit_code == 1
    assert "Cos" in result.output
    assert "cannot be loaded" in result.output
    assert "\x1b[2J" not in result.output
    facts = json.loads(call("inspect", tmp_path / "cos.onnx", "--json").output)
    assert facts["opset"] == "ai.onnx 17"
    assert facts["parts"][0]["type"] == "Cos"
    assert "Cos" in facts["parts"][0]["problem"]


def test_inspect_lists_the_tensors_of_another_program(call: Callable[..., Result], tmp_path: Path) -> None:
    available("safetensors")
    import safetensors.numpy

    safetensors.numpy.save_file({"fc.weight": np.ones((2, 3))}, tmp_path / "t.safetensors", {"format": "pt"})
    result = call("inspect", tmp_path / "t.safetensors")
    assert "fc.weight: float64 (2, 3)" in result.output
    assert "parameters without layers" in result.output
    result = call("convert", tmp_path / "t.safetensors", tmp_path / "out.npz")
    assert "build the model and pass it as model=" in result.output


def test_what_cannot_be_printed_is_escaped() -> None:
    assert escaped("a\x1b[31m\nb\u202e") == "a\\x1b[31m\\nb\\u202e"
    assert escaped("é 日本") == "é 日本"
    assert len(escaped("x" * 1000)) == 200
