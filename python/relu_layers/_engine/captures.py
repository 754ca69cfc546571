"""Capturing what the layers do: the ops that they call are recorded once, then replayed without Python.

A capture is made by running the layers, the loss and the optimizer as ever, but with the extension recording:
every call is checked and kept instead of being computed. A recording has addresses of the workspace and of the
model's own arrays; the batch, the results and the numbers that change from step to step come with every replay. So
a capture is of one batch shape, and holds until a public attribute of what was captured changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np

from relu_layers import _core, ops
from relu_layers._engine.abilities import BUILT_IN_LAYERS, is_replaced
from relu_layers._engine.passes import Passes
from relu_layers._support.configured import Array, Configured
from relu_layers._support.phases import FORWARD

# Shapes seen once whose second sight is worth a capture.
_SHAPES_NOTED = 64
# Captures of one shape, for inferences that run at the same time.
_CAPTURES_OF_A_SHAPE = 8


def can_be_captured(layers: Iterable[Any], namespace: Any) -> bool:
    """Return whether nothing but the extension's ops computes: other layers may do what no op knows of."""
    return namespace is ops and all(
        type(layer) in BUILT_IN_LAYERS and layer.ops is ops and not is_replaced(layer) for layer in layers
    )


def watched(parts: Iterable[Any]) -> list[_core.Watched]:
    """Return those of ``parts`` that count their changes."""
    return [part for part in parts if isinstance(part, _core.Watched)]


class Snapshot:
    """The configuration of some objects at one time."""

    def __init__(self, parts: Iterable[Any]) -> None:
        self._states = [(part, part.configuration()) for part in parts if isinstance(part, Configured)]

    def holds(self) -> bool:
        """Return whether every object still has the very same configuration."""
        return all(_same(part.configuration(), state) for part, state in self._states)


def _same(now: dict[str, Any], before: dict[str, Any]) -> bool:
    return now.keys() == before.keys() and all(now[name] is value for name, value in before.items())


class InferenceCaptures:
    """The captured inferences of one model.

    Attributes
    ----------
    infer : callable
        ``infer(x, out)`` returns y, or None where the layers have to be run.
    """

    def __init__(
        self, passes: Passes, layers: tuple[Any, ...], namespace: Any, guard: Any, params: Array
    ) -> None:
        self._passes, self._layers, self._namespace = passes, layers, namespace
        self._guard, self._params = guard, params
        self._forget()

    def _forget(self) -> None:
        self._replay = _core.InferenceReplay(self._guard, self._params, watched(self._layers))
        self._snapshot = Snapshot(self._layers)
        self._possible = can_be_captured(self._layers, self._namespace)
        self._seen: set[tuple[int, ...]] = set()
        self.infer = self._replay.infer

    def consider(self, x: Array, y: Array) -> None:
        """Capture the inference that took x to y, if it may come again: called after it ran in the layers."""
        if not self._replay.current:
            if self._snapshot.holds():
                self._replay.renew()
            else:
                self._forget()
        if not self._possible or not x.flags.c_contiguous or self._replay.count(x) >= _CAPTURES_OF_A_SHAPE:
            return
        if x.shape not in self._seen:
            if len(self._seen) >= _SHAPES_NOTED:
                self._seen.clear()
            self._seen.add(x.shape)
            return
        # y is there: without memory for a capture the next inference runs in the layers, too.
        with suppress(MemoryError):
            # Stand-ins: their memory is never touched.
            source, result = np.empty_like(x), np.empty_like(y)
            capture = _core.Capture(source, None, None, result)
            capture.start(FORWARD)
            try:
                kept = self._passes.infer_apart(source, result)
            finally:
                capture.stop()
            if kept and capture.failure is None:
                self._replay.add(capture)
