"""The program as a user meets it: trains, writes, predicts, and fails with one clear line."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
from click.testing import Result


def flowers(rows: int = 150, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, rows)
    return {
        "length": np.round(kind + 0.2 * rng.normal(size=rows), 3),
        "colour": np.array(["red", "blue", "white"])[(kind + (rng.random(rows) < 0.1)) % 3],
        "weight": np.round(10.0 * kind + rng.normal(size=rows), 3),
        "kind": np.array(["rose", "iris", "lily"])[kind],
    }


def write(path: str, columns: dict[str, Any]) -> str:
    with Path(path).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def read(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_xor_is_learned_and_predicted(done: Callable[..., Result]) -> None:
    result = done("train", "xor")
    assert "accuracy 100.00% (4 of 4)" in result.output
    assert sorted(path.name for path in Path("xor").iterdir()) == ["history.csv", "loss.png", "model.npz"]
    assert Path("xor/loss.png").read_bytes().startswith(b"\x89PNG")
    history = read("xor/history.csv")
    assert [int(row["epoch"]) for row in history] == list(range(1, 201))
    assert float(history[-1]["loss"]) < 0.01 < float(history[0]["loss"])
    predicted = done("predict", "xor/model.npz", "xor", "--proba")
    rows = list(csv.DictReader(predicted.stdout.splitlines()))
    assert [row["prediction"] for row in rows] == ["0", "1", "1", "0"]
    assert float(rows[1]["probability_1"]) > 0.9
    assert "accuracy 100.00%" in predicted.stderr


def test_a_second_run_does_not_replace_the_first(done: Callable[..., Result]) -> None:
    done("train", "xor", "--epochs", "1")
    first = Path("xor/model.npz").read_bytes()
    done("train", "xor", "--epochs", "2")
    assert Path("xor/model.npz").read_bytes() == first
    assert Path("xor-2/model.npz").exists()


@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_digits_reach_97_percent(done: Callable[..., Result], seed: str) -> None:
    pytest.importorskip("sklearn")
    done("train", "digits", "--seed", seed, "--output", "out")
    done("predict", "out/model.npz", "digits", "--output", "all.csv")
    result = done("train", "digits", "--seed", seed, "--output", "again")
    line = next(line for line in result.output.splitlines() if line.startswith("test:"))
    assert float(line.split("accuracy ")[1].split("%")[0]) >= 97.0
    assert len(read("all.csv")) == 1797
    with np.load("out/model.npz") as one, np.load("again/model.npz") as two:
        assert all(np.array_equal(one[name], two[name]) for name in one.files if "weight" in name)


def test_two_moons_beat_any_straight_line(done: Callable[..., Result]) -> None:
    result = done("train", "two-moons")
    line = next(line for line in result.output.splitlines() if line.startswith("test:"))
    assert float(line.split("accuracy ")[1].split("%")[0]) >= 93.0


def test_classes_of_a_csv_file_with_categories(done: Callable[..., Result], tmp_path: Path) -> None:
    result = done("train", write("flowers.csv", flowers()), "--target", "kind", "--epochs", "30")
    assert "classification, 3 classes (iris, lily, rose)" in result.output
    assert "5 features" in result.output
    new = flowers(40, seed=1)
    shuffled = {name: new[name] for name in ("kind", "weight", "colour", "length")}
    told = done("predict", "flowers/model.npz", write("new.csv", shuffled), "--output", "out.csv")
    rows = read("out.csv")
    accuracy = np.mean([row["prediction"] == kind for row, kind in zip(rows, new["kind"], strict=True)])
    assert accuracy > 0.9
    assert f"accuracy {accuracy:.2%}" in told.output
    del new["kind"]
    assert "accuracy" not in done("predict", "flowers/model.npz", write("new.csv", new)).output


def test_regression_is_scored_and_predicted_in_the_unit_of_the_target(
    call: Callable[..., Result], done: Callable[..., Result]
) -> None:
    result = done("train", write("flowers.csv", flowers(300)), "--target", "weight", "--ignore", "colour")
    assert "regression" in result.output
    line = next(line for line in result.output.splitlines() if line.startswith("test:"))
    assert float(line.split("R2 ")[1].split(",")[0]) > 0.95
    new = flowers(50, seed=1)
    told = done("predict", "flowers/model.npz", write("new.csv", new), "--output", "out.csv").output
    predicted = np.array([float(row["prediction"]) for row in read("out.csv")])
    rmse = float(np.sqrt(np.mean((predicted - new["weight"]) ** 2)))
    assert rmse < 2.5
    assert f"RMSE {rmse:.4g}" in told
    assert "no probabilities" in call("predict", "flowers/model.npz", "new.csv", "--proba").output


def test_npz_with_x_and_y_needs_no_target(done: Callable[..., Result]) -> None:
    columns = flowers()
    x = np.stack([columns["length"], columns["weight"]], axis=1)
    np.savez("data.npz", x=x, y=np.unique(columns["kind"], return_inverse=True)[1])
    result = done("train", "data.npz", "--epochs", "5", "--dtype", "float64", "--threads", "1")
    assert "2 features" in result.output
    assert "float64" in result.output
    assert len(done("predict", "data/model.npz", "data.npz").stdout.splitlines()) == 151


def test_missing_values_refused_dropped_filled(
    call: Callable[..., Result], done: Callable[..., Result]
) -> None:
    columns = flowers(60)
    columns["length"] = [str(value) for value in columns["length"]]
    columns["length"][3] = "NA"
    path = write("gaps.csv", columns)
    refused = call("train", path, "--target", "kind")
    assert refused.exit_code == 1
    assert "column 'length' has 1 missing values, the first in row 4" in refused.output
    dropped = done(
        "train", path, "--target", "kind", "--missing", "drop", "--epochs", "2", "--output", "drop"
    )
    assert "left out 1 rows with missing values, 59 remain" in dropped.output
    told = done("predict", "drop/model.npz", path, "--output", "out.csv", "--proba").output
    assert "no prediction for 1 rows" in told
    assert [index for index, row in enumerate(read("out.csv")) if not row["prediction"]] == [3]
    done("train", path, "--target", "kind", "--missing", "mean", "--epochs", "2", "--output", "mean")
    done("predict", "mean/model.npz", path, "--output", "out.csv")
    assert all(row["prediction"] for row in read("out.csv"))


@pytest.mark.parametrize(
    "options",
    [
        ["--optimizer", "sgd", "--schedule", "step:gamma=0.5,every=3", "--momentum", "0.5"],
        ["--optimizer", "adamw", "--schedule", "multistep:milestones=2/5", "--weight-decay", "0.1"],
        ["--optimizer", "rmsprop", "--schedule", "constant", "--clip-norm", "1"],
        ["--optimizer", "adagrad", "--schedule", "exponential", "--warmup", "1"],
        ["--optimizer", "adadelta", "--schedule", "inverse", "--negative-slope", "0.1"],
        ["--schedule", "polynomial:power=2", "--dropout", "0.2", "--hidden", "8,8,8"],
        ["--schedule", "sigmoid", "--hidden", "none", "--standardize", "none", "--label-smoothing", "0.1"],
        ["--validation", "0", "--test", "0", "--batch-size", "1000"],
    ],
)
def test_options_reach_the_run(done: Callable[..., Result], options: list[str]) -> None:
    done("train", write("flowers.csv", flowers(60)), "--target", "kind", "--epochs", "3", *options)
    assert len(read("flowers/history.csv")) == 3


def test_patience_stops_early(done: Callable[..., Result]) -> None:
    done("train", write("flowers.csv", flowers()), "--target", "kind", "--epochs", "500", "--patience", "2")
    assert len(read("flowers/history.csv")) < 500


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "flowers.csv", "--target", "kid"], 1, "no column 'kid' (did you mean 'kind'?)"),
        (["train", "flowers.csv"], 1, "give --target COLUMN, one of: length, colour, weight, kind"),
        (["train", "flowers.csv", "--target", "kind", "--ignore", "colr"], 1, "did you mean 'colour'"),
        (["train", "flowers.csv", "--target", "kind", "--ignore", "kind"], 1, "cannot be ignored"),
        (["train", "flowers.csv", "--target", "kind", "--task", "regression"], 1, "is text"),
        (["train", "flower.csv", "--target", "kind"], 1, "no such file (did you mean 'flowers.csv'?)"),
        (["train", "empty.csv", "--target", "a"], 1, "is empty"),
        (["train", "header.csv", "--target", "a"], 1, "column names but no rows"),
        (["train", "ragged.csv", "--target", "a"], 1, "line 3: 1 cells"),
        (["train", "one.csv", "--target", "b"], 1, "'same' in every row"),
        (["train", "nan.csv", "--target", "b"], 1, "column 'a' has 1 missing values, the first in row 2"),
        (["train", "inf.csv", "--target", "b"], 1, "holds inf in row 2"),
        (["train", "two.csv", "--target", "b"], 1, "2 rows are too few"),
        (["train", "xor", "--hidden", "8,x"], 2, "is no list of sizes"),
        (["train", "xor", "--epochs", "0"], 2, "x>=1"),
        (["train", "xor", "--learning-rate", "-1"], 2, "x>0"),
        (["train", "xor", "--learning-rate", "nan"], 2, "--learning-rate"),
        (["train", "xor", "--negative-slope", "nan"], 2, "--negative-slope"),
        (["train", "xor", "--schedule", "cosin"], 1, "did you mean 'cosine'"),
        (["train", "xor", "--schedule", "step:gama=1"], 1, "has no setting 'gama'"),
        (["train", "xor", "--schedule", "step:every=x"], 1, "every is 'x', expected a number"),
        (["train", "xor", "--validation", "0.6", "--test", "0.5"], 2, "sum below 1"),
        (["train", "xor", "--validation", "0", "--patience", "3"], 2, "--patience needs validation"),
        (["train", "xor", "--output", "empty.csv/x"], 1, "not writable"),
        (["train", "xor", "--optimizer", "sgd", "--learning-rate", "1e30"], 1, "rate"),
        (["predict", "none.npz", "xor"], 1, "no such model file"),
        (["predict", "flowers.csv", "xor"], 1, "flowers.csv"),
        (["predict", "data.npz", "xor"], 1, "data.npz"),
        (["predict", "text.npz", "xor"], 1, "text.npz"),
    ],
)
def test_bad_input_is_one_clear_line(
    call: Callable[..., Result], arguments: list[str], code: int, message: str
) -> None:
    write("flowers.csv", flowers(40))
    files = {
        "empty.csv": "",
        "header.csv": "a,b\n",
        "ragged.csv": "a,b\n1,2\n3\n",
        "one.csv": "a,b\n1,same\n2,same\n",
        "nan.csv": "a,b\n1,x\nNaN,y\n3,x\n",
        "inf.csv": "a,b\n1,x\ninf,y\n3,x\n1,x\n2,y\n3,y\n",
        "two.csv": "a,b\n1,x\n2,y\n",
        "text.npz": "no model",
    }
    for name, text in files.items():
        Path(name).write_text(text)
    np.savez("data.npz", x=np.zeros((3, 2)))
    before = sorted(Path().rglob("*"))
    result = call(*arguments)
    assert result.exit_code == code, result.output
    errors = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, result.output
    assert message in errors[0]
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert sorted(Path().rglob("*")) == before


def test_predict_names_the_column_that_is_missing_or_strange(
    call: Callable[..., Result], done: Callable[..., Result]
) -> None:
    done("train", write("flowers.csv", flowers(60)), "--target", "kind", "--epochs", "1")
    new = flowers(5)
    new["lenght"] = new.pop("length")
    message = call("predict", "flowers/model.npz", write("new.csv", new)).output
    assert "column 'length' is missing (did you mean 'lenght'?)" in message
    new = flowers(5)
    new["colour"][2] = "whit"
    path = write("new.csv", new)
    refused = call("predict", "flowers/model.npz", path)
    assert refused.exit_code == 1
    assert "did you mean 'white'" in refused.output
    done("predict", "flowers/model.npz", path, "--unknown-category", "zero")
    new = flowers(5)
    new["kind"] = ["tulip", *new["kind"][1:]]
    told = done("predict", "flowers/model.npz", write("new.csv", new)).output
    assert "no score: target 'kind' holds 'tulip' in row 1" in told


def test_without_matplotlib_training_works_and_says_what_to_install(
    done: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.split(".")[0] == "matplotlib":
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = done("train", "xor", "--epochs", "2")
    assert re.search(r"pip install .*\[plot\]", result.output.replace("\n", ""))
    assert Path("xor/model.npz").exists()
    assert not Path("xor/loss.png").exists()


def test_info_tells_where_it_runs(done: Callable[..., Result]) -> None:
    lines = dict(line.split(maxsplit=1) for line in done("info").output.splitlines())
    assert lines["NumPy"] == np.__version__
    assert lines["target"] in lines["targets"]
    assert int(lines["threads"]) >= 1
    assert lines.keys() >= {"relu_layers", "CPU", "compiler"}
