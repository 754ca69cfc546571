"""Gradients against differences of the loss: `gradcheck`, which knows kinks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from relu_layers._support.arguments import integer
from relu_layers.gradient_check.differences import AMPLIFIED, Probe
from relu_layers.gradient_check.entries import ArrayResult, Entry, Kink, shown
from relu_layers.gradient_check.frozen_loss import OWNER, FrozenLoss
from relu_layers.gradient_check.function_probe import FunctionProbe
from relu_layers.gradient_check.functions import FrozenFunction, is_function
from relu_layers.gradient_check.hints import hints
from relu_layers.gradient_check.report import GradcheckReport

__all__ = [
    "ArrayResult",
    "Entry",
    "GradcheckReport",
    "Kink",
    "gradcheck",
]

_EPS = float(np.finfo(np.float64).eps)


def gradcheck(
    model: Any,
    x: Any,
    y: Any = None,
    loss: Any = None,
    *,
    sample_weight: Any = None,
    max_entries: int | None = 1000,
    seed: int = 0,
) -> GradcheckReport:
    """Compare every gradient of a model with differences of its loss, in float64, on a copy.

    For each parameter and each input, the loss is computed at four points around the present value,
    ``(L(-2h) - 8 L(-h) + 8 L(h) - L(2h)) / 12h``. Random masks (Dropout) are held still.

    Parameters
    ----------
    model : Sequential, layer or function
        Stays as it is: values, gradients, masks and generators. A function is bare NumPy code,
        ``function(params) -> (loss, grads)``, both mappings of the same names to arrays; its data are its own.
    x : array_like (batch, ...), or the function's params
        A few rows do; converted to float64.
    y : array_like or None
        What the loss compares with. None (only without ``loss``) stands for fixed random numbers.
    loss : loss, callable or None
        One of `relu_layers.losses`, or ``loss(y, target) -> (value, dy)``. None is
        `relu_layers.losses.default_loss`.
    sample_weight : array_like (batch,), keyword
    max_entries : int or None, keyword
        With more entries than this, a sample: as many of every array, small arrays whole. None checks all.
        Each takes four runs of the layers behind it.
    seed : int, keyword
        Of that sample.

    Returns
    -------
    GradcheckReport
        True if no entry is wrong; ``print`` it, or see ``entries``, ``verdict(name, index)``, ``to_dict()``.

    Raises
    ------
    ValueError
        The loss is not finite, there are no rows, shapes do not fit, or a layer gives another result each time.
    TypeError
        Arguments of the wrong kind, or a layer that cannot be copied.
    IndexError
        A label is outside its range.

    Notes
    -----
    ``ok``: the error is below 1e-8 of the largest entry of the array, or below the rounding noise
    ``c * eps * |loss| / h``, which is printed; c is measured by changing all numbers in their last digit (and so
    is what backward itself loses by rounding, which is added).
    ``kink``: however small the step, some unit of a ReLU, PReLU, ELU, SELU, Clip or Threshold changes sides between the
    points (so its input is practically 0), and with all units held on their sides the gradient is right. A
    layer of the user's own counts as turning a corner where its output does and its input does not; the slope that
    its backward takes there must lie between those of both sides, and with each such output held to it the
    gradient is right, however many units are at their corners together.
    ``wrong``: everything else.

    Of a function the arrays that it compares with 0 are watched (``h < 0``, ``np.maximum(h, 0)``): so its kinks are
    known as well, and ``notes`` say where ``h < 0`` and ``h <= 0`` differ, and which gradients that changes.
    Of a function that takes plain arrays only nothing can be watched: where several units are at 0 together, ``kink``
    then means that its gradients are right at points near by, and that the one here lies among them or not far beyond.

    Examples
    --------
    >>> import relu_layers as rl
    >>> x, y = rl.data.two_moons(8, rng=0)
    >>> report = rl.gradcheck(rl.mlp([2, 4, 2], rng=0), x, y, rl.SoftmaxCrossEntropy())
    >>> bool(report)
    True
    >>> report.verdict("0.weight", (0, 1))
    'ok'
    """
    limit = None if max_entries is None else integer(OWNER, "max_entries", max_entries, minimum=1)
    seed = integer(OWNER, "seed", seed, minimum=0)
    function = is_function(model)
    probe: type[Probe] = FunctionProbe if function else Probe
    held: Any = (FrozenFunction if function else FrozenLoss)(model, x, y, loss, sample_weight)
    gradients = held.gradients
    largest = {name: _largest(gradient) for name, gradient in gradients.items()}
    unit = _EPS * abs(held.value)  # 0 where the loss is, or is nearly
    entries = []
    for name, places in _chosen({name: g.size for name, g in gradients.items()}, limit, seed).items():
        gradient = gradients[name]
        for place in places:
            index = tuple(int(i) for i in np.unravel_index(place, gradient.shape))
            entries.append(probe(held, name, index, float(gradient[index]), largest[name]).entry())
    return GradcheckReport(
        entries,
        {name: gradient.shape for name, gradient in gradients.items()},
        largest,
        loss=held.value,
        loss_name=shown(held.loss),
        noise=AMPLIFIED * held.noise / unit if unit else 0.0,
        seed=seed,
        hints=hints(entries, gradients, len(held.x)),
        notes=held.notes,
    )


def _largest(gradient: Any) -> float:
    finite = np.abs(gradient[np.isfinite(gradient)])
    return float(finite.max(initial=0.0))


def _chosen(sizes: dict[str, int], limit: int | None, seed: int) -> dict[str, Sequence[int]]:
    """Return which entries of each array are checked: all, or an equal share of every array."""
    room = sum(sizes.values()) if limit is None else min(limit, sum(sizes.values()))
    rng = np.random.default_rng(seed)
    counts: dict[str, int] = {}
    # The smallest first, so that their unused share is left for the others.
    for left, name in zip(range(len(sizes), 0, -1), sorted(sizes, key=lambda n: sizes[n]), strict=True):
        counts[name] = min(sizes[name], max(room // left, 1 if room else 0))
        room -= counts[name]
    return {
        name: np.sort(rng.choice(size, counts[name], replace=False)).tolist() for name, size in sizes.items()
    }
