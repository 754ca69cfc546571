"""Checks of the numbers themselves: finite, on one scale, gradients that agree with differences."""

from __future__ import annotations

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.gradient_check import gradcheck
from relu_layers.sanity.examined_model import ExaminedModel
from relu_layers.sanity.report import Check

_ROWS_DIFFERENCED, _ENTRIES_DIFFERENCED = 8, 200
# Columns whose spreads are further apart than this train badly, and so do large ones far from 0.
_SPREADS_APART, _MEAN_OVER_SPREAD, _LARGE = 1e3, 10.0, 1e2


def finite(examined: ExaminedModel) -> Check:
    """Find the first number that is infinite or NaN: input, target, parameter, output, loss, gradient."""
    found = _first_not_finite(examined)
    if found is None:
        return Check("numbers", "ok", "inputs, parameters, outputs, loss and gradients are finite")
    finding, advice, values = found
    return Check("numbers", "fail", finding, advice, values)


def _first_not_finite(examined: ExaminedModel) -> tuple[str, str, dict[str, object]] | None:
    x, y = examined.x, examined.y
    place = _place(x)
    if place is not None:
        return (
            f"x is {x[place]} in row {place[0]}, column {_rest(place)}; {_count(x)}",
            "leave such rows out or fill the gaps; relu_layers.preprocessing does either",
            {"where": "x", "sample": place[0], "index": list(place)},
        )
    if y.dtype.kind == "f" and (place := _place(y)) is not None:
        return (
            f"y is {y[place]} in row {place[0]}; {_count(y)}",
            "leave such rows out: a target that is missing teaches nothing",
            {"where": "y", "sample": place[0], "index": list(place)},
        )
    for key, value in examined.model.params.items():
        if (place := _place(value)) is not None:
            return (
                f"parameter {key} is {value[place]} at {list(place)}; {_count(value)}",
                "an earlier step diverged: start again from sound weights, with a lower rate or clip_norm",
                {"where": key, "index": list(place)},
            )
    for index, output in enumerate(examined.inputs[1:]):
        if (place := _place(output)) is not None:
            largest = float(np.abs(examined.inputs[index]).max(initial=0.0))
            return (
                f"{examined.named(index)} is the first layer with outputs that are not finite: {output[place]} "
                f"at unit {_rest(place)}, sample {place[0]}; {_count(output)}; its largest input is {largest:.3g}",
                f"numbers this large overflow {output.dtype}: standardise the inputs, look at the weights of this "
                "layer, and at its own arithmetic if you wrote it",
                {"where": "output", "layer": index, "unit": _rest(place), "sample": place[0]},
            )
    if not np.isfinite(examined.value):
        return (
            f"all outputs are finite, but the loss is {examined.value}",
            "the loss itself overflows: standardise the target, or look at the arithmetic of your own loss",
            {"where": "loss"},
        )
    for key, gradient in reversed(examined.gradients.items()):
        if (place := _place(gradient)) is not None:
            return (
                f"the loss is finite, but the gradient of {key} is {gradient[place]} at {list(place)}; "
                f"{_count(gradient)}",
                "backward overflows there, or divides by zero if it is your own",
                {"where": f"gradient of {key}", "index": list(place)},
            )
    return None


def _place(array: Array) -> tuple[int, ...] | None:
    """Return the index of the first element that is not finite."""
    bad = ~np.isfinite(array)
    return tuple(int(i) for i in np.argwhere(bad)[0]) if bad.any() else None


def _rest(place: tuple[int, ...]) -> int | list[int]:
    return place[-1] if len(place) <= 2 else list(place[1:])


def _count(array: Array) -> str:
    bad = int(np.sum(~np.isfinite(array)))
    return f"{bad:,} of {array.size:,} are not finite"


def scales(examined: ExaminedModel) -> Check:
    """Look at the columns of x: scales, offsets, columns that never change."""
    x = examined.x.reshape(len(examined.x), -1).astype(np.float64)
    rows = np.isfinite(x).all(axis=1)
    if rows.sum() < 2:
        return Check("inputs", "skipped", "needs two rows of finite numbers")
    mean, spread = x[rows].mean(axis=0), x[rows].std(axis=0)
    # A spread that is nothing but rounding is none.
    moving = spread > 1e-12 * np.abs(mean)
    constant = int(np.sum(~moving))
    finding = (
        f"{x.shape[1]:,} columns, {constant:,} of them constant" if constant else f"{x.shape[1]:,} columns"
    )
    if not moving.any():
        return Check("inputs", "warn", f"{finding}: all rows are the same", "pass several different rows")
    low, high = float(spread[moving].min()), float(spread[moving].max())
    offset = np.abs(mean[moving]) / spread[moving]
    finding += f", standard deviations {low:.3g} to {high:.3g}, means up to {float(np.abs(mean).max()):.3g}"
    values = {"constant": constant, "smallest_spread": low, "largest_spread": high}
    advice = []
    if high > _LARGE or float(np.median(offset)) > _MEAN_OVER_SPREAD:
        advice.append(
            "standardise the columns to mean 0 and standard deviation 1 (relu_layers.preprocessing)"
        )
    elif high > _SPREADS_APART * low:
        advice.append("columns differ by more than 1000 in scale: standardise each")
    return Check("inputs", "warn" if advice else "ok", finding, "; ".join(advice), values)


def differences(examined: ExaminedModel) -> Check:
    """Compare some gradients with differences of the loss."""
    rows = slice(0, _ROWS_DIFFERENCED)
    try:
        report = gradcheck(
            examined.original,
            examined.x[rows],
            examined.y[rows],
            examined.loss,
            max_entries=_ENTRIES_DIFFERENCED,
            seed=examined.seed,
        )
    except (TypeError, ValueError) as error:
        return Check("gradients", "skipped", str(error))
    values = {"checked": report.checked, "total": report.total, **report.counts()}
    if report:
        return Check("gradients", "ok", report.headline(), "", values)
    worst = report.wrong[0]
    advice = "; ".join(report.hints) or "print(relu_layers.gradcheck(model, x, y, loss)) shows every entry"
    return Check("gradients", "fail", f"{report.headline()}; such as {worst}", advice, values)
