"""The table of a model's layers, shapes, parameters and bytes."""

from __future__ import annotations

from typing import Any

from relu_layers._engine.abilities import is_managed
from relu_layers._engine.flat_arrays import features_after
from relu_layers._support.text_table import aligned


def summary(model: Any) -> str:
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
    lines = aligned(rows, left=3)
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
