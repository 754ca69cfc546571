"""Few rows choose by cross-validation what is trained: a linear model, with how much weight decay, or a network."""

from __future__ import annotations

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


def file(x: Any, y: Any) -> str:
    lines = [
        ",".join([*(f"{value:.5f}" for value in row), str(answer)]) for row, answer in zip(x, y, strict=True)
    ]
    names = [*(f"x{i}" for i in range(x.shape[1])), "y"]
    Path("d.csv").write_text("\n".join([",".join(names), *lines]) + "\n")
    return "d.csv"


def straight(rows: int) -> str:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, 4))
    return file(x, np.round(x @ [1.0, -2.0, 0.5, 0.0] + 0.5 * rng.normal(size=rows), 4))


def ring(rows: int) -> str:
    x = np.random.default_rng(2).normal(size=(rows, 2))
    return file(x, np.where((x**2).sum(axis=1) > 1.4, "out", "in"))


def noise(rows: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    return file(rng.normal(size=(rows, 5)), np.round(rng.normal(size=rows), 4))


QUICK = ("--target", "y", "--epochs", "60", "--learning-rate", "0.03")


def chosen(result: Result) -> str:
    note = next(line for line in result.output.splitlines() if line.startswith("note: 5 folds"))
    return note.partition(" chose ")[2].partition(" (loss: ")[0]


def test_the_model_fits_the_data(done: Callable[..., Result]) -> None:
    line = done("train", straight(60), *QUICK, "--output", "a")
    assert chosen(line).startswith("a linear model")
    assert [type(layer) for layer in rl.load("a/model.npz").layers] == [rl.Dense]
    curve = done("train", ring(200), *QUICK, "--output", "b")
    assert chosen(curve) == "a network 64,32"
    assert len(rl.load("b/model.npz").layers) == 5
    card = rl.load("b/model.npz").card
    assert card is not None
    assert card["settings"]["hidden"] == [64, 32]


def test_noise_ends_near_the_mean(done: Callable[..., Result]) -> None:
    for seed in range(2):
        arguments = ("train", noise(24, seed), "--target", "y", "--seed", seed, "--learning-rate", "0.03")
        scored = json.loads(done(*arguments, "--epochs", "400", "--json", "--output", f"m{seed}").stdout)
        card = rl.load(f"m{seed}/model.npz").card
        assert card is not None
        assert card["settings"]["hidden"] == []
        assert card["settings"]["weight-decay"] == pytest.approx(
            100 * 2 / scored["split"]["training"], rel=0.06
        )
        assert scored["r2"] > scored["baselines"]["mean"] - 0.1


def test_a_linear_model_keeps_no_rows_back_and_the_test_rows_stay(done: Callable[..., Result]) -> None:
    common = ("train", straight(100), *QUICK, "--json", "--output", "m")
    free = json.loads(done(*common).stdout)
    said = json.loads(done(*common, "--hidden", "none", "--validation", "0").stdout)
    assert free["split"] == {"training": 80, "validation": 0, "test": 20}
    assert free["baselines"] == said["baselines"]  # the same rows held out
    curve = json.loads(done(*common[:1], ring(200), *common[2:]).stdout)
    assert curve["split"] == {"training": 140, "validation": 20, "test": 40}


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (60, ("--hidden", "8")),
        (60, ("--hidden", "none")),
        (8, ("--test", "0")),
        (12_600, ()),
        (10_000, ("--test", "0")),
    ],
)
def test_nothing_is_chosen_where_it_is_said_or_the_rows_are_too_few_or_enough(
    rows: int, options: tuple[str, ...], done: Callable[..., Result]
) -> None:
    assert "folds" not in done("train", straight(rows), "--target", "y", "--epochs", "1", *options).output


def test_what_was_given_is_kept(done: Callable[..., Result]) -> None:
    result = done(
        "train", straight(60), "--target", "y", "--epochs", "20", "--weight-decay", "0.5", "--output", "m"
    )
    assert "times the weight decay" not in result.output
    card = rl.load("m/model.npz").card
    assert card is not None
    assert card["settings"]["weight-decay"] == 0.5
    assert card["settings"]["epochs"] == 20


def test_a_training_that_chose_goes_on(done: Callable[..., Result]) -> None:
    once = ("train", ring(120), "--target", "y", "--epochs", "6", "--output", "m")
    done(*once, "--checkpoint", "c.npz")
    with np.load("m/model.npz") as whole:
        weights = whole["model/params/0.weight"]
    done(*once, "--resume", "c.npz")
    with np.load("m/model.npz") as again:
        assert np.array_equal(again["model/params/0.weight"], weights)


def test_a_rate_that_ruins_a_candidate_does_not_stop_the_others(call: Callable[..., Result]) -> None:
    result = call(
        "train", straight(40), "--target", "y", "--epochs", "20", "--optimizer", "sgd", "--learning-rate", "1"
    )
    assert "Traceback" not in result.output
    assert result.exit_code in (0, 1)
