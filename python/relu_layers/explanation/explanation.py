"""`Explanation`: a trace, the row and unit that are followed in it, and the ways to show it."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from relu_layers._support.arguments import integer
from relu_layers._support.configured import Array
from relu_layers._support.files import AnyPath, write_text
from relu_layers.explanation import fragment, markdown, page, terminal
from relu_layers.explanation.blocks import Step
from relu_layers.explanation.catalogue import Texts
from relu_layers.explanation.path import busiest_unit, first_hidden
from relu_layers.explanation.programs import step_arrays
from relu_layers.explanation.story import Story
from relu_layers.explanation.trace import Trace
from relu_layers.explanation.trace_dict import trace_dict

_WIDTH = 80


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

    def __init__(
        self, trace: Trace, *, sample: int = 0, unit: int | None = None, lang: str | None = None
    ) -> None:
        self.trace, self.sample, self.lang = trace, sample, Texts(lang).lang
        self.unit = busiest_unit(trace, sample) if unit is None else integer("explain", "unit", unit)
        hidden = first_hidden(trace) or trace.layers[-1]
        width = hidden.y.shape[-1]
        if not 0 <= self.unit < width:
            raise IndexError(f"explain: unit is {unit}, but the first hidden layer has {width} units")

    def steps(self, *, everything: bool = True, lang: str | None = None) -> list[Step]:
        """Return the steps of the explanation, which the renderers set in type.

        Parameters
        ----------
        everything : bool, keyword
            False is for a beginner: one row, one path.
        lang : {"en", "ja"} or None, keyword
            None is the explanation's own.
        """
        return self._story(everything, lang).steps()

    def _story(self, everything: bool, lang: str | None) -> Story:
        return Story(self.trace, Texts(lang or self.lang), self.sample, self.unit, everything)

    def to_text(
        self, *, everything: bool = True, lang: str | None = None, width: int = _WIDTH, markup: bool = False
    ) -> str:
        """Return the explanation for a terminal of ``width`` columns.

        With ``markup`` it holds the tags that rich shows as styles; `print(explanation)` has none.
        """
        story = self._story(everything, lang)
        style = terminal.marked_up if markup else terminal.plain
        closing = "" if everything else story.texts("ask_for_more")
        return terminal.render(story.title(), story.subtitle(), story.steps(), width, style, closing)

    def to_markdown(self, *, everything: bool = True, lang: str | None = None) -> str:
        """Return the explanation as Markdown, formulas in LaTeX between ``$$``."""
        story = self._story(everything, lang)
        return markdown.render(story.title(), story.subtitle(), story.steps())

    def save_markdown(self, path: AnyPath, *, lang: str | None = None) -> None:
        """Write `to_markdown` as a file."""
        write_text(path, self.to_markdown(lang=lang))

    def save_json(self, path: AnyPath) -> None:
        """Write `to_dict` as a file."""
        write_text(path, json.dumps(self.to_dict(), allow_nan=False))

    def to_html(self, *, lang: str | None = None) -> str:
        """Return one page that needs no other file and no network, to be clicked or typed through."""
        return page.page(self.trace, self.sample, self.unit, lang or self.lang)

    def save_html(self, path: AnyPath, *, lang: str | None = None) -> None:
        """Write `to_html` as a file."""
        write_text(path, self.to_html(lang=lang))

    def _repr_html_(self) -> str:
        story = self._story(False, None)
        return f"<div><h2>{escape(story.title())}</h2>{fragment.render(story.steps(), level=3, styled=True)}</div>"

    def to_dict(self) -> dict[str, Any]:
        """Return the trace as numbers, text, lists and dicts, ready for `json.dump`.

        Arrays are dicts of ``shape``, ``norm``, ``min``, ``max`` and ``values``, or ``histogram`` instead of the
        values of more than 4,096 entries. ``schema`` (1) counts up when a name or its meaning changes; ``sample`` and
        ``unit`` are those that are followed. ``elsewhere`` holds the same step as short programs; the ``difference``
        of one that `explain` has not run, such as PyTorch's, is None.
        """
        programs = [
            {"name": one.name, "program": one.text, "difference": one.difference}
            for one in self.trace.programs
        ]
        followed = {"sample": self.sample, "unit": self.unit}
        return trace_dict(self.trace) | followed | {"elsewhere": programs}

    def arrays(self) -> dict[str, Array]:
        """Return x, target and the weights before the step by their symbols, such as ``"W1"``."""
        return step_arrays(self.trace)

    def __str__(self) -> str:
        return self.to_text(everything=False)

    def __rich__(self) -> str:
        """Return markup: rich calls this where it prints an explanation."""
        return self.to_text(everything=False, markup=True)

    def __repr__(self) -> str:
        trace = self.trace
        layers = ", ".join(layer.name for layer in trace.layers)
        return f"<Explanation of {layers} with {trace.loss.name}: row {self.sample}, unit {self.unit}>"
