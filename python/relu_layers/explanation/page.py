"""The HTML page: one file that needs nothing else; the script only shows what is worked out here."""

from __future__ import annotations

import base64
import json
import re
from html import escape
from typing import Any

import numpy as np

from relu_layers.explanation import fragment
from relu_layers.explanation.blocks import Block, Step, number
from relu_layers.explanation.catalogue import Texts, data_file
from relu_layers.explanation.drawing import Drawing, matrices
from relu_layers.explanation.followed import first_hidden
from relu_layers.explanation.story import Story
from relu_layers.explanation.trace import Trace, Training

# Rows and hidden units to choose from, and how many pairs of them.
ROWS, UNITS, PAIRS = 8, 12, (64, 40, 24, 12, 1)
# Bytes that a page stays below, if need be by fewer pairs.
LIMIT = 290_000
# Steps that do not depend on the row and the unit: told once, behind the others.
_ONCE = ("summary", "what-if", "mistakes", "elsewhere")
# The loss curve's measures.
_CURVE = (400, 90)


class Distinct:
    """A list in which equal things stand once: what is told of many rows and units repeats itself."""

    def __init__(self) -> None:
        self.all: list[Any] = []
        self._places: dict[str, int] = {}

    def __call__(self, thing: Any) -> int:
        place = self._places.setdefault(json.dumps(thing), len(self.all))
        if place == len(self.all):
            self.all.append(thing)
        return place


class Told:
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
    texts = Texts(lang)
    story = Story(trace, texts, sample, unit, everything=True)
    steps = story.steps()
    once = [step for step in steps if step.key in _ONCE]
    followed = [step for step in steps if step.key not in _ONCE]
    data = _data(trace, texts, sample, unit, followed, pairs) if drawable(trace) else None
    if data is None:
        data = {"labels": texts.starting_with("page_")}
    title = story.title()
    filled = {
        "lang": lang,
        "title": escape(title),
        "subtitle": escape(story.subtitle()),
        "css": data_file("page.css"),
        "script": data_file("page.js") + data_file("player.js"),
        # Inside a script element nothing may look like a tag.
        "data": json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace(
            "<", "\\u003c"
        ),
        "static": fragment.render(followed),
        "once": fragment.render(once, numbered=False),
        **{key: escape(words) for key, words in texts.starting_with("page_").items()},
    }
    # In one pass, so that nothing put in is looked at again.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: filled[place[1]], data_file("page.html"))


def _data(
    trace: Trace, texts: Texts, sample: int, unit: int, first: list[Step], limit: int
) -> dict[str, Any]:
    hidden = first_hidden(trace) or trace.layers[-1]
    samples = _rows(trace.batch, sample)
    units = _units(hidden.y.shape[-1], np.linalg.norm(np.nan_to_num(hidden.dy), axis=0), unit)
    while len(samples) * len(units) > limit:
        longer = samples if len(samples) > len(units) else units
        longer.remove(next(one for one in reversed(longer) if one not in (sample, unit)))
    stories = {(s, u): Story(trace, texts, s, u, everything=False) for s in samples for u in units}
    keep: dict[int, list[int]] = {}
    start = trace.layers.index(hidden)
    for place in range(len(trace.layers) + 1):
        chosen = [
            story.path.outputs[place - 1] if place else story.path.inputs[0] for story in stories.values()
        ]
        keep[place] = list(dict.fromkeys([*(units if place in (start, start + 1) else []), *chosen]))
    drawing = Drawing(trace, samples, keep)
    told = Told()
    focuses = Distinct()
    pairs: dict[str, Any] = {}
    for (s, u), story in stories.items():
        steps = first if (s, u) == (sample, unit) else story.steps()
        pairs[f"{s},{u}"] = [
            [told.step(step), focuses(drawing.focus(step.key, story.path))] for step in steps
        ]
    return {
        "words": told.words.all,
        "blocks": told.blocks.all,
        "steps": told.steps.all,
        "focuses": focuses.all,
        "pairs": pairs,
        "samples": samples,
        "units": units,
        "start": [sample, unit],
        "net": drawing.to_dict(),
        "matrices": matrices(trace, drawing, samples),
        "training": None if trace.training is None else _training(trace.training),
        "labels": texts.starting_with("page_"),
        "shown": ""
        if len(samples) == trace.batch and len(units) == hidden.y.shape[-1]
        else texts("page_shown", rows=len(samples), batch=trace.batch),
    }


def _rows(batch: int, sample: int) -> list[int]:
    rows = list(range(min(batch, ROWS)))
    return rows if sample in rows else [*rows[:-1], sample]


def _units(width: int, sizes: np.ndarray, unit: int) -> list[int]:
    order = [unit, *(int(u) for u in np.argsort(-sizes, kind="stable"))]
    return sorted(list(dict.fromkeys(order))[: min(width, UNITS)])


def _training(training: Training) -> dict[str, Any]:
    """Return the frames with everything in the units of the drawing, 0 .. 1 across and down."""
    left, right, bottom, top = training.bounds

    def place(x: float, y: float) -> list[float]:
        return [round((x - left) / (right - left), 4), round((top - y) / (top - bottom), 4)]

    losses = np.array(training.losses)
    finite = np.where(np.isfinite(losses), losses, np.nan)
    highest = float(np.nanmax(finite)) or 1.0
    width, height = _CURVE
    last = max(len(losses) - 1, 1)
    curve = [
        f"{width * k / last:.1f},{height - (height - 4) * v / highest:.1f}"
        for k, v in enumerate(finite)
        if np.isfinite(v)
    ]
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
        "curve": " ".join(curve),
        "curve_size": list(_CURVE),
        "highest": number(highest),
    }
