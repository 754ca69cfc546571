"""What a model predicts, and the names of its classes, travel in the file; what others write of them is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

onnx = pytest.importorskip("onnx", reason="needs onnx")
helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto
X = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)


def two_numbers(predicts: str | None) -> rl.Sequential:
    model = rl.mlp([3, 4, 2], rng=0)
    model.predicts = predicts
    return model


@pytest.mark.parametrize("predicts", ["numbers", "classes", None])
def test_it_comes_back(predicts: str | None, tmp_path: Path) -> None:
    two_numbers(predicts).save(tmp_path / "net.onnx")
    loaded = rl.load(tmp_path / "net.onnx")
    assert loaded.predicts == predicts
    assert loaded.predict(X).shape == ((6, 2) if predicts == "numbers" else (6,))


def test_after_training_it_is_what_the_loss_wants(tmp_path: Path) -> None:
    model = rl.mlp([3, 2], rng=0)
    rl.Trainer(model, rl.SquaredError(), rl.SGD(0.01)).step(X, X[:, :2].copy())
    model.save(tmp_path / "net.onnx")
    np.testing.assert_array_equal(rl.load(tmp_path / "net.onnx").predict(X), model.predict(X))


def test_another_word_is_damage(tmp_path: Path) -> None:
    two_numbers("numbers").save(tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    next(entry for entry in model.metadata_props if entry.key == "relu_layers.predicts").value = "texts"
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(ValueError, match="predicts is 'texts', expected numbers or classes"):
        rl.load(tmp_path / "net.onnx")


def classifier(path: Path, names: Any, *, zipped: bool) -> Path:
    """Write scores, and labels made of them, as skl2onnx does; names in a list or with a ZipMap."""
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["h"]),
        helper.make_node("Softmax", ["h"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["place"], axis=1),
        helper.make_node("ArrayFeatureExtractor", ["classes", "place"], ["label"], domain="ai.onnx.ml"),
    ]
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 3])]
    if zipped:
        key = "classlabels_strings" if isinstance(names[0], str) else "classlabels_int64s"
        nodes.append(
            helper.make_node("ZipMap", ["probabilities"], ["named"], domain="ai.onnx.ml", **{key: names})
        )
    kind = TensorProto.STRING if isinstance(names[0], str) else TensorProto.INT64
    outputs.insert(0, helper.make_tensor_value_info("label", kind, ["n"]))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        outputs,
        [
            numpy_helper.from_array(np.eye(3, dtype=np.float32), "w"),
            numpy_helper.from_array(
                np.array(names, object if isinstance(names[0], str) else np.int64), "classes"
            ),
        ],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
    return path


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("names", [["red", "green", "blue"], [10, 20, 30]])
def test_names_of_classes_are_read(names: Any, zipped: bool, tmp_path: Path) -> None:
    model = rl.load(classifier(tmp_path / "net.onnx", names, zipped=zipped))
    assert model.predicts == "classes"
    assert list(model.preprocessing.target.classes) == names
    model.save(tmp_path / "again.npz")
    assert list(rl.load(tmp_path / "again.npz").preprocessing.target.classes) == names


@pytest.mark.parametrize("names", [["a", "b"], ["a", "a", "b"], ["a"]])
def test_names_that_do_not_fit_are_left_out(names: Any, tmp_path: Path) -> None:
    model = rl.load(classifier(tmp_path / "net.onnx", names, zipped=False))
    assert model.predicts == "classes"
    assert model.preprocessing is None


# --- what the command line answers ---


@pytest.fixture
def predicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[str], str]]:
    """Run ``relu-layers predict`` on two rows; return the lines of the predictions, and what is said."""
    testing = pytest.importorskip("click.testing", reason="needs click")
    pytest.importorskip("rich", reason="needs rich")
    from relu_layers.cli import program

    monkeypatch.chdir(tmp_path)

    def run(
        model: Any, *options: str, rows: str = "1,0,0\n0,0,1\n", head: str = "a,b,c"
    ) -> tuple[list[str], str]:
        if isinstance(model, rl.Sequential):
            model.save("net.onnx")
        Path("rows.csv").write_text(f"{head}\n{rows}")
        result = testing.CliRunner().invoke(program, ["predict", "net.onnx", "rows.csv", *options])
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines(), result.stderr

    return run


def fixed(predicts: str | None, *more: Any) -> rl.Sequential:
    """Two outputs, of which the first row has 1 and -1, the other 2 and 5."""
    model = rl.Sequential(rl.Dense(3, 2, bias=False), *more, rng=0)
    model.params["0.weight"] = np.float32([[1, -1], [0, 0], [2, 5]])
    model.predicts = predicts
    return model


def test_a_regression_of_several_numbers_gives_them_all(predicted: Any) -> None:
    lines, said = predicted(fixed("numbers"))
    assert lines == ["output_0,output_1", "1,-1", "2,5"]
    assert "does not say" not in said


def test_classes_are_the_largest(predicted: Any) -> None:
    for model in (fixed("classes"), fixed(None, rl.Softmax()), fixed(None, rl.LogSoftmax())):
        assert predicted(model)[0] == ["prediction", "0", "1"]


def test_labels_by_themselves_are_0_or_1(predicted: Any) -> None:
    assert predicted(fixed(None, rl.Sigmoid()))[0] == ["output_0,output_1", "1,0", "1,1"]


def test_a_file_that_does_not_say_gives_all_outputs_and_says_so(predicted: Any) -> None:
    lines, said = predicted(fixed(None))
    assert lines == ["output_0,output_1", "1,-1", "2,5"]
    assert "does not say whether its 2 outputs are classes or numbers" in " ".join(said.split())
    lines, said = predicted(fixed(None), "--proba")
    assert lines[0] == "prediction,probability_0,probability_1"
    assert [line[0] for line in lines[1:]] == ["0", "1"]
    assert "does not say" not in said


def test_true_values_that_are_places_of_classes_say_it(predicted: Any) -> None:
    lines, said = predicted(fixed(None), "--target", "t", rows="1,0,0,0\n0,0,1,0\n", head="a,b,c,t")
    assert lines == ["prediction", "0", "1"]
    assert "accuracy 50.00%" in said
    lines, said = predicted(fixed(None), "--target", "t", rows="1,0,0,0.5\n0,0,1,7\n", head="a,b,c,t")
    assert lines[0] == "output_0,output_1"
    assert "no score: the model gives 2 outputs" in said


def test_names_of_classes_are_the_answers(predicted: Any, tmp_path: Path) -> None:
    classifier(tmp_path / "net.onnx", ["red", "green", "blue"], zipped=True)
    assert predicted(None)[0] == ["prediction", "red", "blue"]
