"""What every part of a story shares: the recorded step, the language, and what is followed."""

from __future__ import annotations

from relu_layers.explanation.catalogue import Texts
from relu_layers.explanation.path import Path, path_through
from relu_layers.explanation.trace import Trace


class Scene:
    """One row and one hidden unit of a recorded step, in one language.

    Attributes
    ----------
    trace, texts, path
        The step, the words, and the path that is followed.
    sample, unit : int
    everything : bool
        Whether all is explained; otherwise one row and one path.
    """

    def __init__(self, trace: Trace, texts: Texts, sample: int, unit: int, everything: bool) -> None:
        self.trace, self.texts, self.everything = trace, texts, everything
        self.sample, self.unit = sample, unit
        self.path: Path = path_through(trace, sample, unit)

    def more(self, count: int) -> str:
        """Return the words for terms that are left out."""
        return self.texts("more_terms", count=count)
