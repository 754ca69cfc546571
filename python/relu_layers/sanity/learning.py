"""Checks of learning: the loss starts at chance, and a handful of rows can be learned by heart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from relu_layers.optimizers import Adam
from relu_layers.sanity.examined_model import ExaminedModel
from relu_layers.sanity.report import Check
from relu_layers.trainer import DivergenceError, Trainer

_ROWS, _STEPS, _LOOK_EVERY = 20, 600, 20
_RATES = (1e-2, 1e-3, 1e-1)
# A fresh network's logits have a variance near 2, which costs about 1 beside ln K; squares add that of y.
_ABOVE_CHANCE, _ABOVE_CHANCE_SQUARED, _BELOW_CHANCE = 2.0, 5.0, 0.5
# Regression has learned its rows when this part of their variance is left.
_LEFT = 0.01


def chance(examined: ExaminedModel) -> Check:
    """Compare the loss of fresh weights with that of an answer that ignores x."""
    guess = _guess(examined, examined.inputs[-1], examined.y)
    if guess is None:
        return Check("chance", "skipped", "what chance is for a loss of your own cannot be known")
    level, words = guess
    model = examined.fresh()
    outputs = np.array(model._passes.forward(examined.x, examined.depth), order="C")
    fresh = examined.loss_of(outputs, examined.y)
    finding = f"loss {fresh:.4g} with fresh weights, {words}; {examined.value:.4g} with the present ones"
    values = {"fresh": fresh, "chance": level, "present": examined.value}
    above = _ABOVE_CHANCE_SQUARED if isinstance(examined.loss, SquaredError) else _ABOVE_CHANCE
    if not fresh <= above * level:
        advice = (
            "the outputs are too large before anything is learned: standardise inputs and target, or start the "
            "last layer smaller (weight_init)"
        )
        return Check("chance", "warn", finding, advice, values)
    if fresh < _BELOW_CHANCE * level:
        advice = "nothing has been learned, yet it is better than guessing: are the labels all of one class?"
        return Check("chance", "warn", finding, advice, values)
    return Check("chance", "ok", finding, "", values)


def _guess(examined: ExaminedModel, outputs: Array, y: Array) -> tuple[float, str] | None:
    """Return the loss of the best answer that knows nothing, and its name in words."""
    loss = examined.loss
    if isinstance(loss, (SoftmaxCrossEntropy, SigmoidCrossEntropy)):
        level = examined.loss_of(np.zeros_like(outputs), y)
        classes = outputs.shape[loss.axis] if isinstance(loss, SoftmaxCrossEntropy) else 2
        exact = math.isclose(level, math.log(classes), rel_tol=1e-5)
        return level, f"chance is {'-ln(1/' + str(classes) + ') = ' if exact else ''}{level:.4g}"
    if isinstance(loss, SquaredError):
        mean = np.broadcast_to(y.mean(axis=0, keepdims=True), y.shape)
        level = examined.loss_of(np.array(mean, dtype=outputs.dtype), y)
        return level, f"always answering the mean gives {level:.4g}"
    return None


def overfitting(examined: ExaminedModel) -> Check:
    """Train fresh weights on at most 20 rows until they are known by heart."""
    rng = np.random.default_rng(examined.seed)
    count = min(_ROWS, len(examined.x))
    rows = np.sort(rng.choice(len(examined.x), count, replace=False))
    x, y = examined.x[rows], examined.y[rows]
    best: dict[str, Any] = {"loss": math.inf}
    for rate in _RATES:
        trainer = Trainer(examined.fresh(), examined.loss, Adam(rate))
        for step in range(_STEPS + 1):
            if step % _LOOK_EVERY == 0:
                result = trainer.evaluate(x, y)
                if result["loss"] < best["loss"]:
                    best = {**result, "steps": step, "rate": rate}
                if _learned(examined, result, x, y):
                    return Check(
                        "overfitting",
                        "ok",
                        f"{count} rows learned in {step} steps of Adam({rate:g}): {_scores(result)}",
                        "",
                        {**result, "rows": count, "steps": step, "rate": rate},
                    )
            try:
                trainer.step(x, y)
            except DivergenceError:
                break
    advice = (
        "rows with equal inputs have different targets, so no network can learn them"
        if _contradictory(x, y)
        else "too few units, units that are all dead, a target that does not belong to its row, or a wrong gradient"
    )
    finding = f"{count} rows are not learned in {_STEPS} steps of Adam at any rate; best: {_scores(best)}"
    return Check("overfitting", "fail", finding, advice, {**best, "rows": count})


def _learned(examined: ExaminedModel, result: dict[str, float], x: Array, y: Array) -> bool:
    if "accuracy" in result:
        return result["accuracy"] == 1.0
    guess = _guess(examined, y, y) if isinstance(examined.loss, Loss) else None
    level = examined.value if guess is None else guess[0]
    return result["loss"] <= _LEFT * level


def _scores(result: dict[str, Any]) -> str:
    accuracy = f", accuracy {result['accuracy']:.0%}" if "accuracy" in result else ""
    return f"loss {result['loss']:.3g}{accuracy}"


def _contradictory(x: Array, y: Array) -> bool:
    """Return whether equal rows of x have different targets."""
    flat = x.reshape(len(x), -1)
    targets = y.reshape(len(y), -1)
    _, group = np.unique(flat, axis=0, return_inverse=True)
    group = group.reshape(-1)
    first = {int(g): targets[i] for i, g in reversed(list(enumerate(group)))}
    return any(not np.array_equal(targets[i], first[int(g)]) for i, g in enumerate(group))
