"""The loss curve: what is drawn, told by the figure's own objects and the written file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")
from relu_layers.plot import plot_history


def history(epochs: int = 10) -> dict[str, Any]:
    x = np.arange(epochs)
    return {
        "loss": 1.0 / (1 + x),
        "validation_loss": 1.1 / (1 + x) + 0.02 * x,
        "accuracy": 1 - 0.5 / (1 + x),
        "validation_accuracy": 1 - 0.6 / (1 + x),
    }


def curves(axes: Any) -> dict[str, Any]:
    return {line.get_label(): line.get_ydata() for line in axes.get_lines() if line.get_label()[0] != "_"}


def test_both_panels_show_the_history_itself() -> None:
    record = history()
    loss, accuracy = plot_history(record).axes
    assert np.array_equal(curves(loss)["training"], record["loss"])
    assert np.array_equal(curves(loss)["validation"], record["validation_loss"])
    assert np.array_equal(curves(accuracy)["training"], record["accuracy"])
    assert np.array_equal(curves(accuracy)["validation"], record["validation_accuracy"])


def test_best_epoch_is_that_of_the_validation_loss() -> None:
    record = history()
    best = int(np.argmin(record["validation_loss"])) + 1
    assert 1 < best < 10
    for panel in plot_history(record).axes:
        assert f"best epoch {best}:" in panel.get_title(loc="left")


def test_curves_differ_without_colour() -> None:
    lines = [line for line in plot_history(history()).axes[0].get_lines() if line.get_label()[0] != "_"]
    assert len({line.get_linestyle() for line in lines}) == 2


def test_names_at_the_ends_do_not_overlap() -> None:
    record = history()
    record["validation_loss"] = record["loss"] + 1e-6
    figure = plot_history(record)
    figure.draw_without_rendering()
    first, second = (text.get_window_extent() for text in figure.axes[0].texts)
    assert not first.overlaps(second)


def test_absent_and_empty_columns_leave_panels_out() -> None:
    record = {"loss": np.array([3.0, 2.0]), "validation_loss": np.array([np.nan, np.nan])}
    (only,) = plot_history(record).axes
    assert list(curves(only)) == ["training"]


def test_a_wide_range_gets_a_log_axis() -> None:
    assert plot_history({"loss": [100.0, 1.0]}).axes[0].get_yscale() == "log"
    assert plot_history({"loss": [2.0, 1.0]}).axes[0].get_yscale() == "linear"


@pytest.mark.parametrize("record", [{}, {"loss": []}, {"loss": [float("nan")]}])
def test_nothing_to_draw_is_a_value_error(record: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no epoch with a loss"):
        plot_history(record)


def test_file_is_a_png_of_the_figure(tmp_path: Path) -> None:
    plot_history(history(1), tmp_path / "loss.png", title="one epoch")
    data = (tmp_path / "loss.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    assert width > 1000
    assert height > 500


def test_pyplot_stays_out() -> None:
    code = (
        "import sys; from relu_layers.plot import plot_history;"
        "plot_history({'loss': [2.0, 1.0]}); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_figure_shows_itself_in_a_notebook() -> None:
    assert plot_history(history())._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_a_backend_that_is_not_installed_does_not_matter(tmp_path: Path) -> None:
    """A cell of a notebook hands MPLBACKEND on; and a picture that fails is no reason for a training to fail."""
    pytest.importorskip("click")
    pytest.importorskip("rich")
    train = [sys.executable, "-m", "relu_layers", "train", "two-moons", "--epochs", "2", "--output"]
    backend = {**os.environ, "MPLBACKEND": "module://no_such_backend.inline"}
    done = subprocess.run([*train, str(tmp_path / "a")], env=backend, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a" / "loss.png").stat().st_size > 1000
    broken = tmp_path / "matplotlib"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise RuntimeError('broken here')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([*train, str(tmp_path / "b")], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "broken here" in done.stdout + done.stderr
    assert (tmp_path / "b" / "model.npz").exists()
