"""scikit-learn's MLP with the same loss, batches and update: no penalty, one pass over the data per call."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier, MLPRegressor

from relu_layers.bench import cases
from relu_layers.bench.cases import Case
from relu_layers.bench.data import CHECKED_CALLS, Array, Data, checked
from relu_layers.bench.opponents.base import Runner, as_numpy, blocks, timed


class ScikitLearn:
    """MLPClassifier and MLPRegressor; their BLAS was given the number of threads by the environment."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def versions(self) -> dict[str, str]:
        """Return the version."""
        return {"scikit-learn": sklearn.__version__}

    def prepare(self, case: Case, data: Data) -> Runner:
        """Return ``partial_fit`` on a minibatch, ``predict``, or ``partial_fit`` on all rows."""
        # Rows in any order give the same step, so shuffling inside one minibatch is left out.
        model = _model(case, data, shuffle=False)
        if case.section == "inference":
            # A regressor returns the outputs themselves; a classifier would add its softmax.
            return Runner(
                lambda: as_numpy(*(model.predict(*each) for each in checked(data.rotation))),
                blocks(model.predict, data.rotation),
            )
        rotation = [_examples(case, *each) for each in data.rotation]
        if case.section == "training":

            def step(x: Array, y: Array) -> float:
                model.partial_fit(x, y)
                loss: float = model.loss_
                return loss

            def outcome() -> list[Array]:
                losses = [step(*each) for each in checked(rotation)]
                return as_numpy(losses, _flat(model))

            return Runner(outcome, blocks(step, rotation))
        [(x, y)] = rotation

        def one_pass() -> list[Array]:
            rows = CHECKED_CALLS * case.batch
            model.partial_fit(x[:rows], y[:rows])
            return as_numpy(_flat(model))

        shuffled = _model(case, data, shuffle=True)

        def run(epochs: int) -> None:
            for _ in range(epochs):
                shuffled.partial_fit(x, y)

        return Runner(one_pass, timed(run), case.steps)


def _examples(case: Case, x: Array, y: Array) -> tuple[Array, Array]:
    return x, y.reshape(-1) if case.regression else y


def _model(case: Case, data: Data, *, shuffle: bool) -> Any:
    """Return the estimator with the given weights: one call initializes it, then they are put in."""
    make = MLPRegressor if case.regression or case.section == "inference" else MLPClassifier
    model: Any = make(
        hidden_layer_sizes=case.shape[1:-1],
        activation="relu",
        solver="adam" if case.optimizer == "adam" else "sgd",
        alpha=0.0,
        batch_size=case.batch,
        learning_rate="constant",
        learning_rate_init=cases.LEARNING_RATE,
        shuffle=shuffle,
        tol=0.0,
        momentum=cases.MOMENTUM if case.optimizer == "momentum" else 0.0,
        nesterovs_momentum=False,
        beta_1=cases.BETA1,
        beta_2=cases.BETA2,
        # It stands before the bias correction there; so the first updates, which are compared, are the same.
        epsilon=cases.EPSILON * (1 - cases.BETA2) ** 0.5,
        n_iter_no_change=1 << 30,
    )
    x = np.zeros((case.batch, case.shape[0]), case.dtype)
    if isinstance(model, MLPClassifier):
        model.partial_fit(x, np.zeros(case.batch, np.int64), classes=np.arange(case.shape[-1]))
    else:
        y = np.zeros((case.batch, case.shape[-1]), case.dtype)
        model.partial_fit(x, y.reshape(-1) if case.regression else y)
    for index, (weight, bias) in enumerate(data.weights):
        model.coefs_[index][...] = weight
        model.intercepts_[index][...] = bias
    # The next call makes a new optimizer, with no memory of that first one.
    del model._optimizer
    return model


def _flat(model: Any) -> Array:
    layers = zip(model.coefs_, model.intercepts_, strict=True)
    return np.concatenate([array.reshape(-1) for layer in layers for array in layer])
