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
from relu_layers.explanation import terminal


@pytest.fixture(autouse=True)
def no_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    """English, unless a test asks for another language."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)


def test_xor_answers_the_question_in_80_columns(done: Callable[..., Result]) -> None:
    output = done("explain", "xor").output
    assert max(map(len, output.splitlines())) <= 80
    words = " ".join(output.split())
    for said in (
        "Does a closed gate kill the learning? No.",
        "only for this unit and this row",
        "ends in squared errors, without softmax",
        "Backward through ReLU: the gate",
        "The whole path, from the loss to one weight",
        "0 are wrong",
        "grad_h[h < 0] = 0",
    ):
        assert said in words
    assert len(output.splitlines()) < 200
    assert len(done("explain", "xor", "--all", "--no-check").output.splitlines()) > len(output.splitlines())


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_tour_answers_the_question_in_its_first_ten_lines(done: Callable[..., Result], lang: str) -> None:
    lines = done("explain", "tour", "--lang", lang).output.splitlines()
    assert max(map(terminal.columns, lines)) <= 80
    words = " ".join(" ".join(lines[:10]).split())
    answers = {
        "en": (
            "Does a closed gate kill the learning? No.",
            "only if every row closes it",
            "a negative slope",
        ),
        "ja": ("止まりません", "すべての行がゲートを閉じたときだけ", "負側の傾き"),
    }
    for answer in answers[lang]:
        assert answer in (words.replace(" ", "") if lang == "ja" else words)


def test_the_tours_numbers_are_for_pencil_and_paper(
    done: Callable[..., Result], call: Callable[..., Result]
) -> None:
    done("explain", "tour", "--json", "tour.json")
    read = json.loads(Path("tour.json").read_text(encoding="utf-8"))
    arrays = [read["loss"][name] for name in ("output", "probabilities", "gradient", "exponentials")]
    for layer in read["layers"]:
        arrays += [layer["x"], layer["y"], layer["dy"], *layer["params"].values(), *layer["grads"].values()]
    for array in arrays:
        for value in np.ravel(array["values"]):
            assert len(f"{abs(value):.10g}".replace(".", "").lstrip("0")) <= 2, value
    assert read["layers"][1]["x"]["values"] == [[2.0, -1.0, 0.0]]
    assert read["layers"][0]["grads"]["weight"]["values"] == [[0.5, 0.0, 0.0], [1.0, 0.0, 0.0]]
    assert call("explain", "tour", "--hidden", "4").exit_code == 1


@pytest.mark.parametrize(
    ("environment", "japanese"),
    [
        ({"LANG": "ja_JP.UTF-8"}, True),
        ({"LANG": "ja_JP"}, True),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "ja_JP.UTF-8"}, True),
        ({"LANG": "ja_JP.UTF-8", "LC_MESSAGES": "C"}, False),
        ({"LANG": "de_DE.UTF-8"}, False),
        ({}, False),
    ],
)
def test_the_locale_chooses_the_language(
    done: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    japanese: bool,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ("逆伝播" in done("explain", "tour", "--no-check").output) == japanese
    assert "逆伝播" not in done("explain", "tour", "--no-check", "--lang", "en").output
    assert "逆伝播" in done("explain", "tour", "--no-check", "--lang", "ja").output


def test_a_table_keeps_the_names_of_its_columns_and_classes(done: Callable[..., Result]) -> None:
    rng = np.random.default_rng(0)
    islands, species = ("Biscoe", "Dream", "Torgersen"), ("Adelie", "Gentoo")
    lines = ["island,bill,species"]
    for row in range(40):
        kind = row % 2
        bill = 35 + 10 * kind + rng.standard_normal()
        lines.append(f"{islands[rng.integers(3)]},{bill:.1f},{species[kind]}")
    Path("birds.csv").write_text("\n".join(lines), encoding="utf-8")
    done("train", "birds.csv", "--target", "species", "--hidden", "3", "--epochs", "2", "--output", "birds")
    given = ("birds/model.npz", "birds.csv", "--rows", "4")
    words = " ".join(done("explain", *given, "--sample", "0").output.split())
    for part in ("wanted: Adelie", "island=Biscoe", "0 Adelie", "1 Gentoo"):
        assert part in words
    done("explain", *given, "--html", "birds.html")
    page = Path("birds.html").read_text(encoding="utf-8")
    assert '"features":["island=Biscoe","island=Dream","island=Torgersen","bill"]' in page
    assert '"classes":["Adelie","Gentoo"]' in page


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
