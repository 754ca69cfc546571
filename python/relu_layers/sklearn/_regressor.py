"""MLPRegressor."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import column_or_1d

from relu_layers.sklearn._base import BaseMLP, checked_data, is_stochastic
from relu_layers.sklearn._losses import REGRESSION, regression_loss
from relu_layers.sklearn._parameters import CONSTRAINTS
from relu_layers.sklearn._stochastic import EncodedExamples

Array = np.ndarray[Any, np.dtype[Any]]


class MLPRegressor(RegressorMixin, BaseMLP):
    """Multi-layer perceptron for numbers, as scikit-learn's, on this package's kernels.

    Takes the place of ``sklearn.neural_network.MLPRegressor``: the same parameters with the same meaning and
    defaults, and for a ``random_state`` the same initial weights and order of rows. The parameters from
    ``negative_slope`` on, and more losses, are added here.

    Parameters
    ----------
    loss : {'squared_error', 'poisson', 'absolute_error', 'huber'} or callable, default='squared_error'
        'squared_error' and 'poisson' are half of what the names say, as in scikit-learn; 'poisson' predicts
        ``exp(output)`` and needs targets of at least 0; 'huber' is quadratic up to 1.35. A callable is
        ``loss(y, target) -> (value, dy)`` on arrays of shape (batch, n_outputs), with a third argument
        ``sample_weight`` if weights are to be used.
    hidden_layer_sizes : int or array-like of int, default=(100,)
        Units of each hidden layer.
    activation : {'identity', 'logistic', 'tanh', 'relu'}, default='relu'
        Of the hidden layers.
    solver : {'lbfgs', 'sgd', 'adam'}, default='adam'
        How the weights are found.
    alpha : float, default=0.0001
        Strength of the L2 penalty ``alpha / 2 * sum(weight**2) / n_samples``, per minibatch, without biases.
    batch_size : int or 'auto', default='auto'
        Rows of a minibatch; 'auto' is ``min(200, n_samples)``.
    learning_rate : {'constant', 'invscaling', 'adaptive'}, default='constant'
        Of 'sgd': constant; ``learning_rate_init / (t + 1)**power_t`` for t rows seen; or a fifth of what it was
        whenever training stops getting better.
    learning_rate_init : float, default=0.001
        First learning rate.
    power_t : float, default=0.5
        Exponent of 'invscaling'.
    max_iter : int, default=200
        Most epochs, or iterations of 'lbfgs'.
    shuffle : bool, default=True
        Whether every epoch has a new order.
    random_state : int, RandomState instance or None, default=None
        Source of initial weights, orders, the split for early stopping and dropout masks.
    tol : float, default=1e-4
        What counts as an improvement.
    verbose : bool or int, default=False
        Whether to print every epoch.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the weights of the last ``fit``.
    momentum : float, default=0.9
        Of 'sgd'.
    nesterovs_momentum : bool, default=True
        Whether the momentum is Nesterov's.
    early_stopping : bool, default=False
        Whether to hold rows out, to end when their score stops getting better, and to keep the best weights.
    validation_fraction : float, default=0.1
        Share of the rows to hold out.
    beta_1, beta_2, epsilon : float, default=0.9, 0.999, 1e-8
        Of 'adam'.
    n_iter_no_change : int or inf, default=10
        Epochs without improvement that end the training.
    max_fun : int, default=15000
        Most evaluations of 'lbfgs'.
    negative_slope : float or array-like of float, default=0.0
        Slope of 'relu' below 0 (leaky ReLU): one for all hidden layers, or one for each.
    dropout : float or array-like of float, default=0.0
        Rate of dropout after the hidden layers: one for all, or one for each.
    restore_best_weights : bool, default=False
        Whether to end with the weights of the epoch with the lowest loss, that of the validation data if there is
        any.
    time_limit : float or None, default=None
        Seconds after which training ends with its epoch (or iteration) and a ConvergenceWarning.
    callbacks : callable, list or None, default=None
        See `relu_layers.callbacks`; for 'sgd' and 'adam'.
    progress : bool, default=False
        Whether to show a line of progress on stderr; for 'sgd' and 'adam'.

    Attributes
    ----------
    loss_ : float
        Of the last epoch, L2 term included; with several outputs the mean over them.
    loss_curve_ : list of float
    best_loss_ : float or None
    validation_scores_, validation_loss_curve_ : list of float or None
        R2 and loss (without L2 term) on the rows held out, or given as ``validation_data``.
    best_validation_score_ : float or None
    coefs_, intercepts_ : list of ndarray
        Views into the model: what is written to them is what predicts.
    model_ : relu_layers.Sequential
        The network up to its last linear layer; ``model_.save("net.npz")`` writes it.
    learning_rate_ : float
        Of the last epoch.
    n_features_in_, feature_names_in_, n_iter_, n_layers_, n_outputs_, out_activation_, t_
        As in scikit-learn.

    Examples
    --------
    >>> from relu_layers.sklearn import MLPRegressor
    >>> X = [[0.0], [1.0], [2.0], [3.0]]
    >>> MLPRegressor(solver="lbfgs", random_state=1).fit(X, [0.0, 2.0, 4.0, 6.0]).predict([[1.5]]).round(1)
    array([3.])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **CONSTRAINTS,
        "loss": [StrOptions(set(REGRESSION)), callable],
    }

    alias = "SklearnMLPRegressor"  # by which skl2onnx knows the options, as in MLPClassifier

    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        negative_slope: Any = 0.0,
        dropout: Any = 0.0,
        restore_best_weights: bool = False,
        time_limit: float | None = None,
        callbacks: Any = None,
        progress: bool = False,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.negative_slope = negative_slope
        self.dropout = dropout
        self.restore_best_weights = restore_best_weights
        self.time_limit = time_limit
        self.callbacks = callbacks
        self.progress = progress

    def predict(self, X: Any) -> Array:
        """Return the predictions, (n_samples,) for one output, else (n_samples, n_outputs)."""
        return self._decision(self._network_output(X))

    @available_if(is_stochastic)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train for one epoch on the rows given; the arguments are those of `fit`."""
        return self._fit(X, y, sample_weight, incremental=True)

    @property
    def _loss_share(self) -> float:
        """Part of the trainer's loss that is reported: scikit-learn's squared error is the mean over the outputs."""
        return 1.0 / self.n_outputs_ if self.loss == "squared_error" else 1.0

    def _checked_data(self, X: Any, y: Any, *, incremental: bool, reset: bool) -> tuple[Array, Array]:
        X, y = checked_data(self, X, y, reset=reset, y_numeric=True)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if self.loss == "poisson" and np.min(y) < 0:
            raise ValueError(f"loss='poisson' needs targets of at least 0, but y has {np.min(y)}")
        return X, y

    def _encoded(self, y: Array, dtype: np.dtype[Any]) -> Array:
        """Return one column per output."""
        return np.ascontiguousarray(y if y.ndim == 2 else y[:, None], dtype=dtype)

    def _outputs(self, target: Array) -> int:
        return int(target.shape[1])

    def _out_activation(self) -> str:
        return "exp" if self.loss == "poisson" else "identity"

    def _loss(self, weighted: bool) -> Any:
        return regression_loss(self.loss, self.n_outputs_)

    def _with_class_weight(
        self, y: Array, weight: Array | None, dtype: np.dtype[Any], incremental: bool
    ) -> Array | None:
        return weight

    def _strata(self, given: EncodedExamples) -> None:
        return None

    def _decision(self, z: Array) -> Array:
        if self.out_activation_ == "exp":
            with np.errstate(over="ignore"):
                np.exp(z, out=z)
        return z.ravel() if z.shape[1] == 1 else z

    def _scored(self, labels: Any, predicted: Array, weight: Array | None) -> float:
        if not np.isfinite(predicted).all():
            return float("nan")
        return float(r2_score(labels, predicted, sample_weight=weight))
