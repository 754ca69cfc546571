"""Predictions for raw rows of a table, and what `predict` returns after which loss."""

from __future__ import annotations

import contextlib
import copy
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers.preprocessing import Preprocessing

RNG = np.random.default_rng(0)
TABLE = {
    "height": RNG.normal(5000, 900, 200),
    "width": RNG.normal(0.02, 0.004, 200),
}
UP = (TABLE["height"] - 5000) / 900 + (TABLE["width"] - 0.02) / 0.004 > 0
NAMES = np.where(UP, "up", "down")
ROWS = np.stack([TABLE["height"], TABLE["width"]], axis=1)


def trained(target: Any, task: str, columns: Any = TABLE) -> rl.Sequential:
    preprocessing = Preprocessing().fit(columns).fit_target(target, task=task)
    model = rl.mlp([preprocessing.n_features, 8, 2 if task == "classification" else 1], rng=0)
    model.preprocessing = preprocessing
    loss = rl.SoftmaxCrossEntropy() if task == "classification" else rl.SquaredError()
    x, y = preprocessing.transform(columns), preprocessing.encode_target(target)
    rl.Trainer(model, loss, rl.Adam(0.01)).fit(x, y, epochs=40, batch_size=20)
    return model


def test_raw_rows_of_every_kind_get_the_answers_of_the_table(tmp_path: Path) -> None:
    model = trained(NAMES, "classification")
    model.save(tmp_path / "model.npz")
    loaded = rl.load(tmp_path / "model.npz")
    dicts = [dict(zip(TABLE, row, strict=True)) for row in ROWS.tolist()]
    kinds: list[Any] = [TABLE, dict(reversed(TABLE.items())), ROWS, ROWS.tolist(), dicts]
    for name in ("pandas", "polars"):
        with contextlib.suppress(ImportError):
            kinds.append(__import__(name).DataFrame(TABLE))
    for table in kinds:
        found = loaded.predict_table(table)
        assert np.mean(found == NAMES) > 0.9
        np.testing.assert_array_equal(found, model.predict_table(TABLE))


def test_numbers_come_in_the_unit_of_the_target() -> None:
    values = 3 * TABLE["height"] + 100
    found = trained(values, "regression").predict_table(TABLE)
    assert np.corrcoef(found, values)[0, 1] > 0.9
    assert abs(found.mean() - values.mean()) < 0.1 * values.std() + 600


def test_a_table_with_categories() -> None:
    table = {"colour": np.where(UP, "red", "blue"), "height": TABLE["height"]}
    model = trained(NAMES, "classification", table)
    rows = [["red", 5000.0], ["blue", 5000.0]]
    assert model.predict_table(rows).tolist() == ["up", "down"]
    with pytest.raises(ValueError, match="green"):
        model.predict_table([["green", 5000.0]])
    model.predict_table([["green", 5000.0]], unknown="zero")


def test_what_does_not_fit_is_refused() -> None:
    model = trained(NAMES, "classification")
    with pytest.raises(ValueError, match="rows of 2 columns: height, width"):
        model.predict_table(ROWS[:, :1])
    with pytest.raises(ValueError, match="'width' is missing"):
        model.predict_table({"height": [1.0]})
    with pytest.raises(ValueError, match="no preprocessing"):
        rl.mlp([2, 3]).predict_table(ROWS)


def test_predict_warns_of_rows_that_were_not_scaled() -> None:
    model = trained(NAMES, "classification")
    with pytest.warns(UserWarning, match=r"'height' has a mean of .*predict_table"):
        model.predict(ROWS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(model.preprocessing.transform(TABLE))
        rl.mlp([2, 3]).predict(ROWS)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".onnx"])
def test_the_loss_decides_what_is_predicted(suffix: str, tmp_path: Path) -> None:
    """A regression of two outputs is no class; files, copies and pickles know it."""
    if suffix != ".npz":
        pytest.importorskip(suffix[1:])
    x = RNG.standard_normal((30, 3)).astype(np.float32)
    model = rl.mlp([3, 4, 2], rng=0)
    assert model.predict(x).shape == (30,)
    trainer = rl.Trainer(model, rl.SquaredError(), rl.SGD(0.01))
    trainer.fit(x, x[:, :2], epochs=1)
    np.testing.assert_array_equal(model.predict(x), model(x))
    model.save(tmp_path / f"model{suffix}")
    trainer.save_checkpoint(tmp_path / "checkpoint.npz")
    for twin in (
        rl.load(tmp_path / f"model{suffix}"),
        rl.load(tmp_path / f"model{suffix}", model=rl.mlp([3, 4, 2])),
        rl.Trainer.restore(tmp_path / "checkpoint.npz").model,
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        model.astype(np.float64),
    ):
        assert twin.predicts == "numbers"
        assert twin.predict(x).shape == (30, 2)
    rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.SGD(0.01)).fit(x, (x[:, 0] > 0).astype(int), epochs=1)
    assert model.predict(x).shape == (30,)


def test_the_other_readers_of_a_file_know_what_is_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A regression of two outputs is no class for the command line and a C header either."""
    testing = pytest.importorskip("click.testing")
    pytest.importorskip("rich")
    from relu_layers.cli import program

    monkeypatch.chdir(tmp_path)
    x = RNG.standard_normal((6, 3)).astype(np.float32)
    model = rl.mlp([3, 4, 2], rng=0)
    model.save("classes.h")
    assert "classes_predict" in Path("classes.h").read_text()
    rl.Trainer(model, rl.SquaredError(), rl.SGD(0.01)).fit(x, x[:, :2], epochs=1)
    model.save("m.h")
    assert "m_predict" not in Path("m.h").read_text()
    model.save("m.npz")
    np.savetxt("d.csv", x, delimiter=",", header="a,b,c", comments="", fmt="%.9g")
    done = testing.CliRunner().invoke(program, ["predict", "m.npz", "d.csv", "--output", "p.csv"])
    assert done.exit_code == 0, done.output
    lines = Path("p.csv").read_text().splitlines()
    assert lines[0] == "output_0,output_1"
    found = np.array([line.split(",") for line in lines[1:]], dtype=np.float32)
    np.testing.assert_array_equal(found, model(x))
    refused = testing.CliRunner().invoke(program, ["predict", "m.npz", "d.csv", "--proba"])
    assert "predicts numbers" in refused.output
    np.savetxt("d.csv", np.c_[x, x[:, 0]], delimiter=",", header="a,b,c,y", comments="")
    scored = testing.CliRunner().invoke(program, ["predict", "m.npz", "d.csv", "--target", "y"])
    assert "no score: the model gives 2 outputs, not one class or number" in scored.output
    for command in ("explain", "gradcheck"):
        refused = testing.CliRunner().invoke(program, [command, "m.npz", "d.csv", "--target", "y"])
        assert "gives 2 numbers for each row, but the answers are one column" in refused.output
