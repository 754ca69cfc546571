"""Dropout with counter-based random masks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from relu_layers._core import configuration_changed
from relu_layers._support.arguments import integer, real
from relu_layers._support.configured import Array
from relu_layers.layers.base import Layer


class Dropout(Layer):
    """In training, zeroes elements with probability ``rate`` and scales the rest by ``1 / (1 - rate)``.

    The mask of a training forward is a function of (key, counter, element index) through Philox4x32-10, so it
    depends neither on threads nor on dtype, and backward computes it again instead of storing it.

    Parameters
    ----------
    rate : float
        Probability of zero, 0 <= rate < 1.

    Notes
    -----
    The key is fresh entropy until a model sets it from its generator; the counter advances with every
    training forward. Source: Srivastava et al. 2014 (inverted form); Salmon et al. 2011 for Philox.
    """

    identity_at_inference = True
    _configuration = ("_key",)

    def __init__(self, rate: float) -> None:
        self.rate = real("Dropout", "rate", rate)
        if not 0.0 <= self.rate < 1.0:
            raise ValueError(f"Dropout: rate is {self.rate}, expected 0 <= rate < 1")
        self._key = int.from_bytes(os.urandom(8), "little") >> 1
        # In memory of its own, where a captured step advances it too.
        self._counter = np.zeros(1, dtype=np.uint64)

    def state_dict(self) -> dict[str, int]:
        """Return key and counter: what a checkpoint needs so that the next masks are the same."""
        return {"key": self._key, "counter": int(self._counter[0])}

    @property
    def shared_counter(self) -> Array:
        """The counter's own memory, uint64 (1,): captured steps advance it too."""
        return self._counter

    def __getstate__(self) -> dict[str, Any]:
        # A copy counts for itself.
        return super().__getstate__() | {"_counter": self._counter.copy()}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Set key and counter, both in 0 .. 2**64 - 1."""
        key, counter = (integer("Dropout.load_state", k, state[k], minimum=0) for k in ("key", "counter"))
        if max(key, counter) >= 2**64:
            raise ValueError("Dropout.load_state: key and counter must be below 2**64")
        self._key = key
        self._counter[0] = counter
        configuration_changed(self)

    # Their former names.
    state, load_state = state_dict, load_state_dict

    def forward(self, x: Array, training: bool = False, *, out: Array | None = None) -> Array:
        """Return y of the shape of x: masked and scaled in training, else a copy of x."""
        if not training:
            self._saved = None
            y: Array = self.ops.dropout_forward(x, 0.0, key=0, counter=0, out=out)
            return y
        counter = int(self._counter[0])
        y = self.ops.dropout_forward(x, self.rate, key=self._key, counter=counter, out=out)
        self._saved = (self._key, counter)
        self._counter[0] = (counter + 1) % 2**64
        return y

    def backward(self, dy: Array, *, out: Array | None = None) -> Array:
        """Return dy through the mask of the last training forward."""
        key, counter = self._kept()
        dx: Array = self.ops.dropout_backward(dy, self.rate, key=key, counter=counter, out=out)
        self._saved = None
        return dx
