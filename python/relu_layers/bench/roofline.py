"""The least time that arithmetic, memory and one call allow, with which every time is compared.

A case is a list of passes over memory, one after another. A pass takes at least
``max(flops / peak, bytes / bandwidth)``, since arithmetic and loads of one pass overlap; passes do not, so their times
add up, and one call from Python comes on top. The bandwidth is that of the smallest cache that holds all the pass
touches. This is a lower bound: it knows no latency, which is most of the time of a very small network.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

from relu_layers.bench.cases import Case

# A polynomial of degree 6 with range reduction and scaling; divisions and logarithms of rows come on top, uncounted.
_FLOPS_OF_EXP = 20
# Arrays that an update reads or writes, per parameter.
_UPDATE_TRAFFIC = {"sgd": 3, "momentum": 5, "adam": 7}


class Pass(NamedTuple):
    """Floating-point operations, and elements read or written (each array once)."""

    flops: float
    elements: float


@dataclass(frozen=True)
class Level:
    """A cache or the memory: its name, its bytes (0 for memory), and bytes per second read and written."""

    name: str
    size: int
    bandwidth: float


@dataclass(frozen=True)
class Limits:
    """The peaks of the machine with the threads of this run.

    Attributes
    ----------
    peak : dict
        Floating-point operations per second by dtype; a fused multiply-add counts as two.
    levels : tuple of Level
        From the smallest cache to memory.
    call : float
        Seconds that Python takes to call a function of an extension that does nothing.
    """

    peak: dict[str, float]
    levels: tuple[Level, ...]
    call: float

    def level(self, size: float) -> Level:
        """Return the smallest level that holds ``size`` bytes."""
        return next((level for level in self.levels[:-1] if size <= level.size), self.levels[-1])

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for a message or a file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Limits:
        """Return the limits of a message."""
        return cls(fields["peak"], tuple(Level(**level) for level in fields["levels"]), fields["call"])


def bound(case: Case, limits: Limits) -> float:
    """Return the least seconds of one call (of one step, for a fit)."""
    peak = limits.peak[case.dtype]
    # Arguments that wait for their turn take their place in a cache too.
    waiting = (case.rotation - 1) * case.rotating if case.section == "ops" else 0
    seconds = 0.0 if case.section == "fit" else limits.call
    for each in passes(case):
        size = each.elements * case.itemsize
        seconds += max(each.flops / peak, size / limits.level(size + waiting).bandwidth)
    if case.section == "fit":
        # Rows are read once from wherever all of them fit, and once a call of fit is paid for.
        rows = case.rows * case.shape[0] * case.itemsize
        seconds += rows / case.steps / limits.level(rows).bandwidth + limits.call / case.steps
    return seconds


def passes(case: Case) -> list[Pass]:
    """Return the least work of a case."""
    if case.section == "ops":
        return [_op(case)]
    layers = list(pairwise(case.shape))
    result = [_product(case.batch, *layer) for layer in layers]
    if case.section == "inference":
        return result
    outputs = case.batch * case.shape[-1]
    result.append(Pass(0 if case.regression else _FLOPS_OF_EXP * outputs, 2 * outputs))
    for index, layer in enumerate(layers):
        result += [_product(case.batch, *layer)] * (2 if index else 1)
    params = sum(inputs * outputs + outputs for inputs, outputs in layers)
    result.append(Pass(2 * params, _UPDATE_TRAFFIC[case.optimizer] * params))
    return result


def _product(batch: int, inputs: int, outputs: int) -> Pass:
    """Return a product of a dense layer: forward, dx and dweight cost the same."""
    return Pass(2.0 * batch * inputs * outputs, batch * inputs + inputs * outputs + batch * outputs)


def _op(case: Case) -> Pass:
    if case.family == "gemm":
        return _product(*case.shape)
    n = prod(case.shape)
    if case.op in ("softmax", "cross-entropy"):
        return Pass(_FLOPS_OF_EXP * n, 2 * n)
    traffic = {"relu-forward": 2, "relu-backward": 3, "sgd-update": 5, "adam-update": 7}[case.op]
    return Pass(2.0 * n, traffic * n)
