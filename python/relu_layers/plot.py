"""The curves of a training run as one figure: readable in print, without colour, and with one epoch only.

Needs matplotlib (the extra ``plot``), and nothing of pyplot: no window, no backend and no figure of anybody
else's is touched.
"""

from __future__ import annotations

import io
import os
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from relu_layers._support.extras import how_to_install
from relu_layers._support.files import AnyPath, write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TRAINING: dict[str, Any] = {"color": "#4f8fd0", "linestyle": (0, (4, 1.6)), "linewidth": 1.6}
_VALIDATION: dict[str, Any] = {"color": "#12284c", "linestyle": "solid", "linewidth": 2.0}
_BEST: dict[str, Any] = {"color": "#b4460f", "linestyle": (0, (1, 2)), "linewidth": 1.3}
_QUIET = "#5f6570"
# A loss that falls by more than this factor hides its tail on a linear axis.
_LOG_AXIS_FROM = 30.0
_LABEL_GAP_POINTS = 13.0


def plot_history(history: Any, path: AnyPath | None = None, *, title: str | None = None) -> Figure:
    """Return a figure of training and validation loss, and of the accuracy where there is one, per epoch.

    Parameters
    ----------
    history : History
        Or any mapping with ``"loss"`` and perhaps ``"validation_loss"``, ``"accuracy"``,
        ``"validation_accuracy"``: one number per epoch, NaN where there was none.
    path : str, bytes or path-like, optional
        Where to write the figure; the suffix chooses the format (png, svg, pdf).
    title : str, optional
        A line above the figure.

    Returns
    -------
    matplotlib.figure.Figure
        Shows itself as the last line of a notebook's cell, without ``%matplotlib``.

    Raises
    ------
    ImportError
        matplotlib is not installed; the message names the extra.
    ValueError
        The history has no epoch.
    """
    load_matplotlib("a plot")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    loss, validation_loss = _curve(history, "loss"), _curve(history, "validation_loss")
    if loss is None:
        raise ValueError("plot_history: the history has no epoch with a loss; call fit first")
    accuracy, validation_accuracy = _curve(history, "accuracy"), _curve(history, "validation_accuracy")
    panels = 1 if accuracy is None and validation_accuracy is None else 2

    figure = Figure(figsize=(8.0, 3.6 if panels == 1 else 5.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    # Made without pyplot, a figure is unknown to notebooks: it shows itself.
    figure._repr_png_ = partial(_png, figure)  # type: ignore[attr-defined]
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False, height_ratios=[3, 2][:panels])[:, 0]
    judged = loss if validation_loss is None else validation_loss
    best = int(np.nanargmin(judged))
    _panel(axes[0], "loss", loss, validation_loss, best)
    if panels == 2:
        _panel(axes[1], "accuracy", accuracy, validation_accuracy, best)
        _percent_axis(axes[1])
    finite = np.concatenate(
        [curve[np.isfinite(curve)] for curve in (loss, validation_loss) if curve is not None]
    )
    if finite.min() > 0 and finite.max() > _LOG_AXIS_FROM * finite.min():
        axes[0].set_yscale("log")
        axes[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        low, high = min(0.0, float(finite.min())), float(finite.max())
        axes[0].set_ylim(low, high + 0.05 * (high - low or 1.0))
    _epoch_axis(axes[-1], len(loss))
    if title is not None:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    figure.draw_without_rendering()
    for panel in axes:
        _label_ends(panel)
    if path is not None:
        kind = os.path.splitext(os.fsdecode(path))[1][1:] or "png"
        write_atomically(path, lambda file: figure.savefig(file, format=kind), stream=True)
    return figure


def load_matplotlib(what: str) -> None:
    """Import matplotlib, whatever ``MPLBACKEND`` says: nothing here is drawn through a backend that it could name.

    A notebook's kernel hands its own backend on to every command that a cell starts, and matplotlib cannot be
    imported where that is not installed.
    """
    try:
        try:
            import matplotlib.figure
        except ValueError:
            backend = os.environ.pop("MPLBACKEND", None)
            try:
                import matplotlib.figure  # noqa: F401
            finally:
                if backend is not None:
                    os.environ["MPLBACKEND"] = backend
    except ImportError as error:
        raise ImportError(f"{what} needs matplotlib: {how_to_install('plot')}") from error


def _png(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _curve(history: Any, name: str) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Return one column of the history as floats, None if it is absent or has no number."""
    try:
        values = np.asarray(history[name], dtype=np.float64)
    except KeyError:
        return None
    return values if values.size and np.isfinite(values).any() else None


def _panel(axes: Axes, name: str, training: Any, validation: Any, best: int) -> None:
    """Draw the two curves of one quantity and mark the best epoch."""
    axes.axvline(best + 1, **_BEST, zorder=1)
    for label, curve, style in (("training", training, _TRAINING), ("validation", validation, _VALIDATION)):
        if curve is None:
            continue
        epochs = np.arange(1, len(curve) + 1)
        marker = "o" if len(curve) == 1 else ""
        axes.plot(epochs, curve, **style, marker=marker, label=label, zorder=3, solid_capstyle="round")
    judged = training if validation is None else validation
    axes.plot(
        [best + 1],
        [judged[best]],
        "o",
        color="white",
        mec=_BEST["color"],
        mew=1.8,
        ms=7,
        zorder=4,
        clip_on=False,
    )
    value = f"{judged[best]:.1%}" if name == "accuracy" else f"{judged[best]:.4g}"
    whose = f"training {name}" if validation is None else f"validation {name}"
    axes.set_title(f"{name.capitalize()}  (best epoch {best + 1}: {whose} {value})", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_QUIET)
    axes.tick_params(colors=_QUIET, labelsize=9)
    axes.grid(axis="y", color="#d9dce1", linewidth=0.7)
    axes.set_axisbelow(True)


def _percent_axis(axes: Axes) -> None:
    """Show an accuracy between 0 and 1 as per cent."""
    from matplotlib.ticker import FuncFormatter

    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(100 * value, 6):g}%"))
    axes.set_ylim(top=1.02)


def _epoch_axis(axes: Axes, epochs: int) -> None:
    """Give the epochs whole numbers and leave room at the right for the names of the curves."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
    axes.set_xlabel("Epoch", color=_QUIET)
    span = max(epochs - 1, 1)
    axes.set_xlim(1 - 0.02 * span, epochs + 0.02 * span)


def _label_ends(axes: Axes) -> None:
    """Write each curve's name beside its last point, moved apart where two would overlap."""
    curves = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    ends = []
    for line in curves:
        values = np.asarray(line.get_ydata(), dtype=np.float64)
        last = int(np.flatnonzero(np.isfinite(values))[-1])
        x = float(np.asarray(line.get_xdata())[last])
        figure = axes.get_figure()
        assert figure is not None
        height = float(axes.transData.transform((x, values[last]))[1]) * 72.0 / figure.dpi
        ends.append([height, x, values[last], line])
    ends.sort(key=lambda end: end[0])
    offsets = [0.0] * len(ends)
    if len(ends) == 2 and ends[1][0] - ends[0][0] < _LABEL_GAP_POINTS:
        push = (_LABEL_GAP_POINTS - (ends[1][0] - ends[0][0])) / 2
        offsets = [-push, push]
    for (_, x, y, line), offset in zip(ends, offsets, strict=True):
        axes.annotate(
            str(line.get_label()),
            (x, y),
            xytext=(8, offset),
            textcoords="offset points",
            va="center",
            fontsize=9.5,
            color=line.get_color(),
            annotation_clip=False,
        )
