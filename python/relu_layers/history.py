"""History: the measures of a training, one row per epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from relu_layers._support.arguments import nearest
from relu_layers._support.configured import Array

if TYPE_CHECKING:
    from relu_layers._support.files import AnyPath

_ROWS_SHOWN = 12


class History:
    """Columns by name, one entry per epoch.

    ``history["loss"]`` is an array of one number per epoch; likewise ``"accuracy"`` (losses that have one),
    ``"validation_loss"``, ``"validation_accuracy"`` (with validation data) and ``"learning_rate"`` (of the
    epoch's last update). ``history["dead_units"]`` has one row per epoch and one column per ReLU layer: the
    number of units that were positive for no row of the epoch. An epoch that lacks a number has NaN.

    ``len(history)`` and ``history.epochs`` are the number of epochs; iterating gives one dict per epoch.
    """

    def __init__(self) -> None:
        self._records: list[dict[str, Any]] = []

    @property
    def epochs(self) -> int:
        """Number of epochs recorded."""
        return len(self._records)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(name for name in dict.fromkeys(n for r in self._records for n in r) if name != "epoch")

    def append(self, record: Mapping[str, Any]) -> None:
        """Add the row of one epoch."""
        self._records.append({"epoch": len(self._records) + 1, **record})

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (dict(record) for record in self._records)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> Array:
        """Return one column as a new array; an unknown name is a KeyError that lists the names."""
        if name not in self.names:
            hint = nearest(name, self.names) if isinstance(name, str) else ""
            raise KeyError(f"history has no {name!r}{hint}; it has {', '.join(self.names) or 'no epoch yet'}")
        values = [record.get(name) for record in self._records]
        width = next((len(value) for value in values if isinstance(value, tuple)), None)
        if width is None:
            return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        if all(isinstance(value, tuple) and len(value) == width for value in values):
            return np.array(values, dtype=np.int64).reshape(len(values), width)
        rows = [value if value is not None and len(value) == width else (np.nan,) * width for value in values]
        return np.array(rows, dtype=np.float64)

    def last(self) -> dict[str, Any]:
        """Return the row of the last epoch."""
        return dict(self._records[-1])

    def columns(self) -> dict[str, Array]:
        """Return all columns; `from_columns` makes the history again."""
        return {name: self[name] for name in self.names}

    @classmethod
    def from_columns(cls, columns: Mapping[str, Array]) -> History:
        """Return the history of columns of equal length; where there is NaN, the epoch had no number."""
        lengths = {len(values) for values in columns.values()}
        if len(lengths) > 1:
            raise ValueError(f"History: columns have {sorted(lengths)} rows, expected equal numbers")
        rows = lengths.pop() if lengths else 0
        if rows and not any(values.size for values in columns.values()):
            raise ValueError(f"History: {rows} rows without a single number")
        history = cls()
        for row in range(rows):
            record: dict[str, Any] = {}
            for name, values in columns.items():
                if np.isnan(values[row]).any():
                    continue
                value = values[row].tolist()
                record[name] = tuple(map(int, value)) if isinstance(value, list) else value
            history.append(record)
        return history

    def to_csv(self, path: AnyPath) -> None:
        """Write one line per epoch; a column of several numbers becomes ``name_0``, ``name_1``, ..."""
        import csv
        import io

        from relu_layers._support.files import write_text

        columns: dict[str, list[Any]] = {"epoch": list(range(1, len(self) + 1))}
        for name in self.names:
            values = self[name]
            if values.ndim == 1:
                columns[name] = values.tolist()
            else:
                columns |= {f"{name}_{i}": values[:, i].tolist() for i in range(values.shape[1])}
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        for row in zip(*columns.values(), strict=True):
            writer.writerow(["" if value != value else value for value in row])
        write_text(path, text.getvalue())

    def plot(self, path: AnyPath | None = None, *, title: str | None = None) -> Any:
        """Return a matplotlib figure of the curves, and write it to ``path`` if there is one.

        Without matplotlib it is an ImportError that names the extra ``plot``.
        """
        from relu_layers.plot import plot_history  # only figures need it, and it is slow to import

        return plot_history(self, path, title=title)

    def __repr__(self) -> str:
        if not self._records:
            return "<History of no epochs>"
        last = ", ".join(f"{name} {_shown(value)}" for name, value in self._records[-1].items())
        return f"<History of {len(self)} epochs, last: {last}>"

    def _repr_html_(self) -> str:
        """Return the curve of the loss and a table of the last epochs, for notebooks."""
        if not self._records:
            return "<p>History of no epochs</p>"
        from html import escape  # a millisecond that only notebooks need

        head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in ("epoch", *self.names))
        rows = []
        for record in self._records[-_ROWS_SHOWN:]:
            cells = "".join(f"<td>{escape(_shown(record.get(name)))}</td>" for name in ("epoch", *self.names))
            rows.append(f"<tr>{cells}</tr>")
        left_out = len(self) - len(rows)
        note = f"<caption>{left_out} earlier epochs not shown</caption>" if left_out > 0 else ""
        return f"<div>{self._curve()}<table style='text-align:right'>{note}<tr>{head}</tr>{''.join(rows)}</table></div>"

    def _curve(self) -> str:
        """Return the loss as a small SVG, training dashed and validation solid as in `plot`."""
        curves = [(name, self[name]) for name in ("loss", "validation_loss") if name in self]
        finite = np.concatenate([values[np.isfinite(values)] for _, values in curves]) if curves else None
        if finite is None or not finite.size or len(self) < 2:
            return ""
        low, high = min(0.0, float(finite.min())), float(finite.max())
        scale = 80.0 / (high - low or 1.0)
        lines = []
        for row, (name, values) in enumerate(curves):
            points = " ".join(
                f"{10 + 300 * i / (len(values) - 1):.1f},{90 - scale * (value - low):.1f}"
                for i, value in enumerate(values.tolist())
                if np.isfinite(value)
            )
            # Colours for light and dark notebooks: one between the two grounds, and that of the text.
            style = 'stroke="#4f8fd0" stroke-dasharray="5 2"' if name == "loss" else 'stroke="currentColor"'
            lines.append(f'<polyline points="{points}" fill="none" {style}/>')
            y, label = 12 + 14 * row, name.replace("_", " ")
            lines.append(f'<line x1="286" x2="310" y1="{y}" y2="{y}" {style}/>')
            lines.append(
                f'<text x="280" y="{y + 4}" text-anchor="end" font-size="11" fill="currentColor">{label}</text>'
            )
        return f'<svg width="320" height="100" role="img" aria-label="loss per epoch">{"".join(lines)}</svg>'


def _shown(value: Any) -> str:
    """Return a number as it is shown: four digits, counts whole, nothing where there is none."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return str(value) if isinstance(value, int) else f"{value:.4g}"
