"""Backpropagation step by step, with the numbers of one's own network: `explain`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from relu_layers._support.arguments import integer
from relu_layers._training.examples import examples
from relu_layers.explanation.blocks import Step
from relu_layers.explanation.explanation import Explanation
from relu_layers.explanation.names import named
from relu_layers.explanation.own import as_model
from relu_layers.explanation.path import mixed_row, path_through
from relu_layers.explanation.programs import after_a_run, short_programs
from relu_layers.explanation.record import record
from relu_layers.explanation.trace import Check, Trace
from relu_layers.explanation.training import play
from relu_layers.explanation.variants import mistakes, variants
from relu_layers.explanation.verdicts import Place, checks, followed_entries
from relu_layers.losses import default_loss
from relu_layers.optimizers import SGD, Optimizer

__all__ = ["Explanation", "Step", "Trace", "explain"]

_OWNER = "explain"


def explain(
    model: Any,
    x: Any,
    y: Any,
    loss: Any = None,
    optimizer: Optimizer | None = None,
    *,
    sample: int | None = 0,
    unit: int | None = None,
    sample_weight: Any = None,
    gradcheck: bool = True,
    max_entries: int = 400,
    train: int = 0,
    seed: int | None = None,
    title: str = "",
    feature_names: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    lang: str | None = None,
) -> Explanation:
    """Explain one training step: forward, loss, backward and update, with the numbers of this very network.

    Parameters
    ----------
    model : Sequential, layer, or sequence of layers
        Stays as it is: the step runs on a copy, by the same kernels, and to the same bits as `Trainer.step`.
        Layers may be of one's own, with the layer protocol (``forward(x, training=False)``, ``backward(dy)``,
        ``params``, ``grads``): one that multiplies by a matrix, or works element by element, is written out like
        the built-in ones; of any other the arrays are shown. Without a Sequential around them they run in float64.
    x, y : array_like
        One minibatch; converted to the model's dtype where it differs, as in `Trainer.fit`.
    loss : loss or callable, optional
        None is `relu_layers.losses.default_loss`.
    optimizer : Optimizer, optional
        None is ``SGD(0.1)``; pass ``trainer.optimizer`` to see the next step of a training under way.
    sample, unit : int or None, keyword
        The row of x, and the unit of the first hidden layer, that are followed in detail. None is the first
        row in which some units pass the gradient and some stop it, and the unit that passes most of it.
    sample_weight : array_like (batch,), keyword
    gradcheck : bool, keyword
        Whether gradients are put beside finite differences, in float64, for at most ``max_entries`` of them.
    train : int, keyword
        Steps of a training to record for the page's player: decision surface, fold lines, loss. Only for
        networks of two inputs; 0 records none.
    seed : int, keyword
        Of the initial values; only reported.
    title : str, keyword
    feature_names, class_names : sequence of str, keyword
        Names of the inputs and of the classes. None takes those of ``model.preprocessing``, if there is one.
    lang : {"en", "ja"} or None, keyword
        Of ``str()`` and the notebook; the other renderers take their own. None is the language of the
        environment's locale (``LANG=ja_JP.UTF-8``), else English.

    Returns
    -------
    Explanation
        ``print`` it; see also ``to_markdown()``, ``save_html(path)``, ``to_dict()``.

    Raises
    ------
    ValueError, TypeError
        An argument does not fit, as in `Trainer.fit`; ``train`` without two inputs.
    IndexError
        There is no such sample or unit, or a label is outside the classes.

    Examples
    --------
    >>> import relu_layers as rl
    >>> x, y = rl.data.two_moons(4, rng=0)
    >>> explanation = rl.explain(rl.mlp([2, 3, 2], rng=0), x, y, lang="en")
    >>> explanation
    <Explanation of Dense(2, 3), ReLU(), Dense(3, 2) with SoftmaxCrossEntropy(): row 0, unit 2>
    >>> text = str(explanation)  # or print(explanation)
    """
    model = as_model(_OWNER, model)
    train = integer(_OWNER, "train", train, minimum=0)
    if loss is None:
        loss = default_loss(model, y)
    if optimizer is None:
        optimizer = SGD(0.1)
    given = examples(_OWNER, x, y, sample_weight, dtype=model.dtype, loss=loss)
    if sample is not None and not 0 <= integer(_OWNER, "sample", sample) < len(given.x):
        raise IndexError(f"{_OWNER}: sample is {sample}, but x has {len(given.x)} rows")
    if train and given.x.shape[1:] != (2,):
        raise ValueError(f"{_OWNER}: train draws networks of two inputs, but x has shape {given.x.shape}")
    trace = named(
        record(model, loss, optimizer, given, seed=seed, title=title),
        model.preprocessing,
        feature_names,
        class_names,
    )
    row = mixed_row(trace) if sample is None else sample
    found = Explanation(trace, sample=row, unit=unit, lang=lang)
    verdicts: dict[Place, Check] = {}
    part = 0.0
    if gradcheck:
        wanted = followed_entries(trace, path_through(trace, row, found.unit))
        verdicts, part = checks(model, loss, given, wanted, max_entries)
    found.trace = replace(
        trace,
        checks=verdicts,
        checked=part,
        variants=variants(model, loss, optimizer, given),
        mistakes=mistakes(model, loss, optimizer, given, trace.loss.output),
        programs=[
            after_a_run(one, trace) if one.package == "numpy" else one for one in short_programs(trace)
        ],
        training=play(model, loss, optimizer, given, train) if train else None,
    )
    return found
