"""`relu-layers explain` as a user meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
from click.testing import Result

import relu_layers as rl


def test_xor_answers_the_question_in_80_columns(done: Callable[..., Result]) -> None:
    output = done("explain", "xor").output
    assert max(map(len, output.splitlines())) <= 80
    words = " ".join(output.split())
    for said in (
        "Where the unit's input z was above 0, the gradient passes unchanged",
        "it stops there",
        "Backward through ReLU: the gate",
        "The whole path, from the loss to one weight",
        "0 are wrong",
        "grad_h[h < 0] = 0",
    ):
        assert said in words
    assert len(output.splitlines()) < 200
    assert len(done("explain", "xor", "--all", "--no-check").output.splitlines()) > len(output.splitlines())


def test_files_are_written(done: Callable[..., Result]) -> None:
    done(
        "explain",
        "xor",
        "--html",
        "page.html",
        "--markdown",
        "page.md",
        "--json",
        "page.json",
        "--hidden",
        "8",
    )
    assert Path("page.html").stat().st_size < 300_000
    assert Path("page.md").read_text(encoding="utf-8").startswith("# Backprop")
    read = json.loads(Path("page.json").read_text(encoding="utf-8"))
    assert read["layers"][0]["params"]["weight"]["shape"] == [2, 8]
    assert len(read["training"]["losses"]) == 201


def test_digits_with_a_row_and_a_page(done: Callable[..., Result]) -> None:
    pytest.importorskip("sklearn")
    done("explain", "digits", "--sample", "7", "--html", "page.html")
    page = Path("page.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 300_000
    assert '"start":[7,' in page


def test_two_moons_after_some_steps_in_japanese(done: Callable[..., Result]) -> None:
    output = done("explain", "two-moons", "--after", "20", "--lang", "ja", "--no-check").output
    assert "逆伝播" in output
    assert "after 20 steps" in output


def test_a_model_file_on_data(done: Callable[..., Result], tmp_path: Path) -> None:
    model = rl.mlp([2, 4, 2], rng=0, dtype=np.float64)
    model.save("model.npz")
    output = done(
        "explain", "model.npz", "two-moons", "--lang", "ja", "--rows", "6", "--unit", "2", "--sample", "5"
    ).output
    assert "ユニット 2" in output
    assert "two-moons, 2-4-2" in output


def test_what_does_not_fit_is_one_clear_line(call: Callable[..., Result]) -> None:
    for arguments, said in (
        (("nothing.npz",), "needs DATA"),
        (("nothing.npz", "xor"), "no such model file"),
        (("xor", "--sample", "4"), "rows 0 to 3"),
        (("xor", "--unit", "30"), "has 30 units"),
    ):
        result = call("explain", *arguments)
        assert result.exit_code == 1
        assert said in result.output
        assert "Traceback" not in result.output
