"""Solvers 'sgd' and 'adam': one `Trainer.fit`, and scikit-learn's rules on when it ends, as a callback."""

from __future__ import annotations

import time
import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from relu_layers.callbacks import Callback
from relu_layers.optimizers import SGD, Adam
from relu_layers.trainer import DivergenceError, Trainer

Array = np.ndarray[Any, np.dtype[Any]]

# Frames from the end of an epoch up to the one that called the estimator's fit.
_TO_THE_CALLER = 7


class EncodedExamples(NamedTuple):
    """Rows as the network takes them; ``labels`` is the target as scikit-learn's scores take it."""

    x: Array
    y: Array
    sample_weight: Array | None
    labels: Any


class Rate:
    """A learning rate that the policies change between epochs."""

    def __init__(self, value: float) -> None:
        self.value = float(value)

    def __call__(self, updates: int) -> float:
        """Return the rate."""
        return self.value


def new_trainer(estimator: Any, loss: Any) -> Trainer:
    """Return a trainer of the estimator's model; its optimizer starts without memory."""
    initial = estimator.learning_rate_init
    if estimator.solver == "adam":
        # scikit-learn adds epsilon before the bias correction.
        optimizer: Any = Adam(
            initial, estimator.beta_1, estimator.beta_2, estimator.epsilon, epsilon_hat=True
        )
    else:
        rate = initial if estimator.learning_rate == "constant" else Rate(initial)
        optimizer = SGD(rate, estimator.momentum, bool(estimator.nesterovs_momentum))
    return Trainer(estimator.model_, loss, optimizer, l2_penalty=estimator.alpha)


class Watch(Callback):
    """After every epoch: the curves, the scores, the best weights, the learning rate, and whether it is time to end."""

    def __init__(
        self,
        estimator: Any,
        trainer: Trainer,
        rows: int,
        validation: EncodedExamples | None,
        incremental: bool,
    ) -> None:
        self._estimator, self._rows, self._validation = estimator, rows, validation
        self._incremental = incremental
        schedule = trainer.optimizer.learning_rate
        self._rate = schedule if isinstance(schedule, Rate) else None
        self._end = None if estimator.time_limit is None else time.monotonic() + estimator.time_limit
        self._best: tuple[float, Array] | None = None

    def epoch_loss(self, record: dict[str, Any]) -> float:
        """Return the mean loss of the epoch's rows, as the trainer found it."""
        return float(record["loss"])

    def on_epoch_end(self, trainer: Any, record: dict[str, Any]) -> None:
        """Apply scikit-learn's rules after an epoch."""
        estimator = self._estimator
        share = estimator._loss_share
        estimator.n_iter_ += 1
        estimator.loss_ = self.epoch_loss(record) * share + float(record.get("penalty", 0.0))
        estimator.t_ += self._rows
        estimator.loss_curve_.append(estimator.loss_)
        if estimator.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {estimator.loss_:.8f}")
        validation_loss = None
        if self._validation is not None:
            validation_loss = float(record["validation_loss"]) * share
            estimator.validation_loss_curve_.append(validation_loss)
            score = estimator._score(self._validation)
            estimator.validation_scores_.append(score)
            if estimator.verbose:
                print(f"Validation score: {score:f}")
        self._keep_best(trainer, estimator.loss_ if validation_loss is None else validation_loss)
        self._count(trainer)
        if self._rate is not None and estimator.learning_rate == "invscaling":
            self._rate.value = float(estimator.learning_rate_init) / (estimator.t_ + 1) ** estimator.power_t
        if self._rate is not None:
            estimator.learning_rate_ = self._rate.value
        if self._incremental:
            return
        if estimator._no_improvement_count > estimator.n_iter_no_change:
            if self._converged():
                trainer.stop()
                return
            estimator._no_improvement_count = 0
        if estimator.n_iter_ == estimator.max_iter:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({estimator.max_iter}) reached and the optimization "
                "hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=_TO_THE_CALLER,
            )
        elif self._end is not None and time.monotonic() >= self._end:
            warnings.warn(
                f"Stochastic Optimizer: time_limit of {estimator.time_limit:g} s reached after "
                f"{estimator.n_iter_} iterations.",
                ConvergenceWarning,
                stacklevel=_TO_THE_CALLER,
            )
            trainer.stop()

    def restore_best(self) -> None:
        """Give the model the weights of its best epoch, if there was one."""
        if self._best is not None:
            np.copyto(self._estimator.model_.flat_params, self._best[1])

    def _keep_best(self, trainer: Any, loss: float) -> None:
        """With early stopping the best epoch has the highest score, else the lowest loss."""
        estimator = self._estimator
        if estimator.early_stopping:
            value = -estimator.validation_scores_[-1]
        elif estimator.restore_best_weights:
            value = loss
        else:
            return
        if value == value and (self._best is None or value < self._best[0]):
            self._best = value, trainer.model.flat_params.copy()

    def _count(self, trainer: Any) -> None:
        """Count the epochs without improvement by ``tol``, of the score with early stopping, else of the loss."""
        estimator = self._estimator
        if estimator.early_stopping:
            score = estimator.validation_scores_[-1]
            worse = score < estimator.best_validation_score_ + estimator.tol
            estimator.best_validation_score_ = max(score, estimator.best_validation_score_)
        else:
            worse = estimator.loss_ > estimator.best_loss_ - estimator.tol
            estimator.best_loss_ = min(estimator.loss_, estimator.best_loss_)
        estimator._no_improvement_count = estimator._no_improvement_count + 1 if worse else 0

    def _converged(self) -> bool:
        """Return whether to end; with learning_rate='adaptive' the rate falls first."""
        estimator = self._estimator
        measured = "Validation score" if estimator.early_stopping else "Training loss"
        line = (
            f"{measured} did not improve more than tol={estimator.tol:f} for {estimator.n_iter_no_change} "
            "consecutive epochs."
        )
        adaptive = self._rate is not None and estimator.learning_rate == "adaptive"
        if adaptive and self._rate is not None and self._rate.value > 1e-6:
            self._rate.value /= 5.0
            estimator.learning_rate_ = self._rate.value
            if estimator.verbose:
                print(f"{line} Setting learning rate to {self._rate.value:f}")
            return False
        if estimator.verbose:
            print(f"{line} {'Learning rate too small. ' if adaptive else ''}Stopping.")
        return True


class WeightedWatch(Watch):
    """Counts every batch by its rows, as scikit-learn does, where the trainer would count the sum of its weights."""

    def __init__(self, *arguments: Any, batch_size: int) -> None:
        super().__init__(*arguments)
        self._batch_size = batch_size
        self._done, self._sum = 0, 0.0

    def on_step_end(self, trainer: Any, step: int, loss: float) -> None:
        """Add a batch."""
        rows = min(self._batch_size, self._rows - self._done)
        self._done += rows
        self._sum += loss * rows

    def epoch_loss(self, record: dict[str, Any]) -> float:
        """Return the mean of the batches, and start the next epoch."""
        mean = self._sum / self._rows
        self._done, self._sum = 0, 0.0
        return mean


def fit(
    estimator: Any,
    trainer: Trainer,
    train: EncodedExamples,
    validation: EncodedExamples | None,
    incremental: bool,
) -> None:
    """Train for ``max_iter`` epochs or until the rules say stop; one epoch if ``incremental``."""
    rows = len(train.x)
    batch_size = _batch_size(estimator, rows)
    arguments = (estimator, trainer, rows, validation, incremental)
    weighted = train.sample_weight is not None
    watch = WeightedWatch(*arguments, batch_size=batch_size) if weighted else Watch(*arguments)
    callbacks = estimator.callbacks
    if callable(callbacks):
        callbacks = [callbacks]
    estimator.n_iter_ = 0
    try:
        trainer.fit(
            train.x,
            train.y,
            sample_weight=train.sample_weight,
            epochs=1 if incremental else estimator.max_iter,
            batch_size=batch_size,
            shuffle=_Order(rows, estimator._random_state) if estimator.shuffle else False,
            validation=None if validation is None else _given(validation),
            progress=bool(estimator.progress),
            callbacks=[watch, *(callbacks or ())],
        )
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=4)
    except DivergenceError as error:
        if not estimator.early_stopping:
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need "
                f"to be preprocessed. ({error})"
            ) from error
        estimator.validation_scores_.append(float("nan"))
        estimator.n_iter_ += 1
    watch.restore_best()


def _given(examples: EncodedExamples) -> tuple[Array, ...]:
    weight = examples.sample_weight
    return (examples.x, examples.y) if weight is None else (examples.x, examples.y, weight)


class _Order:
    """The order of each epoch: that of the last one shuffled again, with the draws of ``sklearn.utils.shuffle``."""

    def __init__(self, rows: int, random: np.random.RandomState) -> None:
        self._indices: Array = np.arange(rows)
        self._random = random

    def __call__(self, rows: int) -> Array:
        """Return the next order."""
        shuffled = np.arange(rows)
        self._random.shuffle(shuffled)
        self._indices = self._indices[shuffled]
        return self._indices


def _batch_size(estimator: Any, rows: int) -> int:
    if isinstance(estimator.batch_size, str):
        return min(200, rows)
    if estimator.batch_size > rows:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=5
        )
    return int(np.clip(estimator.batch_size, 1, rows))
