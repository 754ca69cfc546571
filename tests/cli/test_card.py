"""The card in a model file: what `relu-layers train` writes, what `inspect` and `rl.load` give, in every format."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

import relu_layers as rl
from relu_layers._files import npz

EXTRAS = {".safetensors": "safetensors", ".onnx": "onnx"}
SUFFIXES = (".npz", ".safetensors", ".onnx")


def gappy_file() -> str:
    """Write a table with an id, gaps and a row without a target."""
    draw = np.random.default_rng(0)
    lines = ["id,a,b,y"]
    for row in range(100):
        a = draw.normal()
        gap = "" if row % 20 == 3 else f"{a:.3f}"
        lines.append(f"n{row},{gap},{'uv'[row % 2]},{'' if row == 50 else f'{2 * a + draw.normal():.3f}'}")
    Path("t.csv").write_text("\n".join(lines) + "\n")
    return "t.csv"


@pytest.fixture
def carded() -> rl.Sequential:
    model = rl.mlp([2, 3, 1], rng=0)
    model.card = {
        "data": {"file": "a.csv", "rows": np.int64(7)},
        "seen": (1, 2.5, None, True),
        "note": "h\u00e9",
    }
    return model


PLAIN = {"data": {"file": "a.csv", "rows": 7}, "seen": [1, 2.5, None, True], "note": "h\u00e9"}


def test_train_writes_the_card_and_inspect_shows_it(done: Callable[..., Result]) -> None:
    first, last = datetime.date.today(), None
    options = ("--target", "y", "--ignore", "id", "--missing", "mean", "--hidden", "4", "--epochs", "3")
    scored = json.loads(
        done("train", gappy_file(), *options, "--seed", "5", "--json", "--output", "m").stdout
    )
    last = datetime.date.today()
    card = rl.load("m/model.npz").card
    assert card is not None
    assert card["data"] == {"file": "t.csv", "rows": 100, "columns": 4}
    assert first <= datetime.date.fromisoformat(card["date"]) <= last
    assert card["program"] == f"relu_layers {rl.__version__}"
    assert card["left out"] == {"columns": ["id"], "rows": 1}
    assert card["filled"] == {"values": 5, "columns": {"a": 5}}
    assert card["split"] == scored["split"]
    assert sum(card["split"].values()) == 99
    assert card["settings"]["hidden"] == [4]
    assert (card["settings"]["seed"], card["settings"]["missing"]) == (5, "mean")
    assert card["training"]["epochs"] == 3
    for name in ("part", "loss", "r2", "rmse", "baselines"):
        assert card["scores"][name] == scored[name]
    assert json.loads(done("inspect", "m/model.npz", "--json").stdout)["card"] == card
    shown = done("inspect", "m/model.npz").stdout
    for line in (
        "data: file t.csv, rows 100, columns 4",
        f"date: {card['date']}",
        "left out: columns id, rows 1",
        "filled columns: a 5",
        f"scores baselines: mean {card['scores']['baselines']['mean']:.4g}",
        "hidden 4",
    ):
        assert line in shown


def test_what_the_data_needs_no_word_about_stays_out(done: Callable[..., Result]) -> None:
    done("train", "xor", "--epochs", "1", "--output", "m")
    card = rl.load("m/model.npz").card
    assert card is not None
    assert "left out" not in card
    assert "filled" not in card
    assert "momentum" not in card["settings"]
    assert card["split"] == {"training": 4, "validation": 0, "test": 0}
    assert card["scores"]["part"] == "training"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_of_ours_gives_it_back_with_the_same_bytes(
    carded: rl.Sequential, suffix: str, tmp_path: Path
) -> None:
    if suffix in EXTRAS:
        pytest.importorskip(EXTRAS[suffix])
    for name in "ab":
        carded.save(tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    back = rl.load(tmp_path / f"a{suffix}")
    assert back.card == PLAIN
    assert rl.load(tmp_path / f"a{suffix}", model=rl.mlp([2, 3, 1], rng=1)).card == PLAIN
    assert back.copy().card == PLAIN
    assert back.astype(np.float64).card == PLAIN
    assert back.part(0, 1).card is None


def test_a_training_keeps_it_and_a_conversion_says_where_it_stays_behind(
    carded: rl.Sequential, done: Callable[..., Result], tmp_path: Path
) -> None:
    rl.Trainer(carded, rl.SquaredError(), rl.SGD(0.1)).save_checkpoint(tmp_path / "t.npz")
    assert rl.Trainer.restore(tmp_path / "t.npz").model.card == PLAIN
    carded.save("m.npz")
    assert "left behind: the card" in done("convert", "m.npz", "m.h").output
    assert "card" not in done("convert", "m.npz", "n.npz").output


def test_files_without_a_card_load(carded: rl.Sequential, call: Callable[..., Result]) -> None:
    carded.save("new.npz")
    document = npz.read("new.npz")
    del document["model"]["card"]
    npz.write(document, "old.npz")
    assert rl.load("old.npz").card is None
    assert "card" not in call("inspect", "old.npz").output


WRONG: dict[str, Any] = {
    "a list": [1],
    "a key that is no text": {1: 2},
    "the key of arrays": {"__array__": "x"},
    "a set": {"a": {1}},
    "an array": {"a": np.zeros(3)},
    "a date": {"a": datetime.date(2026, 1, 1)},
    "not a number": {"a": [math.nan]},
    "infinite": {"a": {"b": math.inf}},
    "a huge number": {"a": 2**70},
    "deep": {"a": [[[[[[[[[[]]]]]]]]]]},
    "long": {"a": list(range(20_000))},
}


@pytest.mark.parametrize("card", WRONG.values(), ids=WRONG)
def test_what_could_not_be_read_is_refused(card: Any, tmp_path: Path) -> None:
    model = rl.mlp([2, 1], rng=0)
    model.card = card
    for suffix in SUFFIXES:
        if suffix in EXTRAS:
            pytest.importorskip(EXTRAS[suffix])
        with pytest.raises(ValueError, match=r"card"):
            model.save(tmp_path / f"m{suffix}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("card", [3, [1], {"a": [[[[[[[[[[]]]]]]]]]]}], ids=str)
def test_a_forged_card_is_refused(card: Any, carded: rl.Sequential) -> None:
    carded.save("m.npz")
    document = npz.read("m.npz")
    document["model"]["card"] = card
    npz.write(document, "forged.npz")
    with pytest.raises(ValueError, match=r"forged\.npz cannot be loaded: the card"):
        rl.load("forged.npz")


@pytest.mark.parametrize("text", ["{", "3", "[" * 5000, '{"a": NaN}'])
def test_a_forged_card_of_an_onnx_file_is_refused(text: str, carded: rl.Sequential) -> None:
    onnx = pytest.importorskip("onnx")
    carded.save("m.onnx")
    proto = onnx.load("m.onnx")
    entry = next(one for one in proto.metadata_props if one.key == "relu_layers.card")
    entry.value = text
    onnx.save(proto, "forged.onnx")
    with pytest.raises(ValueError, match="its card is damaged"):
        rl.load("forged.onnx")


def test_a_card_of_anybody_is_shown_without_its_control_characters(call: Callable[..., Result]) -> None:
    model = rl.mlp([2, 1], rng=0)
    model.card = {
        "a\x1b[31m": "\x1b[2J",
        "b": {"\u202e": {"c": ["\r", []]}},
        **{f"k{i}": i for i in range(100)},
    }
    model.save("m.npz")
    shown = call("inspect", "m.npz").output
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert "\u202e" not in shown
    assert "lines more, all with --json" in shown
