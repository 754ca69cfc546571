"""The HTML page: one file that needs nothing else; the script only shows what is worked out here."""

from __future__ import annotations

import base64
import json
import math
import re
from html import escape
from typing import Any

import numpy as np

from relu_layers.explanation import fragment
from relu_layers.explanation.blocks import Block, Step, number
from relu_layers.explanation.catalogue import Texts, data_file
from relu_layers.explanation.drawing import UNITS, Drawing, matrices
from relu_layers.explanation.path import first_hidden
from relu_layers.explanation.setting import live, movable
from relu_layers.explanation.story import Story
from relu_layers.explanation.trace import Trace, Training

ENGINE = ("engine.js", "numbers.js", "paths.js", "sentences.js")
SCRIPTS = (*ENGINE, "page.js", "figures.js", "drawing.js", "arrays.js", "moving.js", "player.js")
# Rows to choose from where each is written by Python, and how many pairs of rows and units.
ROWS, PAIRS = 8, (128, 64, 40, 24, 12, 1)
# Bytes that a page stays below, if need be by fewer pairs.
LIMIT = 290_000
# Steps that do not depend on the row and the unit: shown once, behind the others.
_ONCE = ("summary", "what-if", "mistakes", "elsewhere")
# The loss curve's measures, the decades that its axis shows at most, and about how many of them are written.
_CURVE, _DECADES, _LABELS = (400, 160), 20, 6


class Distinct:
    """A list without duplicates: the steps of many rows and units repeat each other."""

    def __init__(self) -> None:
        self.all: list[Any] = []
        self._places: dict[str, int] = {}

    def __call__(self, thing: Any) -> int:
        place = self._places.setdefault(json.dumps(thing), len(self.all))
        if place == len(self.all):
            self.all.append(thing)
        return place


class DistinctSteps:
    """Steps as places in lists of distinct steps, blocks and texts."""

    def __init__(self) -> None:
        self.words, self.blocks, self.steps = Distinct(), Distinct(), Distinct()

    def step(self, step: Step) -> int:
        """Return the place of a step."""
        blocks = [self.blocks(self._block(block)) for block in step.blocks]
        return self.steps([step.key, self.words(step.title), blocks])

    def _block(self, block: Block) -> list[Any]:
        if block.kind != "table":
            return [block.kind, self.words(block.text)]
        header, *rows = (self.words("\t".join(cells)) for cells in (block.header, *block.rows))
        return [block.kind, header, rows, block.marked]


def drawable(trace: Trace) -> bool:
    """Return whether every array is a matrix, so that the network can be drawn."""
    return all(one.x.ndim == 2 and one.y.ndim == 2 for one in trace.layers)


def page(trace: Trace, sample: int, unit: int, lang: str) -> str:
    """Return the whole page, with the given row and unit chosen first."""
    result = ""
    for pairs in PAIRS:
        result = _page(trace, sample, unit, lang, pairs)
        if len(result.encode()) < LIMIT:
            break
    return result


def _page(trace: Trace, sample: int, unit: int, lang: str, pairs: int) -> str:
    story = Story(trace, Texts(lang), sample, unit, everything=True)
    steps = story.steps()
    once = [step for step in steps if step.key in _ONCE]
    followed = [step for step in steps if step.key not in _ONCE]
    data = {"labels": story.texts.starting_with("page_"), "comma": story.texts("between_units")}
    if drawable(trace):
        data |= _data(story, followed, pairs)
    title = story.title()
    filled = {
        "lang": story.texts.lang,
        "title": escape(title),
        "subtitle": re.sub("`(.*?)`", r"<code>\1</code>", escape(story.subtitle())),
        "css": data_file("page.css"),
        "script": "".join(map(data_file, SCRIPTS)),
        # Inside a script element nothing may look like a tag.
        "data": json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace(
            "<", "\\u003c"
        ),
        "static": fragment.render(followed),
        "once": fragment.render(once, numbered=False),
        **{key: escape(words) for key, words in story.texts.starting_with("page_").items()},
        **_slope_texts(trace, story.texts),
    }
    # In one pass, so that nothing put in is looked at again.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: filled[place[1]], data_file("page.html"))


def _slope_texts(trace: Trace, texts: Texts) -> dict[str, str]:
    """Return the texts that speak of closed gates, only where a gate can be closed."""
    closed = can_close(trace)
    return {
        "page_drawing_stops": escape(texts("page_drawing_stops")) if closed else "",
        "page_training_why": escape(texts("page_training_why") if closed else texts("page_training_slope")),
    }


def can_close(trace: Trace) -> bool:
    """Return whether a gate of this network can be closed, or is."""
    return any(
        (one.kind == "ReLU" and one.config["negative_slope"] == 0)
        or (one.derivative is not None and bool(np.any(one.derivative == 0)))
        for one in trace.layers
    )


def _data(story: Story, first: list[Step], limit: int) -> dict[str, Any]:
    trace, sample, unit = story.trace, story.sample, story.unit
    hidden = first_hidden(trace) or trace.layers[-1]
    width = hidden.y.shape[-1]
    moves = movable(trace)
    samples = _rows(trace.batch, sample)
    units = _units(width, np.linalg.norm(np.nan_to_num(hidden.dy), axis=0), unit)
    if moves:
        # The page writes every other row and unit by itself.
        chosen = {(sample, unit): story}
    else:
        while len(samples) * len(units) > limit:
            # Rows go first: a unit without its texts cannot be chosen.
            longer = samples if len(samples) > 1 else units
            longer.remove(next(one for one in reversed(longer) if one not in (sample, unit)))
        chosen = {(s, u): Story(trace, story.texts, s, u, everything=False) for s in samples for u in units}
    start = trace.layers.index(hidden)
    keep: dict[int, list[int]] = {}
    for place in range(len(trace.layers) + 1):
        on_path = [one.path.outputs[place - 1] if place else one.path.inputs[0] for one in chosen.values()]
        keep[place] = list(dict.fromkeys([*(units if place in (start, start + 1) else []), *on_path]))
    # In float64 the page's own numbers are the recorded ones to every digit shown.
    with_numbers = not moves or trace.dtype != "float64"
    drawing = Drawing(trace, samples, keep, with_numbers)
    distinct = DistinctSteps()
    pairs: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for (s, u), one in chosen.items():
        steps = first if (s, u) == (sample, unit) else one.steps()
        pairs[f"{s},{u}"] = [distinct.step(step) for step in steps]
        paths[f"{s},{u}"] = {"inputs": one.path.inputs, "outputs": one.path.outputs}
    everything = moves or (len(samples) == trace.batch and len(units) == width)
    return {
        "words": distinct.words.all,
        "blocks": distinct.blocks.all,
        "steps": distinct.steps.all,
        "pairs": pairs,
        "paths": paths,
        "samples": list(range(trace.batch)) if moves else samples,
        "units": list(range(width)) if moves else units,
        "start": [sample, unit],
        "hidden": start,
        "net": drawing.to_dict(),
        "matrices": matrices(trace, drawing, samples) if with_numbers else {},
        "live": live(story) if moves else None,
        "training": None if trace.training is None else _training(trace.training, can_close(trace)),
        "shown": "" if everything else story.texts("page_shown", rows=len(samples), batch=trace.batch),
    }


def _rows(batch: int, sample: int) -> list[int]:
    rows = list(range(min(batch, ROWS)))
    return rows if sample in rows else [*rows[:-1], sample]


def _units(width: int, sizes: np.ndarray, unit: int) -> list[int]:
    order = [unit, *(int(u) for u in np.argsort(-sizes, kind="stable"))]
    return sorted(list(dict.fromkeys(order))[: min(width, UNITS)])


def _training(training: Training, can_die: bool) -> dict[str, Any]:
    """Return the frames with everything in the units of the drawing, 0 .. 1 across and down."""
    left, right, bottom, top = training.bounds

    def place(x: float, y: float) -> list[float]:
        return [round((x - left) / (right - left), 4), round((top - y) / (top - bottom), 4)]

    losses = np.array(training.losses)
    low, high = _decades(losses)
    every = -(-(high - low) // _LABELS)
    width, height = _CURVE
    last = max(len(losses) - 1, 1)

    def level(value: float) -> float:
        return round(height * (high - math.log10(max(value, 10.0**low))) / (high - low), 1)

    curve = [f"{width * k / last:.1f},{level(v)}" for k, v in enumerate(losses) if np.isfinite(v)]
    frames = []
    for frame in training.frames:
        folds = [
            None if np.isnan(line).any() else [*place(line[0], line[1]), *place(line[2], line[3])]
            for line in frame.folds
        ]
        frames.append(
            {
                "step": frame.step,
                "loss": number(frame.loss),
                "at": round(width * frame.step / last, 1),
                "surface": base64.b64encode(frame.surface.tobytes()).decode("ascii"),
                "folds": folds,
                "dead": [int(u) for u in np.flatnonzero(frame.dead)],
            }
        )
    return {
        "grid": int(np.sqrt(training.frames[0].surface.size)),
        "frames": frames,
        "points": [
            [*place(x, y), int(c)] for (x, y), c in zip(training.points, training.classes, strict=True)
        ],
        "can_die": can_die,
        "curve": " ".join(curve),
        "curve_size": list(_CURVE),
        "ticks": [[f"{10.0**power:g}", level(10.0**power)] for power in range(low, high + 1, every)],
        "steps": [[step, round(width * step / last, 1)] for step in _step_ticks(len(losses) - 1)],
    }


def _decades(losses: np.ndarray) -> tuple[int, int]:
    """Return the powers of ten below and above the losses; below the last of `_DECADES` all counts as that."""
    shown = losses[np.isfinite(losses) & (losses > 0)]
    if not shown.size:
        return -1, 0
    high = int(np.ceil(np.log10(shown.max())))
    low = int(np.floor(np.log10(shown.min())))
    return max(min(low, high - 1), high - _DECADES), high


def _step_ticks(last: int) -> list[int]:
    """Return about five round numbers of steps from 0 to ``last``."""
    rough = max(last / 5, 1)
    size = 10 ** int(np.log10(rough))
    every = next(k * size for k in (1, 2, 5, 10) if k * size >= rough)
    return list(range(0, last + 1, every))
