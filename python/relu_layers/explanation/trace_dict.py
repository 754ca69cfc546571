"""The trace as numbers, text, lists and dicts: the schema of ``to_dict`` and of the JSON file."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.explanation.trace import LayerTrace, Trace

SCHEMA = 1
# Arrays of more entries are summarised.
WHOLE = 4096
_BINS = 16


def array(values: Array) -> dict[str, Any]:
    """Return shape, norm, extremes and, of an array that is not large, the values; a large one's histogram.

    What is not finite becomes None, as JSON has no word for it.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    finite = flat[np.isfinite(flat)]
    found: dict[str, Any] = {
        "shape": list(values.shape),
        "norm": _number(np.linalg.norm(flat)),
        "min": _number(finite.min()) if finite.size else None,
        "max": _number(finite.max()) if finite.size else None,
    }
    if flat.size <= WHOLE:
        found["values"] = _nested(values)
        return found
    counts, edges = np.histogram(finite, bins=_BINS)
    return found | {"histogram": {"counts": counts.tolist(), "edges": edges.tolist()}}


def _number(value: Any) -> float | None:
    value = float(value)
    return value if math.isfinite(value) else None


def _nested(values: Array) -> Any:
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return values.tolist()
    given = values.astype(object)
    given[~np.isfinite(values)] = None
    return given.tolist()


def trace_dict(trace: Trace) -> dict[str, Any]:
    """Return the whole trace; ``schema`` counts up when a name or its meaning changes."""
    loss = trace.loss
    extra = ("shifted", "exponentials", "sums", "probabilities", "wanted", "rows")
    return {
        "schema": SCHEMA,
        "version": trace.version,
        "target": trace.target,
        "dtype": trace.dtype,
        "seed": trace.seed,
        "title": trace.title,
        "batch": trace.batch,
        "dropped": trace.dropped,
        "feature_names": list(trace.feature_names),
        "class_names": list(trace.class_names),
        "layers": [_layer(layer) for layer in trace.layers],
        "loss": {
            "kind": loss.kind,
            "name": loss.name,
            "value": _number(loss.value),
            "after": _number(loss.after),
            "count": loss.count,
            "scale": loss.scale,
            "plain": loss.plain,
            "output": array(loss.output),
            "target": array(loss.target),
            "gradient": array(loss.gradient),
            **{name: array(value) for name in extra if (value := getattr(loss, name)) is not None},
        },
        "optimizer": {
            "kind": trace.optimizer_kind,
            "name": trace.optimizer,
            "learning_rate": trace.learning_rate,
            "config": trace.optimizer_config,
        },
        "updates": [
            {
                "name": one.name,
                "symbol": one.symbol,
                "before": array(one.before),
                "gradient": array(one.gradient),
                "after": array(one.after),
                "gradient_norm": _number(one.gradient_norm),
                "ratio": _number(one.ratio),
            }
            for one in trace.updates
        ],
        "checks": [
            {
                "name": name,
                "index": list(index),
                "analytic": _number(one.analytic),
                "numeric": _number(one.numeric),
                "verdict": one.verdict,
                "kink": _kink(one.kink),
            }
            for (name, index), one in trace.checks.items()
        ],
        "checked": trace.checked,
        "what_if": [
            {
                "activation": one.label,
                "loss": _number(one.loss),
                "after": _number(one.after),
                "norms": {name: _number(norm) for name, norm in one.norms.items()},
                "dead": one.dead,
            }
            for one in trace.variants
        ],
        "mistakes": [
            {
                "mistake": one.key,
                "error": _number(one.error),
                "relative": _number(one.relative),
                "where": one.where,
                "right": _number(one.right),
                "wrong": _number(one.wrong),
                "failure": one.failure,
                "numbers": one.numbers,
            }
            for one in trace.mistakes
        ],
        "training": _training(trace),
    }


def _layer(layer: LayerTrace) -> dict[str, Any]:
    counts = layer.counts
    return {
        "index": layer.index,
        "kind": layer.kind,
        "name": layer.name,
        "role": layer.role,
        "source": layer.source,
        "symbol": layer.symbol,
        "number": layer.number,
        "x": array(layer.x),
        "y": array(layer.y),
        "dy": array(layer.dy),
        "dx": None if layer.dx is None else array(layer.dx),
        "params": {name: array(value) for name, value in layer.params.items()},
        "grads": {name: array(value) for name, value in layer.grads.items()},
        "derivative": None if layer.derivative is None else array(layer.derivative),
        "counts": None if counts is None else dict(vars(counts)),
    }


def _kink(kink: tuple[int, Any, int, float] | None) -> dict[str, Any] | None:
    if kink is None:
        return None
    layer, unit, sample, value = kink
    return {"layer": layer, "unit": unit, "sample": sample, "value": value}


def _training(trace: Trace) -> dict[str, Any] | None:
    training = trace.training
    if training is None:
        return None
    return {
        "losses": [_number(loss) for loss in training.losses],
        "bounds": list(training.bounds),
        "points": training.points.tolist(),
        "classes": training.classes.tolist(),
        "frames": [
            {
                "step": frame.step,
                "loss": _number(frame.loss),
                "surface": frame.surface.tolist(),
                "folds": [[_number(v) for v in line] for line in frame.folds],
                "dead": frame.dead.tolist(),
            }
            for frame in training.frames
        ],
    }
