"""`Explanation`: a trace, what is followed in it, and the ways to show it."""

from __future__ import annotations

import numpy as np

from relu_layers._checks import integer
from relu_layers._explain.trace import LayerTrace, Trace


class Explanation:
    """One training step, explained; made by `relu_layers.explain`.

    Attributes
    ----------
    trace : Trace
        Everything that was recorded: plain dataclasses of NumPy arrays.
    sample, unit : int
        The row, and the unit of the first hidden layer, that are followed.
    lang : str
        Of ``str()`` and notebooks.
    """

    def __init__(self, trace: Trace, *, sample: int = 0, unit: int | None = None, lang: str = "en") -> None:
        self.trace, self.sample, self.lang = trace, sample, lang
        hidden = first_hidden(trace)
        width = hidden.y.shape[-1] if hidden is not None else trace.layers[-1].y.shape[-1]
        self.unit = integer("explain", "unit", unit) if unit is not None else _busiest(hidden, sample)
        if not 0 <= self.unit < width:
            raise IndexError(f"explain: unit is {unit}, but the first hidden layer has {width} units")


def first_hidden(trace: Trace) -> LayerTrace | None:
    """Return the first activation behind a Dense layer."""
    layers = [one for one in trace.layers if one.role == "elementwise" and one.number]
    return layers[0] if layers else None


def _busiest(hidden: LayerTrace | None, sample: int) -> int:
    """Return the unit that passes most of the gradient in this row; the first if none passes any."""
    if hidden is None or hidden.derivative is None or hidden.y.ndim != 2:
        return 0
    return int(np.argmax(np.abs(np.nan_to_num(hidden.derivative[sample] * hidden.dy[sample]))))
