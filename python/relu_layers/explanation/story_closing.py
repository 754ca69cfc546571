"""After the backward pass: the check, the update, and the remarks on both."""

from __future__ import annotations

import numpy as np

from relu_layers.explanation.blocks import (
    Block,
    Step,
    factor,
    formula_block,
    histogram,
    note,
    number,
    table,
    text,
    worked,
)
from relu_layers.explanation.catalogue import formula
from relu_layers.explanation.programs import after_a_run
from relu_layers.explanation.scene import Scene
from relu_layers.explanation.trace import Check, Mistake, Trace

_LISTED = 6
_WORST = 8


def steps(story: Scene) -> list[Step]:
    """Return check, update and, where it applies, the note on 0; with ``everything`` the rest."""
    found = [_check(story), _update(story)]
    corner = _corner(story)
    if corner is not None:
        found.append(corner)
    if story.everything:
        found += [_summary(story), _what_if(story), _mistakes(story), _elsewhere(story)]
    return found


def _check(story: Scene) -> Step:
    t, checks = story.texts, story.trace.checks
    if not checks:
        return Step("check", t("check"), [text(t("check_none"))])
    count = {kind: sum(one.verdict == kind for one in checks.values()) for kind in ("ok", "kink", "wrong")}
    part = f"{story.trace.checked:.0%}" if story.trace.checked > 0.01 else f"{story.trace.checked:.2%}"
    chosen = _chosen_checks(story)
    rows = [
        [
            f"d{_entry(story, name, index)}",
            number(one.analytic),
            number(one.numeric),
            t(f"verdict_{one.verdict}"),
        ]
        for (name, index), one in chosen
    ]
    blocks = [text(t("check_why", part=part, **count)), table(t("check_header"), rows)]
    kink = next((one.kink for _, one in chosen if one.kink is not None), None)
    if kink is not None:
        layer, unit, _, value = kink
        source = next((one.source for one in story.trace.layers if one.index == layer), "")
        blocks.append(note(t("check_kink", source=source, unit=unit, value=number(value))))
    return Step("check", t("check"), blocks)


def _chosen_checks(story: Scene) -> list[tuple[tuple[str, tuple[int, ...]], Check]]:
    """Return a few places: the followed weights, then wrong entries, kinks and others."""
    checks = {
        place: one for place, one in story.trace.checks.items() if place[0] != "x" or one.verdict != "ok"
    }
    followed: list[tuple[str, tuple[int, ...]]] = [
        (layer.key("weight"), (i, j))
        for layer, i, j in zip(story.trace.layers, story.path.inputs, story.path.outputs, strict=True)
        if layer.role == "dense"
    ]
    order = [place for place in followed if place in checks]
    for verdict in ("wrong", "kink", "ok"):
        order += [place for place, one in checks.items() if one.verdict == verdict][:_LISTED]
    return [(place, checks[place]) for place in dict.fromkeys(order)][:_LISTED]


def _entry(story: Scene, name: str, index: tuple[int, ...]) -> str:
    symbol = next((one.symbol for one in story.trace.updates if one.name == name), name)
    return f"{symbol}[{','.join(map(str, index))}]"


def plain_descent(trace: Trace) -> bool:
    """Return whether the update is ``w - rate * g`` and nothing else."""
    config = trace.optimizer_config
    return trace.optimizer_kind == "SGD" and not (
        config["momentum"] or config["weight_decay"] or config["multipliers"]
    )


def _update(story: Scene) -> Step:
    t, trace = story.texts, story.trace
    simple = plain_descent(trace)
    kind = "SGD_plain" if simple else trace.optimizer_kind
    rule = formula(kind, "plain", "", "", {}, t.lang)
    latex = formula(kind, "latex", "", "", {}, t.lang) or ""
    blocks = [text(t("update_rule", optimizer=trace.optimizer, rate=f"{trace.learning_rate:g}"))]
    if rule is not None:
        blocks.append(formula_block(rule, latex))
    by_name = {one.name: one for one in trace.updates}
    for layer, i, j in zip(trace.layers, story.path.inputs, story.path.outputs, strict=True):
        one = by_name.get(layer.key("weight"))
        if one is None or layer.role != "dense":
            continue
        before, gradient, after = one.before[i, j], one.gradient[i, j], number(one.after[i, j])
        entry = f"{one.symbol}[{i},{j}]"
        if simple:
            step = f"{trace.learning_rate:g}*{factor(gradient)}"
            blocks.append(worked(f"{entry} = {number(before)} - {step} = {after}"))
            continue
        words = t("update_entry", entry=entry, before=number(before), gradient=number(gradient), after=after)
        blocks.append(worked(words))
    rows = [
        [
            one.symbol,
            str(one.before.shape),
            number(one.gradient_norm),
            f"{one.ratio:.2g}" if np.isfinite(one.ratio) else "-",
        ]
        for one in trace.updates
    ]
    blocks.append(table(t("update_header"), rows))
    before, after = number(trace.loss.value), number(trace.loss.after)
    blocks.append(text(t("update_loss", before=before, after=after)))
    return Step("update", t("update"), blocks)


def _corner(story: Scene) -> Step | None:
    """Return the note on programs that differ at 0, where a row is zero and the first layer has no bias."""
    layers = story.trace.layers
    if len(layers) < 2 or layers[0].role != "dense" or "bias" in layers[0].params:
        return None
    relu, first = layers[1], layers[0]
    if relu.kind != "ReLU" or relu.config["negative_slope"] != 0 or relu.x.ndim != 2:
        return None
    corner = np.flatnonzero(np.all(first.x == 0, axis=1))
    if not corner.size:
        return None
    t = story.texts
    words = t("seed_note_why", sample=int(corner[0]), units=relu.x.shape[1], weight=first.weight_symbol)
    return Step("corner", t("seed_note"), [text(words)])


def _summary(story: Scene) -> Step:
    t = story.texts
    rows = []
    for layer in story.trace.layers:
        arrays = {layer.symbol: layer.y, f"d{layer.symbol}": layer.dy}
        known = {"weight": layer.weight_symbol, "bias": layer.bias_symbol}
        for name in layer.params:
            symbol = known.get(name, name)
            arrays |= {symbol: layer.params[name], f"d{symbol}": layer.grads[name]}
        for symbol, array in arrays.items():
            low, high = number(array.min()), number(array.max())
            rows.append(
                [symbol, str(array.shape), number(np.linalg.norm(array)), low, high, f"|{histogram(array)}|"]
            )
    blocks: list[Block] = [table(t("summary_header"), rows)]
    for layer in story.trace.layers:
        if layer.counts is None or layer.derivative is None or layer.derivative.ndim != 2:
            continue
        off = np.mean(layer.derivative == 0, axis=0)
        worst = [int(u) for u in np.argsort(-off, kind="stable")[:_WORST] if off[u] > 0]
        if worst:
            units = t("between_units").join(t("worst_unit", unit=u, share=f"{off[u]:.0%}") for u in worst)
            blocks.append(text(t("worst_units", layer=layer.symbol, units=units)))
    return Step("summary", t("summary"), blocks)


def _what_if(story: Scene) -> Step:
    t, trace = story.texts, story.trace
    if not trace.variants:
        return Step("what-if", t("what_if"), [text(t("what_if_none"))])
    weights = [one for one in trace.updates if one.symbol.startswith("W")]
    header = t("what_if_header", norms="{norms}").split("|")
    place = next(i for i, cell in enumerate(header) if "{norms}" in cell)
    closing = header[place].replace("{norms}", "")
    columns = [*header[:place], *(t("what_if_norm", symbol=one.symbol) for one in weights), closing]
    rows = [
        [
            _label(story, one.label),
            number(one.loss),
            number(one.after),
            *(number(one.norms[weight.name]) for weight in weights),
            str(one.dead),
        ]
        for one in trace.variants
    ]
    return Step("what-if", t("what_if"), [text(t("what_if_why")), table("|".join(columns), rows)])


def _label(story: Scene, label: str) -> str:
    kind, _, slope = label.partition(" ")
    return story.texts("what_if_slope", slope=slope) if kind == "slope" else label


def _mistakes(story: Scene) -> Step:
    t = story.texts
    rows = []
    for one in story.trace.mistakes:
        example = _example(story, one)
        off = (
            f"{one.relative:.1%}"
            if np.isfinite(one.relative) and one.relative < 100
            else f"{one.relative:.3g}"
        )
        rows.append([t(f"mistake_{one.key}", **_words(one)), off, example])
    return Step("mistakes", t("mistakes"), [text(t("mistakes_why")), table(t("mistakes_header"), rows)])


def _words(one: Mistake) -> dict[str, str]:
    names = {"negative_slope": ("slope",), "no_division": ("rows",)}.get(one.key, ())
    return {name: f"{one.numbers[name]:g}" for name in names}


def _example(story: Scene, one: Mistake) -> str:
    t = story.texts
    if one.key == "no_maximum":
        shift, broken, values = (f"{one.numbers[name]:g}" for name in ("shift", "broken", "values"))
        return t("mistake_no_maximum_then", shift=shift, broken=broken, values=values)
    if not one.error:
        return t("mistake_none")
    name, _, index = one.where.partition("[")
    symbol = next((update.symbol for update in story.trace.updates if update.name == name), name)
    example = t(
        "mistake_example", where=f"d{symbol}[{index}", wrong=number(one.wrong), right=number(one.right)
    )
    return t("mistake_failure", failure=one.failure, example=example) if one.failure else example


def _elsewhere(story: Scene) -> Step:
    t = story.texts
    if not story.trace.programs:
        return Step("elsewhere", t("elsewhere"), [text(t("elsewhere_none"))])
    blocks = [text(t("elsewhere_why"))]
    for program in story.trace.programs:
        one = after_a_run(program, story.trace)
        blocks.append(Block("code", one.text))
        blocks.append(
            note(t("elsewhere_absent", name=one.name))
            if one.difference is None
            else worked(t("elsewhere_ran", name=one.name, difference=f"{one.difference:.1e}"))
        )
    return Step("elsewhere", t("elsewhere"), blocks)
