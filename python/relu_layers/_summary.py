"""The table that model.summary() returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relu_layers._engine.flat_arrays import features_after, is_managed

if TYPE_CHECKING:
    from relu_layers.model import Sequential


def summarize(model: Sequential) -> str:
    """Return a table with one row per layer: output, parameters by name and shape, count and bytes."""
    itemsize = model.dtype.itemsize
    rows = [("layer", "output", "parameters", "count", "bytes")]
    features: int | None = None
    for index, layer in enumerate(model.layers):
        features = features_after(layer, features)
        prefix = f"{index}."
        own = {key.removeprefix(prefix): a for key, a in model.params.items() if key.startswith(prefix)}
        count = sum(array.size for array in own.values())
        rows.append(
            (
                f"{index}  {layer!r}",
                f"(batch, {'?' if features is None else features})",
                ", ".join(f"{name} {array.shape}" for name, array in own.items()) or "-",
                f"{count:,}",
                f"{count * itemsize:,}",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    rule = "-" * max(map(len, lines))
    total = model.flat_params.size
    closing = (
        f"{total:,} parameters in {model.dtype}: {_size(total * itemsize)}, "
        f"and as much for gradients; input (batch, {_input_features(model.layers)})"
    )
    return "\n".join([lines[0], rule, *lines[1:], rule, closing])


def _input_features(layers: tuple[Any, ...]) -> str:
    """Return the number of columns that the first sized layer takes, as text."""
    for layer in layers:
        wanted = getattr(layer, "in_features", None)
        if wanted is not None:
            return str(wanted)
        if not is_managed(layer):
            break
    return "?"


def _size(count: int) -> str:
    """Return bytes in a unit that reads well."""
    value, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"
