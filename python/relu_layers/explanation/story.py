"""The explanation as steps: their order, words and numbers. Renderers only set them."""

from __future__ import annotations

import numpy as np

from relu_layers.explanation import story_backward, story_closing
from relu_layers.explanation.blocks import (
    SHOWN,
    Block,
    Step,
    factor,
    formula_block,
    latex_symbol,
    named_numbers,
    note,
    number,
    numbers,
    product_sum,
    signs,
    table,
    text,
    worked,
)
from relu_layers.explanation.catalogue import Texts, formula
from relu_layers.explanation.path import first_hidden, neighbours
from relu_layers.explanation.scene import Scene
from relu_layers.explanation.trace import LayerTrace, LossTrace, Trace


class Story(Scene):
    """Builds the steps for one row and one hidden unit."""

    def subtitle(self) -> str:
        """Return what it is about, and how it ends where that is not a softmax."""
        square = self.texts("ends_in_squares") if self.trace.loss.kind == "SquaredError" else ""
        return " · ".join(filter(None, (self.trace.title, square)))

    def title(self) -> str:
        """Return the heading of the whole."""
        hidden = first_hidden(self.trace)
        kind = hidden.kind if hidden is not None else self.trace.loss.kind
        return self.texts("title", activation=kind)

    def steps(self) -> list[Step]:
        """Return all steps in order."""
        forward = [self._forward(i) for i in range(len(self.trace.layers))]
        backward = story_backward.steps(self)
        return [self._short(), self._network(), *forward, self._loss(), *backward, *story_closing.steps(self)]

    def class_name(self, label: int) -> str:
        """Return the name of a class, empty where classes have none."""
        names = self.trace.class_names
        return names[label] if 0 <= label < len(names) else ""

    def row_values(self, layer: LayerTrace) -> Block:
        """Return a layer's output for the row: all of it, or a summary of a long one."""
        row = layer.y[self.sample]
        if row.size <= SHOWN:
            return worked(
                self.texts("all_units", count=row.size, symbol=layer.symbol, values=numbers(row, SHOWN))
            )
        return note(
            self.texts(
                "some_units",
                count=row.size,
                norm=number(np.linalg.norm(row)),
                low=number(row.min()),
                high=number(row.max()),
                values=numbers(row, 5),
            )
        )

    def _short(self) -> Step:
        t, hidden = self.texts, first_hidden(self.trace)
        blocks = []
        if hidden is not None and hidden.kind == "ReLU":
            slope = hidden.config["negative_slope"]
            blocks.append(text(t("short_scaled", slope=f"{slope:g}") if slope else t("short_closed")))
            blocks.append(note(t("short_zero")))
        elif hidden is not None:
            blocks.append(text(t("short_other")))
        blocks.append(text(t("short_1")))
        blocks.append(text(t("short_2", sample=self.sample, unit=self.unit)))
        return Step("short", t("short_answer"), blocks)

    def _network(self) -> Step:
        t, trace = self.texts, self.trace
        rows = [["x", _shape(trace.layers[0].x), ""]]
        for one in trace.layers:
            rows.append([one.symbol, _shape(one.y), self.made_from(one)])
        rows.append([t("word_loss"), "", _short_name(trace.loss.name)])
        blocks = [
            Block("table", header=[], rows=rows),
            note(t("network_legend")),
            text(network_facts(trace, t, number(trace.loss.value), number(trace.loss.after))),
        ]
        if trace.dropped:
            blocks.append(note(t("dropped", layer=trace.dropped)))
        wanted = np.atleast_1d(trace.loss.target[self.sample])
        if wanted.dtype.kind == "f":
            target = numbers(wanted)
        else:
            target = ", ".join(self.class_name(k) or str(k) for k in wanted.tolist())
        x = trace.layers[0].x[self.sample]
        values = named_numbers(x, trace.feature_names) if trace.feature_names else numbers(x)
        blocks.append(worked(t("input_row", sample=self.sample, values=values, target=target)))
        return Step("network", t("network"), blocks)

    def made_from(self, layer: LayerTrace) -> str:
        """Return how a layer makes its output, with the shapes of its weights."""
        if layer.role != "dense":
            return f"= {layer.kind}({layer.source})"
        bias = f" + {layer.bias_symbol}" if "bias" in layer.params else ""
        return f"= {layer.source} {layer.weight_symbol}{bias}    {layer.weight_symbol} {_shape(layer.params['weight'])}"

    def _forward(self, index: int) -> Step:
        layer = self.trace.layers[index]
        if layer.x.ndim != 2 or layer.y.ndim != 2:
            return self._forward_other(layer)
        if layer.role == "dense":
            return self._forward_dense(index, layer)
        return self._forward_gate(index, layer) if layer.role == "elementwise" else self._forward_other(layer)

    def _forward_dense(self, index: int, layer: LayerTrace) -> Step:
        t, unit = self.texts, self.path.outputs[index]
        weight, bias = layer.weight_symbol, layer.params.get("bias")
        plus = "" if bias is None else f" + {layer.bias_symbol}"
        latex = f"{latex_symbol(layer.symbol)} = {latex_symbol(layer.source)} {latex_symbol(weight)}" + (
            "" if bias is None else f" + {latex_symbol(layer.bias_symbol)}"
        )
        terms = product_sum(layer.x[self.sample], layer.params["weight"][:, unit], self.more)
        if bias is not None:
            terms += f" + {factor(bias[unit])}"
        entry = f"{layer.symbol}[{unit}]"
        blocks = [
            text(
                t("forward_dense_why", bias="" if bias is None else t("and_bias"), unit=unit, weight=weight)
            ),
            formula_block(
                f"{entry} = {t('sum_inputs', term=f'{layer.source}[i] * {weight}[i,{unit}]')}"
                + ("" if bias is None else f" + {layer.bias_symbol}[{unit}]"),
                latex,
            ),
            worked(f"{entry} = {terms} = {number(layer.y[self.sample, unit])}"),
            self.row_values(layer),
        ]
        title = t("forward_dense", symbol=layer.symbol, source=layer.source, weight=weight, bias=plus)
        return Step(f"forward-{layer.index}", title, blocks)

    def _forward_gate(self, index: int, layer: LayerTrace) -> Step:
        t, unit = self.texts, self.path.outputs[index]
        assert layer.derivative is not None
        row, gates, out = layer.x[self.sample], layer.derivative[self.sample], layer.y[self.sample]
        blocks = [text(t("forward_gate_why"))]
        blocks += activation_formula(layer, t)
        shown = neighbours(layer, self.sample, unit)
        rows = [
            [str(u), number(row[u]), signs(row[u : u + 1]), number(gates[u]), number(out[u])] for u in shown
        ]
        blocks.append(
            table(t("gate_header", source=layer.source, symbol=layer.symbol), rows, shown.index(unit))
        )
        blocks.append(worked(t("pattern", pattern=signs(row))))
        blocks.append(note(t("pattern_legend")))
        if layer.kind == "ReLU" and np.any(row == 0):
            blocks.append(note(t("at_zero", slope=f"{layer.config['negative_slope']:g}")))
        if layer.counts is not None and (self.everything or self.trace.batch > 1):
            c = layer.counts
            seen = {"batch": self.trace.batch, "active": c.active, "negative": c.negative, "zero": c.zero}
            scaled = layer.kind == "ReLU" and layer.config["negative_slope"] != 0
            blocks.append(text(t("counts_scaled", **seen) if scaled else t("counts", **seen, dead=c.dead)))
        return Step(f"forward-{layer.index}", t("forward_activation", kind=layer.kind), blocks)

    def _forward_other(self, layer: LayerTrace) -> Step:
        blocks = [text(self.texts("other_why")), self.row_values(layer)]
        return Step(f"forward-{layer.index}", self.texts("forward_other", name=layer.name), blocks)

    def _loss(self) -> Step:
        t, loss, last = self.texts, self.trace.loss, self.trace.layers[-1]
        blocks = loss_formula(self.trace, t)
        if loss.probabilities is not None:
            assert loss.shifted is not None
            assert loss.exponentials is not None
            assert loss.sums is not None
            assert loss.rows is not None
            assert loss.wanted is not None
            s = self.sample
            columns = (loss.output, loss.shifted, loss.exponentials, loss.probabilities, loss.wanted)
            classes = range(loss.output.shape[1])
            if len(classes) > 12:
                classes = range(12)
            rows = [
                [f"{k} {self.class_name(k)}".rstrip(), *(number(column[s, k]) for column in columns)]
                for k in classes
            ]
            blocks += [
                text(t("loss_softmax")),
                table(t("loss_header", symbol=last.symbol), rows, int(np.argmax(loss.wanted[s]))),
                worked(t("loss_sum", sum=number(loss.sums[s, 0]), row=number(loss.rows[s]))),
            ]
        elif loss.scale is not None and loss.output.ndim == 2:
            output, wanted = loss.output[self.sample, 0], loss.target[self.sample, 0]
            blocks.append(
                worked(
                    f"{loss_factors(loss)['times']}({number(output)} - {factor(wanted)})^2"
                    f" = {number(loss.scale * (output - wanted) ** 2)}"
                )
            )
        blocks.append(text(t("loss_total", value=number(loss.value))))
        return Step("loss", t("loss_step"), blocks)


def network_facts(trace: Trace, t: Texts, before: str, after: str) -> str:
    """Return what there is to know beside the arrays, with the losses before and after the step."""
    return t(
        "network_facts",
        batch=trace.batch,
        parameters=sum(one.before.size for one in trace.updates),
        dtype=trace.dtype,
        seed="" if trace.seed is None else t("network_seed", seed=trace.seed),
        before=before,
        after=after,
        version=trace.version,
        target=trace.target,
    )


def activation_formula(layer: LayerTrace, t: Texts) -> list[Block]:
    """Return an activation's formula, or its name where none is written."""
    plain = formula(layer.kind, "plain", layer.source, layer.symbol, layer.config, t.lang)
    if plain is None:
        return [formula_block(f"{layer.symbol} = {layer.name}({layer.source})")]
    slope = formula(layer.kind, "derivative", layer.source, layer.symbol, layer.config, t.lang)
    latex = (
        formula(layer.kind, "latex", latex_symbol(layer.source), latex_symbol(layer.symbol), layer.config)
        or ""
    )
    return [formula_block(plain, latex), formula_block(f"{t('word_gate')} = {slope}")]


def loss_formula(trace: Trace, t: Texts) -> list[Block]:
    """Return the loss's formula, or its name where none is written."""
    loss, symbol = trace.loss, trace.layers[-1].symbol
    config = {"count": number(loss.count).removesuffix(".0"), **loss_factors(loss)}
    plain = formula(loss.kind, "plain", "", symbol, config, t.lang)
    if plain is None:
        return [formula_block(f"{t('word_loss')} = {loss.name}")]
    latex = formula(loss.kind, "latex", "", latex_symbol(symbol), config, t.lang)
    return [formula_block(plain, latex or "")]


def loss_factors(loss: LossTrace) -> dict[str, str]:
    """Return how the numbers of a loss of differences are written, factors of 1 left out."""
    scale = 1.0 if loss.scale is None else loss.scale
    times = "" if scale == 1.0 else f"{scale:g}"
    return {
        "times": times and f"{times} * ",
        "times_latex": times and f"{times}\\,",
        "twice": f"{2 * scale:g}",
        "delta": "" if loss.delta is None else f"{loss.delta:g}",
        "over": "" if loss.count == 1.0 else f" / {loss.count:g}",
    }


def _shape(array: np.ndarray) -> str:
    return "(" + ", ".join(map(str, array.shape)) + ")"


def _short_name(name: str) -> str:
    return name if len(name) <= 60 else name.split("(")[0]
