"""What the page needs to recompute a step when its numbers are moved: the step itself, and the words to write it in."""

from __future__ import annotations

from typing import Any

import numpy as np

from relu_layers.explanation.blocks import number
from relu_layers.explanation.catalogue import formula, pattern_of
from relu_layers.explanation.story import Story, loss_factors, loss_formula, network_facts
from relu_layers.explanation.story_closing import plain_descent
from relu_layers.explanation.trace import Trace

# Numbers that a page takes along, at most; each is some 20 bytes.
LIMIT = 6000
# The texts that sentences.js fills.
_TEXTS = (
    *("short_closed", "short_scaled", "short_zero", "short_1", "short_2", "input_row", "named", "more_terms"),
    *("word_gate", "word_wanted", "sum_inputs", "sum_rows", "forward_dense_why", "and_bias", "all_units"),
    *(
        "some_units",
        "forward_gate_why",
        "gate_header",
        "pattern",
        "pattern_legend",
        "counts",
        "counts_scaled",
    ),
    *("at_zero", "loss_softmax", "loss_header", "loss_sum", "loss_total", "loss_backward_softmax"),
    *("loss_backward_square", "backward_weight_why", "backward_bias_why", "backward_input_why", "beside"),
    *(
        "check_kink",
        "verdict_ok",
        "verdict_kink",
        "verdict_wrong",
        "backward_gate_why",
        "backward_gate_stops",
    ),
    *(
        "gate_open",
        "gate_closed",
        "gate_scaled",
        "killed",
        "killed_and_scaled",
        "scaled",
        "gradient_header",
        "path_why",
        "path_loss",
    ),
    *("path_weight", "path_gate", "path_input", "path_header", "path_rows", "path_one_row", "path_stopped"),
    *("update_rule", "update_header", "update_loss"),
)


def movable(trace: Trace) -> bool:
    """Return whether the page's engine computes this step: Dense and ReLU, softmax or squares, plain SGD."""
    loss = trace.loss
    softmax = loss.kind == "SoftmaxCrossEntropy" and loss.target.dtype.kind in "iu"
    square = loss.kind == "SquaredError" and loss.scale is not None
    if not ((softmax or square) and loss.plain and loss.output.ndim == 2 and plain_descent(trace)):
        return False
    if not any(one.role == "dense" for one in trace.layers):
        return False
    if any(one.role != "dense" and (one.kind != "ReLU" or one.role != "elementwise") for one in trace.layers):
        return False
    arrays = [trace.layers[0].x, loss.target, *(one.before for one in trace.updates)]
    finite = all(np.isfinite(array).all() for array in (*arrays, loss.gradient))
    return finite and sum(array.size for array in arrays) <= LIMIT


def setting(trace: Trace) -> dict[str, Any]:
    """Return the step as engine.js takes it."""
    layers: list[dict[str, Any]] = []
    for one in trace.layers:
        if one.role == "dense":
            bias = one.params["bias"].tolist() if "bias" in one.params else None
            layers.append({"kind": "dense", "weight": one.params["weight"].tolist(), "bias": bias})
        else:
            layers.append({"kind": "relu", "slope": one.config["negative_slope"]})
    kind = "square" if trace.loss.kind == "SquaredError" else "softmax"
    return {
        "layers": layers,
        "x": trace.layers[0].x.tolist(),
        "loss": {"kind": kind, "scale": trace.loss.scale, "count": trace.loss.count},
        "target": trace.loss.target.tolist(),
        "rate": trace.learning_rate,
    }


def live(story: Story) -> dict[str, Any]:
    """Return the step with the words and names that sentences.js puts around its numbers."""
    trace, t = story.trace, story.texts
    layers = []
    for one in trace.layers:
        entry = {
            "index": one.index,
            "symbol": one.symbol,
            "source": one.source,
            "needs_dx": one.dx is not None,
        }
        if one.role == "dense":
            entry |= {"weight": one.weight_symbol, "bias": one.bias_symbol}
        layers.append(entry)
    return {
        "setting": setting(trace),
        "layers": layers,
        "texts": t.raw(_TEXTS),
        "names": {"features": list(trace.feature_names), "classes": list(trace.class_names)},
        "facts": network_facts(trace, t, "{before}", "{after}"),
        "recorded_facts": network_facts(trace, t, number(trace.loss.value), number(trace.loss.after)),
        "relu": {form: pattern_of("ReLU", form, t.lang) for form in ("plain", "derivative")},
        "loss_formula": loss_formula(trace, t)[0].text,
        "times": loss_factors(trace.loss)["times"],
        "optimizer": trace.optimizer,
        "rule": formula("SGD_plain", "plain", "", "", {}, t.lang),
        "checks": _checks(trace),
        "everything": story.everything,
    }


def _checks(trace: Trace) -> dict[str, list[Any]]:
    """Return ``"W1[0,2]"`` -> measured gradient, verdict, and where it is a kink whose."""
    symbols = {one.name: one.symbol for one in trace.updates}
    sources = {one.index: one.source for one in trace.layers}
    found: dict[str, list[Any]] = {}
    for (name, index), one in trace.checks.items():
        if name in symbols:
            entry = [number(one.numeric), one.verdict]
            if one.kink is not None:
                layer, unit, _, value = one.kink
                entry += [sources.get(layer, ""), unit, number(value)]
            found[f"{symbols[name]}[{','.join(map(str, index))}]"] = entry
    return found
