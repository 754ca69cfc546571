"""`relu-layers gradcheck` as a user meets it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
from click.testing import Result

import relu_layers as rl


@pytest.fixture
def trained(done: Callable[..., Result]) -> Callable[..., str]:
    """Train briefly and return the model's file."""

    def train(data: str, *options: str) -> str:
        done("train", data, "--epochs", "2", "--output", "out", *options)
        return "out/model.npz"

    return train


def write(path: str, rows: list[list[Any]]) -> str:
    with Path(path).open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return path


def table(rows: int = 40) -> list[list[Any]]:
    rng = np.random.default_rng(0)
    kinds = ["iris", "rose"]
    lines: list[list[Any]] = [["length", "colour", "kind", "weight"]]
    for row in range(rows):
        lines.append([round(rng.normal(), 3), "rb"[row % 3 == 0], kinds[row % 2], round(rng.normal(), 3)])
    return lines


def test_a_trained_model_passes(call: Callable[..., Result], trained: Callable[..., str]) -> None:
    result = call("gradcheck", trained("xor"), "xor")
    assert result.exit_code == 0, result.output
    assert "gradients agree: all 160 entries checked" in result.output
    assert "0.weight" in result.output
    assert "eps |loss| / h" in result.output
    assert max(map(len, result.output.splitlines()[2:])) <= 80


@pytest.mark.parametrize("target", ["kind", "weight"])
def test_csv_data_goes_through_the_models_preprocessing(
    call: Callable[..., Result], trained: Callable[..., str], target: str
) -> None:
    data = write("table.csv", table())
    result = call("gradcheck", trained(data, "--target", target, "--hidden", "5"), data, "--rows", "3")
    assert result.exit_code == 0, result.output
    assert "3 rows" in result.output
    assert ("SoftmaxCrossEntropy" if target == "kind" else "SquaredError") in result.output


def test_sample_seed_and_all(call: Callable[..., Result], trained: Callable[..., str]) -> None:
    model = trained("xor")
    few = call("gradcheck", model, "xor", "--entries", "20", "--seed", "1")
    assert "20 (12.5%) of 160 entries checked" in few.output
    assert "seed 1" in few.output
    assert "all 160" in call("gradcheck", model, "xor", "--entries", "20", "--all").output


def test_a_kink_is_no_failure_and_is_named(call: Callable[..., Result]) -> None:
    model = rl.Sequential(rl.Dense(2, 3), rl.ReLU(0.1), rl.Dense(3, 2), dtype=np.float64)
    model.load_params(
        {
            "0.weight": np.array([[0.5, -1.0, 1.0], [0.25, -0.5, -0.5]]),
            "0.bias": np.array([0.0, 0.25, 0.0]),
            "2.weight": np.array([[1.0, -1.0], [0.5, 0.5], [2.0, -2.0]]),
            "2.bias": np.array([0.1, -0.1]),
        }
    )
    model.save("golden.npz")
    data = write("golden.csv", [["a", "b", "label"], [1, 2, 1]])
    result = call("gradcheck", "golden.npz", data, "--target", "label")
    assert result.exit_code == 0, result.output
    assert "14 ok, 5 kink, 0 wrong" in result.output
    assert "unit 2 of layer 1, ReLU(0.1), sample 0: input 0" in " ".join(result.output.split())


def test_a_wrong_gradient_is_exit_code_1(
    call: Callable[..., Result], trained: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = trained("xor")
    right = rl.SoftmaxCrossEntropy.__call__

    def wrong(self: Any, *arguments: Any, **options: Any) -> Any:
        value, dy = right(self, *arguments, **options)
        return value, dy * 4.0

    monkeypatch.setattr(rl.SoftmaxCrossEntropy, "__call__", wrong)
    result = call("gradcheck", model, "xor")
    assert result.exit_code == 1
    assert "GRADIENTS ARE WRONG" in result.output
    assert "hint: " in result.output
    assert "4 times too large" in " ".join(result.output.split())


def test_models_without_preprocessing_take_a_target(call: Callable[..., Result]) -> None:
    rl.Sequential(rl.Dense(2, 3), rl.Tanh(), rl.Dense(3, 1), rl.Sigmoid(), rng=0).save("plain.npz")
    data = write("plain.csv", [["a", "b", "t"], [1, 2, 1], [0.5, 1, 0]])
    result = call("gradcheck", "plain.npz", data, "--target", "t")
    assert result.exit_code == 0, result.output
    assert "SigmoidCrossEntropy" in result.output
    refused = call("gradcheck", "plain.npz", data)
    assert refused.exit_code == 1
    assert "--target COLUMN" in refused.output
    words = write("words.csv", [["a", "b", "t"], [1, 2, "yes"], [0.5, 1, "no"]])
    refused = call("gradcheck", "plain.npz", words, "--target", "t")
    assert refused.exit_code == 1
    assert "column 't' is text" in refused.output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nothing.npz", "xor"), 1, "nothing.npz: no such model file"),
        (("out/model.npz", "nothing.csv"), 1, "nothing.csv"),
        (("out/model.npz", "two-moons"), 1, "no column 'xor'"),
        (("out/model.npz", "xor", "--target", "q"), 1, "no column 'q'"),
        (("out/model.npz", "xor", "--rows", "0"), 2, "--rows"),
        (("out/model.npz", "xor", "--entries", "0"), 2, "--entries"),
        (("out/model.npz",), 2, "DATA"),
        (("out/history.csv", "xor"), 1, "history.csv"),
    ],
)
def test_problems_are_one_clear_line(
    call: Callable[..., Result],
    trained: Callable[..., str],
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    trained("xor")
    result = call("gradcheck", *arguments)
    assert result.exit_code == code
    assert message in result.output
    assert "Traceback" not in result.output
