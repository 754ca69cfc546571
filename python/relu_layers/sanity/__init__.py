"""`sanity_check`: does a network start, learn and pass gradients as it should?

The list is that of the course CS231n (Stanford): the loss at chance, a handful of rows learned by heart, dead
units, gradients and updates against weights; with it the first number that is not finite.
"""

from __future__ import annotations

from typing import Any

from relu_layers._support.arguments import integer
from relu_layers.model import Sequential
from relu_layers.optimizers import Optimizer
from relu_layers.sanity import flow, learning, numbers
from relu_layers.sanity.examined_model import OWNER, ExaminedModel
from relu_layers.sanity.report import Check, SanityReport

__all__ = ["Check", "SanityReport", "sanity_check"]


def sanity_check(
    model: Any, x: Any, y: Any, loss: Any = None, *, optimizer: Any = None, seed: int = 0
) -> SanityReport:
    """Run the checks that one makes before a long training, on copies of the model.

    Parameters
    ----------
    model : Sequential
        Freshly made or trained; stays as it is.
    x, y : array_like (rows, ...)
        A batch or a whole data set; converted to the model's dtype.
    loss : loss, callable or None
        None is `relu_layers.losses.default_loss`.
    optimizer : Optimizer or None, keyword
        Whose updates are measured, on a copy. None reports the rate at which plain SGD moves the weights by
        a thousandth.
    seed : int, keyword
        Of fresh weights and of the rows that are picked.

    Returns
    -------
    SanityReport
        True if nothing failed. Each check says what it found and what to do about it:

        - numbers: the first that is not finite, located to layer, unit and sample;
        - inputs: columns on very different scales, or without any variation;
        - gradients: `relu_layers.gradcheck` on a few rows;
        - chance: with fresh weights the loss is near that of guessing, -ln(1/K) for K classes;
        - overfitting: fresh weights learn 20 rows by heart;
        - dead units: those that no row puts above their corner;
        - gradient sizes: whether they vanish or explode from layer to layer;
        - updates: near a thousandth of the weights.

    Raises
    ------
    TypeError, ValueError, IndexError
        Arguments of the wrong kind, no rows, shapes or labels that do not fit.

    Examples
    --------
    >>> import relu_layers as rl
    >>> x, y = rl.data.two_moons(100, rng=0)
    >>> report = rl.sanity_check(rl.mlp([2, 16, 2], rng=0), x, y)
    >>> bool(report)
    True
    >>> print(*(check.name for check in report.checks), sep=", ")
    numbers, inputs, gradients, chance, overfitting, dead units, gradient sizes, updates
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"{OWNER}: model is a {type(model).__name__}, expected a Sequential")
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise TypeError(f"{OWNER}: optimizer is {optimizer!r}, expected one such as SGD(0.1)")
    examined = ExaminedModel(model, x, y, loss, integer(OWNER, "seed", seed, minimum=0))
    found = [numbers.finite(examined), numbers.scales(examined)]
    rest = (
        numbers.differences,
        learning.chance,
        learning.overfitting,
        flow.dead_units,
        flow.gradient_sizes,
        lambda s: flow.updates(s, optimizer),
    )
    titles = ("gradients", "chance", "overfitting", "dead units", "gradient sizes", "updates")
    if found[0].verdict == "fail":
        found += [Check(title, "skipped", "needs finite numbers") for title in titles]
    else:
        found += [check(examined) for check in rest]
    return SanityReport(found, flow.sizes(examined))
