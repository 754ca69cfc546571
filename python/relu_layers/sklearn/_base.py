"""The common part of classifier and regressor: from ``fit`` to the solver, from ``predict`` to the network."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from relu_layers.model import Sequential
from relu_layers.sklearn import _lbfgs, _network, _stochastic
from relu_layers.sklearn._parameters import CONSTRAINTS, STOCHASTIC, check_parameters
from relu_layers.sklearn._stochastic import EncodedExamples

Array = np.ndarray[Any, np.dtype[Any]]


def is_stochastic(estimator: Any) -> bool:
    """Return True for the solvers that can learn piece by piece; the error names those that cannot."""
    if estimator.solver not in STOCHASTIC:
        raise AttributeError(
            f"partial_fit is only available for stochastic optimizers. {estimator.solver} is not stochastic."
        )
    return True


class BaseMLP(BaseEstimator):
    """A network that follows scikit-learn's protocol; subclasses know their targets.

    Attributes
    ----------
    model_ : relu_layers.Sequential
        The network up to its last linear layer.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = CONSTRAINTS
    model_: Sequential

    @property
    def coefs_(self) -> list[Array]:
        """Weights of each layer, (fan_in, fan_out), views into the model."""
        return self._parameters("coefs", _network.coefs)

    @coefs_.setter
    def coefs_(self, values: Any) -> None:
        self._set_parameters("coefs", _network.coefs, values)

    @property
    def intercepts_(self) -> list[Array]:
        """Biases of each layer, (fan_out,), views into the model."""
        return self._parameters("intercepts", _network.intercepts)

    @intercepts_.setter
    def intercepts_(self, values: Any) -> None:
        self._set_parameters("intercepts", _network.intercepts, values)

    @property
    def _optimizer(self) -> SimpleNamespace:
        """The learning rate, at the place where code written for scikit-learn looks it up."""
        return SimpleNamespace(learning_rate=self.learning_rate_)

    def _parameters(self, name: str, views: Any) -> list[Array]:
        if "model_" in vars(self):
            found: list[Array] = views(self.model_)
            return found
        if f"_given_{name}" in vars(self):
            given: list[Array] = vars(self)[f"_given_{name}"]
            return given
        raise AttributeError(f"{type(self).__name__} has no {name}_ before fit")

    def _set_parameters(self, name: str, views: Any, values: Any) -> None:
        """Copy into the model; before there is one, keep the values for its start."""
        if "model_" in vars(self):
            _network.set_all(f"{name}_", views(self.model_), values)
        else:
            self.__dict__[f"_given_{name}"] = values

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, validation_data: Any = None) -> Any:
        """Fit the network to the rows of ``X`` and their targets.

        Parameters
        ----------
        X : array-like, frame or sparse matrix of shape (n_samples, n_features)
            float32 is trained in float32, everything else in float64. A sparse matrix becomes a dense array.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows.
        validation_data : (X, y) or (X, y, sample_weight), optional
            Rows to score after every epoch of 'sgd' or 'adam', with their own `validation_loss_curve_`; with
            ``early_stopping`` they take the place of a part of X.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._fit(X, y, sample_weight, validation_data, incremental=False)

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation_data: Any = None, *, incremental: bool
    ) -> Any:
        check_parameters(self)
        first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        X, y = self._checked_data(X, y, incremental=incremental, reset=first)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X, dtype=X.dtype)
        weight = self._with_class_weight(y, weight, X.dtype, incremental)
        target = self._encoded(y, X.dtype)
        self._random_state = check_random_state(self.random_state)
        if first or "model_" not in vars(self):
            self._begin(X, target, first)
        train, validation = self._split(EncodedExamples(X, target, weight, y), validation_data, incremental)
        loss = self._loss(train.sample_weight is not None)
        if self.solver == "lbfgs":
            _lbfgs.fit(self, loss, train)
        else:
            if not incremental or not hasattr(self, "_trainer"):
                self._trainer = _stochastic.new_trainer(self, loss)
                self.learning_rate_ = float(self.learning_rate_init)
            else:
                # The optimizer goes on; what scikit-learn reads again in every call is read again.
                if repr(self._trainer.loss) != repr(loss):
                    self._trainer.loss = loss
                if self._trainer.l2_penalty != self.alpha:
                    self._trainer.l2_penalty = float(self.alpha)
            if incremental and self.early_stopping:
                raise ValueError("partial_fit does not support early_stopping=True")
            _stochastic.fit(self, self._trainer, train, validation, incremental)
        if not np.isfinite(self.model_.flat_params).all():
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need "
                "to be preprocessed."
            )
        return self

    def _begin(self, X: Array, target: Array, first: bool) -> None:
        """Make the network, and forget the attributes of an earlier fit."""
        outputs = self._outputs(target)
        given = [self.__dict__.pop(f"_given_{name}", None) for name in ("coefs", "intercepts")]
        self.__dict__.pop("model_", None)
        model = _network.build(self, X.shape[1], outputs, X.dtype)
        if not first and None not in given:
            _network.set_all("coefs_", _network.coefs(model), given[0])
            _network.set_all("intercepts_", _network.intercepts(model), given[1])
        self.model_ = model
        self.n_outputs_ = outputs
        self.n_layers_ = 1 + len(_network.coefs(model))
        self.out_activation_ = self._out_activation()
        self.n_iter_, self.t_ = 0, 0
        if self.solver in STOCHASTIC:
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            self.best_loss_ = None if self.early_stopping else np.inf
            self.best_validation_score_ = -np.inf if self.early_stopping else None
        # Attributes that an earlier fit may have left.
        self.__dict__.pop("_trainer", None)
        self.validation_scores_: list[float] | None = None
        self.validation_loss_curve_: list[float] | None = None

    def _split(
        self, given: EncodedExamples, validation_data: Any, incremental: bool
    ) -> tuple[EncodedExamples, EncodedExamples | None]:
        """Return the rows to learn from, and those to score."""
        validation = None
        if validation_data is not None and self.solver not in STOCHASTIC:
            raise ValueError(
                f"{type(self).__name__}.fit: validation_data is scored after every epoch of 'sgd' and 'adam', but "
                f"solver is {self.solver!r}"
            )
        if validation_data is not None:
            validation = self._validation(validation_data, given.x.dtype)
        elif self.early_stopping and self.solver in STOCHASTIC and not incremental:
            given, validation = self._held_out(given)
        if validation is not None and self.validation_scores_ is None:
            self.validation_scores_, self.validation_loss_curve_ = [], []
        return given, validation

    def _held_out(self, given: EncodedExamples) -> tuple[EncodedExamples, EncodedExamples]:
        arrays = [given.x, given.y, given.labels]
        if given.sample_weight is not None:
            arrays.append(given.sample_weight)
        parts = train_test_split(
            *arrays,
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=self._strata(given),
        )
        if parts[1].shape[0] < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        weights = (None, None) if given.sample_weight is None else (parts[6], parts[7])
        return (
            EncodedExamples(np.ascontiguousarray(parts[0]), parts[2], weights[0], parts[4]),
            EncodedExamples(np.ascontiguousarray(parts[1]), parts[3], weights[1], parts[5]),
        )

    def _validation(self, data: Any, dtype: np.dtype[Any]) -> EncodedExamples:
        if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
            raise TypeError(
                f"{type(self).__name__}.fit: validation_data must be a tuple (X, y) or (X, y, sample_weight)"
            )
        X, y = self._checked_data(data[0], data[1], incremental=True, reset=False)
        weight = None if len(data) == 2 else _check_sample_weight(data[2], X, dtype=dtype)
        return EncodedExamples(X.astype(dtype, copy=False), self._encoded(y, dtype), weight, y)

    def _score(self, held_out: EncodedExamples) -> float:
        """Return the score of rows that were checked before; NaN where an output is no number."""
        z = self.model_(held_out.x)
        if not np.isfinite(z).all():
            return float("nan")
        return float(self._scored(held_out.labels, self._decision(z), held_out.sample_weight))

    def _network_output(self, X: Any) -> Array:
        """Return the output of the last linear layer for the rows of ``X``."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False, dtype=(np.float64, np.float32))
        return self.model_(_dense(X).astype(self.model_.dtype, copy=False))

    def onnx_shape_calculator(self) -> Any:
        """Return what sets the types of the outputs: the converter skl2onnx asks for it."""
        from relu_layers.sklearn._onnx import shapes  # which imports skl2onnx

        return shapes

    def onnx_converter(self) -> Any:
        """Return what adds the nodes of the fitted network: the converter skl2onnx asks for it."""
        from relu_layers.sklearn._onnx import convert  # which imports skl2onnx

        return convert

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: sparse input is taken."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _dense(X: Any) -> Array:
    """Return a contiguous array; sparse matrices are filled up."""
    return np.ascontiguousarray(X.toarray() if hasattr(X, "toarray") else X)


def checked_data(estimator: Any, X: Any, y: Any, **options: Any) -> tuple[Array, Any]:
    """Return rows and targets as scikit-learn checks them, the rows dense and contiguous."""
    X, y = validate_data(
        estimator,
        X,
        y,
        accept_sparse=["csr", "csc"],
        multi_output=True,
        dtype=(np.float64, np.float32),
        **options,
    )
    return _dense(X), y
