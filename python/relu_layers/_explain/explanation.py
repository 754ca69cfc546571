"""`Explanation`: a trace, what is followed in it, and the ways to show it."""

from __future__ import annotations

from relu_layers._checks import integer
from relu_layers._explain import terminal
from relu_layers._explain.blocks import Step
from relu_layers._explain.catalogue import Texts
from relu_layers._explain.followed import busiest_unit, first_hidden
from relu_layers._explain.story import Story
from relu_layers._explain.trace import Trace

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

    def __init__(self, trace: Trace, *, sample: int = 0, unit: int | None = None, lang: str = "en") -> None:
        self.trace, self.sample, self.lang = trace, sample, Texts(lang).lang
        self.unit = busiest_unit(trace, sample) if unit is None else integer("explain", "unit", unit)
        hidden = first_hidden(trace) or trace.layers[-1]
        width = hidden.y.shape[-1]
        if not 0 <= self.unit < width:
            raise IndexError(f"explain: unit is {unit}, but the first hidden layer has {width} units")

    def steps(self, *, everything: bool = True, lang: str | None = None) -> list[Step]:
        """Return what is told, step by step: what the renderers set in type.

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
        return terminal.render(story.title(), self.trace.title, story.steps(), width, style, closing)

    def __str__(self) -> str:
        return self.to_text(everything=False)

    def __rich__(self) -> str:
        """Return markup: rich calls this where it prints an explanation."""
        return self.to_text(everything=False, markup=True)

    def __repr__(self) -> str:
        trace = self.trace
        layers = ", ".join(layer.name for layer in trace.layers)
        return f"<Explanation of {layers} with {trace.loss.name}: row {self.sample}, unit {self.unit}>"
