"""Checks of the flow: dead units, vanishing gradients, updates that are too large or too small."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.gradient_check.copies import copied_model
from relu_layers.gradient_check.corners import corner_of
from relu_layers.layers import Clip, ReLU, Threshold
from relu_layers.optimizers import Optimizer
from relu_layers.sanity.examined_model import OWNER, ExaminedModel
from relu_layers.sanity.report import Check
from relu_layers.trainer import DivergenceError, Trainer

# A part of dead units that a network can spare, and a number of rows too small to judge by.
_SPARE = 0.1
_FEW_ROWS = 100
# Weight gradients of two layers further apart than this do not learn at one rate.
_APART = 1e3
# An update is a thousandth of the weights where training goes well; these are the limits of the usual.
_GOOD_UPDATE, _SMALL_UPDATE, _LARGE_UPDATE = 1e-3, 1e-5, 5e-2
_UPDATES_MEASURED = 10


def dead_units(examined: ExaminedModel) -> Check:
    """Count units that no row puts above their corner."""
    findings, layers, worst, stopped = [], [], 0.0, False
    for index, layer in enumerate(examined.model.layers[: examined.depth]):
        corner = corner_of(layer)
        if corner is None:
            continue
        above = corner.above(examined.inputs[index])
        above = above.reshape(-1, above.shape[-1])
        never, always = int(np.sum(~above.any(axis=0))), int(np.sum(above.all(axis=0)))
        units = above.shape[1]
        passes_nothing = isinstance(layer, (Clip, Threshold)) or (
            isinstance(layer, ReLU) and layer.negative_slope == 0.0
        )
        word = "dead" if passes_nothing else "never above 0"
        findings.append(f"{examined.named(index)}: {never} of {units} {word}, {always} always above")
        layers.append(
            {"layer": index, "units": units, "never": never, "always": always, "dead": passes_nothing}
        )
        if passes_nothing:
            worst = max(worst, never / units)
            stopped = stopped or never == units
    if not findings:
        return Check("dead units", "skipped", "no layer has a corner")
    finding = f"over {len(examined.x):,} rows: " + "; ".join(findings)
    values = {"layers": layers}
    if stopped:
        advice = "no gradient passes this layer: ReLU(0.01), other initial weights, or a lower rate"
        return Check("dead units", "fail", finding, advice, values)
    if worst > _SPARE and len(examined.x) > 1:
        advice = "a lower rate, ReLU(0.01), or standardised inputs keep units alive"
        if len(examined.x) < _FEW_ROWS:
            advice += "; so few rows make units look dead that others would wake"
        return Check("dead units", "warn", finding, advice, values)
    return Check("dead units", "ok", finding, "", values)


def sizes(examined: ExaminedModel) -> list[dict[str, Any]]:
    """Return the root mean square of each parameter and gradient, and the ratio of their norms."""
    result = []
    for name, gradient in examined.gradients.items():
        weight, slope = _rms(examined.model.params[name]), _rms(gradient)
        ratio = slope / weight if weight else None
        result.append({"name": name, "weight_rms": weight, "gradient_rms": slope, "ratio": ratio})
    return result


def _rms(array: Array) -> float:
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.mean(array.astype(np.float64) ** 2))) if array.size else 0.0


def _weights(examined: ExaminedModel) -> list[dict[str, Any]]:
    """Return the sizes of arrays with two axes or more: biases may well be 0."""
    return [one for one in sizes(examined) if examined.model.params[one["name"]].ndim > 1]


def gradient_sizes(examined: ExaminedModel) -> Check:
    """Compare the gradients of the layers with each other."""
    weights = _weights(examined)
    if not weights:
        return Check("gradient sizes", "skipped", "no layer has weights")
    none = [one["name"] for one in weights if one["gradient_rms"] == 0.0]
    if none:
        return Check(
            "gradient sizes",
            "fail",
            f"the gradient of {', '.join(none)} is 0 everywhere",
            "nothing arrives there: all units behind it are dead, or the loss is 0 already",
            {"zero": none},
        )
    small, large = (pick(weights, key=lambda one: one["gradient_rms"]) for pick in (min, max))
    finding = f"weights: {small['gradient_rms']:.2e} ({small['name']}) to {large['gradient_rms']:.2e} ({large['name']})"
    values = {"smallest": small["gradient_rms"], "largest": large["gradient_rms"]}
    if large["gradient_rms"] > _APART * small["gradient_rms"]:
        advice = (
            "gradients vanish on the way to the front"
            if weights.index(small) < weights.index(large)
            else "gradients explode on the way to the front"
        )
        advice += ": he_normal weights for ReLU, fewer layers, or an optimizer that scales each (Adam)"
        return Check("gradient sizes", "warn", finding, advice, values)
    return Check("gradient sizes", "ok", finding, "", values)


def updates(examined: ExaminedModel, optimizer: Optimizer | None) -> Check:
    """Measure updates against weights; without an optimizer return the right rate of SGD."""
    weights = [one for one in _weights(examined) if one["weight_rms"] and one["gradient_rms"]]
    if not weights:
        return Check("updates", "skipped", "no weights with a gradient")
    if optimizer is None:
        rates = {one["name"]: _GOOD_UPDATE / one["ratio"] for one in weights}
        shown = ", ".join(f"{rate:.2g} ({name})" for name, rate in rates.items())
        finding = f"a step of plain SGD moves weights by a thousandth at a rate of {shown}"
        return Check("updates", "ok", finding, "", {"rates": rates})
    try:
        ratios = _measured(examined, optimizer, [one["name"] for one in weights])
    except DivergenceError as error:
        return Check("updates", "fail", str(error), "a lower rate")
    small, large = min(ratios.values()), max(ratios.values())
    shown = ", ".join(f"{ratio:.1e} ({name})" for name, ratio in ratios.items())
    finding = f"{optimizer!r} moves weights by {shown} of themselves; about 1e-3 is usual"
    if large > _LARGE_UPDATE:
        return Check("updates", "warn", finding, "a lower rate", {"ratios": ratios})
    if small < _SMALL_UPDATE:
        return Check("updates", "warn", finding, "a higher rate, unless these are frozen", {"ratios": ratios})
    return Check("updates", "ok", finding, "", {"ratios": ratios})


def _measured(examined: ExaminedModel, optimizer: Optimizer, names: list[str]) -> dict[str, float]:
    """Return the mean of |update| / |weight| over a few updates on all rows."""
    model = copied_model(OWNER, examined.original, examined.original.dtype)
    trainer = Trainer(model, examined.loss, copy.deepcopy(optimizer))
    totals = dict.fromkeys(names, 0.0)
    for _ in range(_UPDATES_MEASURED):
        before = {name: model.params[name].copy() for name in names}
        trainer.step(examined.x, examined.y)
        for name in names:
            weight = _rms(before[name])
            totals[name] += _rms(model.params[name] - before[name]) / weight if weight else 0.0
    return {name: total / _UPDATES_MEASURED for name, total in totals.items()}
