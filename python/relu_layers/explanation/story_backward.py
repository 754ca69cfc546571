"""The backward pass: the gradient of the outputs, each layer in reverse, and the whole path to one weight."""

from __future__ import annotations

import numpy as np

from relu_layers.explanation.blocks import (
    Block,
    Step,
    factor,
    formula_block,
    latex_symbol,
    note,
    number,
    numbers,
    plain_sum,
    product_sum,
    table,
    text,
    worked,
)
from relu_layers.explanation.path import first_hidden, neighbours, stopped_unit
from relu_layers.explanation.scene import Scene
from relu_layers.explanation.trace import LayerTrace


def steps(story: Scene) -> list[Step]:
    """Return the gradient of the loss, one step per layer from the last to the first, and the path."""
    found = [_loss(story)]
    for i in range(len(story.trace.layers) - 1, -1, -1):
        layer = story.trace.layers[i]
        if layer.x.ndim != 2 or layer.y.ndim != 2 or layer.role == "other":
            found.append(_other(story, layer))
        elif layer.role == "dense":
            found.append(_dense(story, i, layer))
        else:
            found.append(_gate(story, i, layer))
    path = _path(story)
    return found if path is None else [*found, path]


def _loss(story: Scene) -> Step:
    t, trace, s = story.texts, story.trace, story.sample
    loss, symbol = trace.loss, trace.layers[-1].symbol
    count = number(loss.count).removesuffix(".0")
    unit = story.path.outputs[-1]
    gradient = loss.gradient[s]
    blocks: list[Block] = []
    if loss.probabilities is not None and loss.wanted is not None:
        blocks.append(text(t("loss_backward_softmax", symbol=symbol, count=count)))
        blocks.append(
            formula_block(
                f"d{symbol} = (p - {t('word_wanted')}) / {count}",
                f"d{latex_symbol(symbol)} = (p - y) / {count}",
            )
        )
        if loss.plain:
            p, wanted = loss.probabilities[s, unit], loss.wanted[s, unit]
            blocks.append(
                worked(
                    f"d{symbol}[{unit}] = ({number(p)} - {number(wanted)}) / {count} = {number(gradient[unit])}"
                )
            )
        else:
            blocks.append(note(t("weighted", count=count)))
    elif loss.scale is not None and loss.output.ndim == 2:
        twice, over = f"{2 * loss.scale:g}", "" if loss.count == 1.0 else f" / {count}"
        times = "" if loss.scale == 1.0 else f"{loss.scale:g} * "
        blocks.append(text(t("loss_backward_square", times=times, twice=twice, over=over)))
        if loss.plain:
            output, wanted = loss.output[s, unit], loss.target[s, unit]
            inner = f"({number(output)} - {factor(wanted)})"
            blocks.append(worked(f"d{symbol}[{unit}] = {twice}*{inner}{over} = {number(gradient[unit])}"))
    else:
        blocks.append(text(t("loss_backward_other")))
    blocks.append(worked(f"d{symbol} = {numbers(gradient)}"))
    return Step("loss-backward", t("loss_backward", symbol=symbol), blocks)


def _verdict(story: Scene, layer: LayerTrace, name: str, index: tuple[int, ...]) -> list[Block]:
    """Return the gradient check's verdict on an entry, nothing where it was not checked."""
    t, found = story.texts, story.trace.checks.get((layer.key(name), index))
    if found is None:
        return []
    words = t("beside", numeric=number(found.numeric), verdict=t(f"verdict_{found.verdict}"))
    if found.kink is None:
        return [note(words)]
    at, unit, _, value = found.kink
    source = next((one.source for one in story.trace.layers if one.index == at), "")
    return [note(words), note(t("check_kink", source=source, unit=unit, value=number(value)))]


def _dense(story: Scene, index: int, layer: LayerTrace) -> Step:
    t, path, s = story.texts, story.path, story.sample
    i, j = path.inputs[index], path.outputs[index]
    weight, source, symbol = layer.weight_symbol, layer.source, layer.symbol
    biased = "bias" in layer.params
    plus = t("backward_bias_why", bias=layer.bias_symbol, symbol=symbol) if biased else ""
    entry = f"d{weight}[{i},{j}]"
    value = number(layer.grads["weight"][i, j])
    blocks = [
        text(t("backward_weight_why", weight=weight, source=source, symbol=symbol, bias=plus)),
        formula_block(
            f"{entry} = {t('sum_rows', term=f'{source}[{i}] * d{symbol}[{j}]')}",
            f"d{latex_symbol(weight)} = {latex_symbol(source)}^{{\\top}}\\, d{latex_symbol(symbol)}",
        ),
        worked(f"{entry} = {product_sum(layer.x[:, i], layer.dy[:, j], story.more)} = {value}"),
        *_verdict(story, layer, "weight", (i, j)),
    ]
    if biased:
        bias = layer.bias_symbol
        blocks.append(
            worked(
                f"d{bias}[{j}] = {plain_sum(layer.dy[:, j], story.more)} = {number(layer.grads['bias'][j])}"
            )
        )
        blocks += _verdict(story, layer, "bias", (j,))
    if layer.dx is not None:
        terms = product_sum(layer.dy[s], layer.params["weight"][i], story.more)
        blocks += [
            text(t("backward_input_why", source=source, symbol=symbol, weight=weight)),
            worked(f"d{source}[{i}] = {terms} = {number(layer.dx[s, i])}"),
        ]
    return Step(f"backward-{layer.index}", t("backward_dense", weight=weight), blocks)


def _gate(story: Scene, index: int, layer: LayerTrace) -> Step:
    t, s, unit = story.texts, story.sample, story.path.outputs[index]
    assert layer.derivative is not None
    dx = layer.dx if layer.dx is not None else layer.derivative * layer.dy
    gates, arrives, x = layer.derivative[s], layer.dy[s], layer.x[s]
    word = t("word_gate")
    blocks = [
        text(t("backward_gate_why", source=layer.source, symbol=layer.symbol)),
        formula_block(
            f"d{layer.source} = d{layer.symbol} * {word}",
            f"d{latex_symbol(layer.source)} = d{latex_symbol(layer.symbol)} \\odot \\text{{{word}}}",
        ),
    ]
    if np.any(layer.derivative == 0):
        blocks.insert(1, text(t("backward_gate_stops", source=layer.source)))
    for u in dict.fromkeys([unit, *_other_gates(layer, s, unit)]):
        key = "gate_open" if gates[u] == 1 else "gate_closed" if gates[u] == 0 else "gate_scaled"
        blocks.append(
            worked(f"d{layer.source}[{u}] = {number(arrives[u])} * {factor(gates[u])} = {number(dx[s, u])}")
        )
        blocks.append(note(t(key, unit=u, source=layer.source, x=number(x[u]), gate=number(gates[u]))))
    shown = neighbours(layer, s, unit)
    rows = [[str(u), number(arrives[u]), number(gates[u]), number(dx[s, u])] for u in shown]
    header = t("gradient_header", symbol=layer.symbol, source=layer.source)
    blocks.append(table(header, rows, shown.index(unit)))
    stopped, scaled = int(np.sum(gates == 0)), int(np.sum((gates != 0) & (gates != 1)))
    count = len(gates)
    blocks.append(
        text(
            t("scaled", scaled=scaled, count=count)
            if not stopped
            else t("killed_and_scaled", stopped=stopped, scaled=scaled, count=count)
            if scaled
            else t("killed", stopped=stopped, count=count)
        )
    )
    return Step(f"backward-{layer.index}", t("backward_activation", kind=layer.kind), blocks)


def _other_gates(layer: LayerTrace, sample: int, unit: int) -> list[int]:
    """Return a unit whose gate is another than that of ``unit``, best one that stops something."""
    assert layer.derivative is not None
    stopped = stopped_unit(layer, sample)
    if stopped is not None:
        return [stopped]
    gates = layer.derivative[sample]
    other = np.flatnonzero(gates != gates[unit])
    return [int(other[np.argmax(np.abs(layer.dy[sample, other]))])] if other.size else []


def _other(story: Scene, layer: LayerTrace) -> Step:
    t = story.texts
    blocks = [text(t("other_why"))]
    if layer.dx is not None:
        blocks.append(worked(f"d{layer.source} = {numbers(layer.dx[story.sample])}"))
    return Step(f"backward-{layer.index}", t("backward_other", name=layer.name), blocks)


def _path(story: Scene) -> Step | None:
    """Return the product from the loss to one weight of the first Dense layer, None if there is none."""
    t, trace, path, s = story.texts, story.trace, story.path, story.sample
    layers = trace.layers
    start = next((i for i, one in enumerate(layers) if one.role == "dense"), None)
    if start is None or any(one.x.ndim != 2 or one.y.ndim != 2 for one in layers):
        return None
    first, last = layers[start], layers[-1]
    i, j = path.inputs[start], path.outputs[start]
    entry = f"d{first.weight_symbol}[{i},{j}]"
    out = path.outputs[-1]
    rows = [[t("path_loss", symbol=last.symbol, unit=out), f"d{last.symbol}[{out}]", number(last.dy[s, out])]]
    for k in range(len(layers) - 1, start, -1):
        one, at = layers[k], path.inputs[k]
        if one.dx is None:
            return None
        if one.role == "dense":
            how = t("path_weight", symbol=one.symbol, weight=one.weight_symbol)
        elif one.role == "elementwise" and one.derivative is not None:
            how = t("path_gate", unit=at) + f": * {factor(one.derivative[s, at])}"
        else:
            how = t("path_other", name=one.name)
        rows.append([how, f"d{one.source}[{at}]", number(one.dx[s, at])])
    x = first.x[s, i]
    share = x * first.dy[s, j]
    name = t("named", name=trace.feature_names[i]) if trace.feature_names and first.source == "x" else ""
    rows.append(
        [t("path_input", source=first.source, unit=i, name=name, value=number(x)), entry, number(share)]
    )
    value = number(first.grads["weight"][i, j])
    blocks = [
        text(t("path_why", sample=s, entry=entry)),
        table(t("path_header"), rows),
        text(
            t("path_rows", others=trace.batch - 1, entry=entry, value=value)
            if trace.batch > 1
            else t("path_one_row", entry=entry, value=value)
        ),
    ]
    hidden = first_hidden(trace)
    stopped = None if hidden is None else stopped_unit(hidden, s)
    if hidden is not None and hidden.derivative is not None and hidden.derivative[s, story.unit] == 0:
        stopped = story.unit
    if hidden is not None and stopped is not None:
        blocks.append(note(t("path_stopped", unit=stopped, arrives=number(hidden.dy[s, stopped]))))
    return Step("path", t("path"), blocks)
