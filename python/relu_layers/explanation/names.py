"""The names of a table's columns and classes, kept where the explanation speaks of inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from relu_layers.explanation.trace import Trace


def named(
    trace: Trace, preprocessing: Any, features: Sequence[str] | None, classes: Sequence[str] | None
) -> Trace:
    """Return the trace with names for inputs and outputs: the given ones, else those of the preprocessing.

    Raises ValueError where given names are not as many as there are inputs or outputs.
    """
    inputs, outputs = trace.layers[0].x.shape[-1], trace.layers[-1].y.shape[-1]
    target = getattr(preprocessing, "target", None)
    return replace(
        trace,
        feature_names=_names("feature_names", features, getattr(preprocessing, "feature_names", ()), inputs),
        class_names=_names("class_names", classes, getattr(target, "classes", ()), outputs),
    )


def _names(owner: str, given: Sequence[str] | None, known: Sequence[Any], count: int) -> tuple[str, ...]:
    if given is not None and len(given) != count:
        raise ValueError(f"explain: {owner} holds {len(given)} names, expected {count}")
    names = tuple(map(str, known if given is None else given))
    # Names of another model's columns would be wrong ones.
    return names if len(names) == count else ()
