"""History: columns, rows, files, and what notebooks show."""

from __future__ import annotations

import csv
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relu_layers.history import History


@pytest.fixture
def history() -> History:
    result = History()
    result.append({"loss": 2.0, "learning_rate": 0.1, "dead_units": (3, 0)})
    result.append({"loss": 1.0, "validation_loss": 1.5, "learning_rate": 0.05, "dead_units": (2, 1)})
    return result


def test_columns(history: History) -> None:
    assert history.epochs == len(history) == 2
    assert history.names == ("loss", "learning_rate", "dead_units", "validation_loss")
    np.testing.assert_array_equal(history["loss"], [2.0, 1.0])
    np.testing.assert_array_equal(history["validation_loss"], [np.nan, 1.5])
    np.testing.assert_array_equal(history["dead_units"], [[3, 0], [2, 1]])
    assert (history["loss"].dtype, history["dead_units"].dtype) == (np.float64, np.int64)
    history["loss"][:] = 0.0
    np.testing.assert_array_equal(history["loss"], [2.0, 1.0])


def test_rows(history: History) -> None:
    rows = list(history)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[1] == history.last()
    rows[0]["loss"] = 7.0
    assert history["loss"][0] == 2.0


def test_an_unknown_column_names_the_others(history: History) -> None:
    assert "loss" in history
    assert "accuracy" not in history
    with pytest.raises(KeyError, match=r"no 'los' .*did you mean 'loss'.*loss, learning_rate, dead_units"):
        history["los"]
    with pytest.raises(KeyError, match="no epoch yet"):
        History()["loss"]


def test_columns_make_it_again(history: History) -> None:
    twin = History.from_columns(history.columns())
    assert list(twin) == list(history)
    assert list(History.from_columns({})) == []
    history.append({"loss": 0.5})
    twin = History.from_columns(history.columns())
    np.testing.assert_array_equal(twin["dead_units"], history["dead_units"])
    with pytest.raises(ValueError, match="equal numbers"):
        History.from_columns({"a": np.zeros(2), "b": np.zeros(3)})


def test_csv(history: History, tmp_path: Path) -> None:
    history.to_csv(tmp_path / "h.csv")
    with (tmp_path / "h.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "epoch",
        "loss",
        "learning_rate",
        "dead_units_0",
        "dead_units_1",
        "validation_loss",
    ]
    assert rows[0]["validation_loss"] == ""
    assert float(rows[1]["validation_loss"]) == 1.5
    assert (rows[1]["epoch"], rows[1]["dead_units_0"]) == ("2", "2")


def test_plot_is_a_figure(history: History, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    figure = history.plot(tmp_path / "loss.png", title="mine")
    np.testing.assert_array_equal(figure.axes[0].get_lines()[1].get_ydata(), [2.0, 1.0])
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_extra_is_named(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install .*\[plot\]"):
        history.plot()


def test_html_is_a_table_and_a_curve(history: History) -> None:
    class Parser(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []
            self.cells: list[str] = []
            self.points: list[str] = []

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.open.append(tag)
            if tag == "polyline":
                self.points.append(dict(attrs)["points"])

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

        def handle_data(self, data: str) -> None:
            if self.open and self.open[-1] == "td":
                self.cells.append(data)

    parser = Parser()
    parser.feed(history._repr_html_())
    assert parser.open == []
    assert parser.cells[:5] == ["1", "2", "0.1", "3 0", "2"]
    assert parser.points == ["10.0,10.0 310.0,50.0", "310.0,30.0"]
    for _ in range(50):
        history.append({"loss": float("nan")})
    assert "40 earlier epochs not shown" in history._repr_html_()
    assert "no epochs" in History()._repr_html_()
    assert "2 epochs" not in repr(History())
    assert "52 epochs, last: epoch 52, loss nan" in repr(history)


def test_the_curve_is_seen_on_a_light_and_on_a_dark_ground(history: History) -> None:
    def brightness(colour: str) -> float:
        channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        low, high = sorted((brightness(one), brightness(other)))
        return (high + 0.05) / (low + 0.05)

    html = history._repr_html_()
    colours = set(re.findall(r'(?:stroke|fill)="([^"]+)"', html)) - {"none"}
    assert "currentColor" in colours
    # 3 to 1 is what WCAG asks of a drawing's lines.
    for colour in colours - {"currentColor"}:
        assert contrast(colour, "#ffffff") > 3
        assert contrast(colour, "#111111") > 3
    assert re.findall(r"<text[^>]*>([^<]*)</text>", html) == ["loss", "validation loss"]
