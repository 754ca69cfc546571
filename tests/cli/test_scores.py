"""Scores and what stands beside them: baselines, scores per class, warnings, JSON, the best epoch, enough steps."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
from click.testing import Result

import relu_layers as rl
from relu_layers.cli.baselines import linear_outputs
from relu_layers.cli.scores import area_under_curve, classification_scores, regression_scores


def line_file(rows: int = 80, noise: float = 0.3, seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2))
    y = 3.0 + x @ [2.0, -1.0] + noise * rng.normal(size=rows)
    np.savetxt("d.csv", np.c_[x, y], delimiter=",", header="a,b,y", comments="", fmt="%.6f")
    return "d.csv"


def class_file(rare: int = 20, rows: int = 120) -> str:
    rng = np.random.default_rng(0)
    kind = np.arange(rows) < rare
    x = rng.normal(size=(rows, 2)) + 1.5 * kind[:, None]
    with Path("c.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["a", "b", "y"])
        writer.writerows(
            [*map("{:.5f}".format, row), "rare" if one else "usual"] for row, one in zip(x, kind, strict=True)
        )
    return "c.csv"


def test_the_baselines_are_those_of_scikit_learn() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 4))
    y = x @ rng.normal(size=(4, 1)) + 5.0
    ridge = linear_model.Ridge(alpha=1.0).fit(x, y)
    found = linear_outputs((x, y), x[:20], 0)
    assert found is not None
    np.testing.assert_allclose(found.ravel(), ridge.predict(x[:20]).ravel(), rtol=1e-8)
    labels = np.digitize(x[:, 0] + 0.3 * rng.normal(size=200), [-0.5, 0.5])
    logistic = linear_model.LogisticRegression(C=1.0, tol=1e-10, max_iter=5000).fit(x, labels)
    outputs = linear_outputs((x, labels), x, 3)
    assert outputs is not None
    assert np.mean(outputs.argmax(axis=1) == logistic.predict(x)) > 0.98


def test_scores_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, 100)
    outputs = np.round(rng.normal(size=(100, 3)) + 1.2 * np.eye(3)[labels], 1)
    scores = classification_scores(labels, outputs, ["a", "b", "c"])
    said = outputs.argmax(axis=1)
    assert scores["accuracy"] == metrics.accuracy_score(labels, said)
    for index, name in enumerate("abc"):
        entry = scores["classes"][name]
        assert entry["recall"] == pytest.approx(
            metrics.recall_score(labels == index, said == index), rel=1e-12
        )
        assert entry["f1"] == pytest.approx(metrics.f1_score(labels == index, said == index), rel=1e-12)
        ties = np.round(outputs[:, index])
        assert area_under_curve(labels == index, ties) == pytest.approx(
            metrics.roc_auc_score(labels == index, ties), rel=1e-12
        )
    assert area_under_curve(np.ones(3, bool), np.arange(3.0)) is None
    truth, guess = rng.normal(size=50), rng.normal(size=50)
    assert regression_scores(truth, guess)["r2"] == pytest.approx(metrics.r2_score(truth, guess), rel=1e-12)
    assert regression_scores(np.ones(3), np.zeros(3))["r2"] is None


def test_baselines_stand_beside_the_score(done: Callable[..., Result]) -> None:
    out = done("train", line_file(), "--target", "y", "--epochs", "5").output
    line = next(line for line in out.splitlines() if line.startswith("baselines: "))
    assert float(line.split("the mean R2 ")[1].split(",")[0]) <= 0.0
    assert float(line.split("a linear model R2 ")[1]) > 0.9
    out = done("train", class_file(), "--target", "y", "--epochs", "5").output
    assert "baselines: always 'usual' 83.33%, a linear model" in out
    assert "recall" in out
    told = done("predict", "c/model.npz", "c.csv", "--output", "p.csv").output
    assert "always 'usual' would be right in 83.33%" in told
    assert "AUC" in told
    even = done("train", class_file(rare=60), "--target", "y", "--epochs", "5", "--output", "even").output
    assert "recall" not in even


def test_json_is_all_that_is_printed(done: Callable[..., Result]) -> None:
    result = done("train", line_file(), "--target", "y", "--epochs", "5", "--json", "--output", "m")
    scored = json.loads(result.stdout)
    assert scored["task"] == "regression"
    assert scored["split"] == {"training": 56, "validation": 8, "test": 16}
    assert scored["baselines"].keys() == {"mean", "linear"}
    assert Path(scored["model"]).exists()
    quiet = done("train", line_file(), "--target", "y", "--epochs", "5", "--quiet", "--output", "m").stdout
    assert quiet.strip().startswith("test: ")
    assert "wrote" not in quiet


def test_warnings_of_scores_that_mean_little(done: Callable[..., Result]) -> None:
    out = done(
        "train", line_file(30), "--target", "y", "--epochs", "1", "--learning-rate", "1e-9", "--hidden", "4"
    ).output
    assert "R2 is below 0" in out
    assert "validation has 3 rows, too few" in out
    assert "a linear model is no worse here: --hidden none" in out
    more = done(
        "train", line_file(300), "--target", "y", "--epochs", "3", "--learning-rate", "1e-3", "--hidden", "8",
        "--output", "m",
    )  # fmt: skip
    assert "the last epoch was the best: --epochs 6" in more.output


def test_classes_can_be_balanced(call: Callable[..., Result], done: Callable[..., Result]) -> None:
    recalls = {}
    for name, options in (("plain", []), ("balanced", ["--class-weight", "balanced"])):
        done(
            "train",
            class_file(12, 240),
            "--target",
            "y",
            "--hidden",
            "none",
            "--test",
            "0",
            "--output",
            name,
            *options,
        )
        model = rl.load(f"{name}/model.npz")
        rows = list(csv.DictReader(Path("c.csv").read_text().splitlines()))
        x = {key: [float(row[key]) for row in rows] for key in ("a", "b")}
        said = model.preprocessing.decode_target(model(model.preprocessing.transform(x)).argmax(axis=1))
        recalls[name] = np.mean(said[:12] == "rare")
    assert recalls["balanced"] > recalls["plain"] + 0.1
    refused = call("train", line_file(), "--target", "y", "--class-weight", "balanced")
    assert "--class-weight is for classes" in refused.output


def test_patience_0_keeps_the_best_epoch(done: Callable[..., Result]) -> None:
    out = done(
        "train", line_file(60, 3.0), "--target", "y", "--epochs", "80", "--patience", "0", "--output", "m"
    ).output
    history = list(csv.DictReader(Path("m/history.csv").read_text().splitlines()))
    assert len(history) == 80
    best = min(history, key=lambda row: float(row["validation_loss"]))["epoch"]
    assert f"kept the weights of epoch {best}," in out


@pytest.mark.parametrize("seed", range(3))
def test_few_rows_get_enough_steps_for_a_linear_model(seed: int, done: Callable[..., Result]) -> None:
    result = done(
        "train", line_file(60), "--target", "y", "--hidden", "none", "--seed", seed, "--json", "--output", "m"
    )
    scored: dict[str, Any] = json.loads(result.stdout)
    assert scored["r2"] > scored["baselines"]["linear"] - 0.02
    assert scored["epochs"] > 60


def test_version_and_completion(done: Callable[..., Result]) -> None:
    assert rl.__version__ in done("--version").output
    assert "_RELU_LAYERS_COMPLETE" in done("--help").output
