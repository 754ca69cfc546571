"""MLPClassifier."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target

from relu_layers import ops
from relu_layers.sklearn._base import BaseMLP, is_stochastic
from relu_layers.sklearn._class_targets import ClassTargets
from relu_layers.sklearn._losses import logistic_loss, softmax_loss
from relu_layers.sklearn._parameters import CONSTRAINTS
from relu_layers.sklearn._stochastic import EncodedExamples

Array = np.ndarray[Any, np.dtype[Any]]


class MLPClassifier(ClassifierMixin, ClassTargets, BaseMLP):
    """Multi-layer perceptron for classes, as scikit-learn's, on this package's kernels.

    Takes the place of ``sklearn.neural_network.MLPClassifier``: the same parameters with the same meaning and
    defaults, and for a ``random_state`` the same initial weights and order of rows. The parameters from
    ``negative_slope`` on are added here.

    Parameters
    ----------
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
    class_weight : dict, 'balanced' or None, default=None
        Factor of each class on the weights of its rows.
    label_smoothing : float, default=0.0
        Share of a label that is spread over all classes; for more than two classes.
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
    classes_ : ndarray or list of ndarray of shape (n_classes,)
    loss_ : float
        Of the last epoch, L2 term included.
    loss_curve_ : list of float
    best_loss_ : float or None
    validation_scores_, validation_loss_curve_ : list of float or None
        Accuracy and loss (without L2 term) on the rows held out, or given as ``validation_data``.
    best_validation_score_ : float or None
    coefs_, intercepts_ : list of ndarray
        Views into the model: what is written to them is what predicts.
    model_ : relu_layers.Sequential
        The network up to its logits; ``model_.save("net.npz")`` writes it.
    learning_rate_ : float
        Of the last epoch.
    n_features_in_, feature_names_in_, n_iter_, n_layers_, n_outputs_, out_activation_, t_
        As in scikit-learn.

    Examples
    --------
    >>> from relu_layers.sklearn import MLPClassifier
    >>> X, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0]
    >>> MLPClassifier(solver="lbfgs", random_state=1).fit(X, y).predict([[1.0, 0.0]])
    array([1])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **CONSTRAINTS,
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    }
    # Part of the trainer's loss that is reported.
    _loss_share = 1.0

    # By this name skl2onnx knows which options its own classifier takes, such as zipmap.
    alias = "SklearnMLPClassifier"

    def __init__(
        self,
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
        class_weight: Any = None,
        label_smoothing: float = 0.0,
        restore_best_weights: bool = False,
        time_limit: float | None = None,
        callbacks: Any = None,
        progress: bool = False,
    ) -> None:
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
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.restore_best_weights = restore_best_weights
        self.time_limit = time_limit
        self.callbacks = callbacks
        self.progress = progress

    def predict(self, X: Any) -> Array:
        """Return the class of each row, (n_samples,), or an indicator matrix for several labels."""
        return self._decision(self._network_output(X))

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, (n_samples, n_classes), in the order of ``classes_``."""
        probabilities = self._probabilities(self._network_output(X))
        if self.n_outputs_ == 1:
            return np.hstack([1 - probabilities, probabilities])
        return probabilities

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of `predict_proba`, also where a probability is too small for a number."""
        z = self._network_output(X)
        if self.out_activation_ == "softmax":
            return ops.log_softmax_forward(z)
        # log(sigmoid(z)) is the log-softmax of the pair (0, z); above 1/2 the logarithm of the probability will do,
        # and is equal where probabilities are.
        pairs = ops.log_softmax_forward(np.stack([np.zeros_like(z), z], axis=-1))
        if self.n_outputs_ == 1:
            return np.ascontiguousarray(pairs[:, 0])
        probabilities = ops.sigmoid_forward(z)
        return np.where(probabilities > 0.5, np.log(np.maximum(probabilities, 0.5)), pairs[..., 1])

    @available_if(is_stochastic)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Any:
        """Train for one epoch on the rows given.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes : array-like of shape (n_classes,), optional
            All classes there will be; needed in the first call.

        Returns
        -------
        self : object
            The estimator.
        """
        if _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer()
            self._label_binarizer.fit(y if type_of_target(y).startswith("multilabel") else classes)
        return self._fit(X, y, sample_weight, incremental=True)

    def _loss(self, weighted: bool) -> Any:
        if self.out_activation_ == "softmax":
            return softmax_loss(self.label_smoothing)
        if self.label_smoothing:
            raise ValueError(
                f"MLPClassifier: label_smoothing is {self.label_smoothing:g}, but there are no more than two "
                "classes: expected 0"
            )
        return logistic_loss(self.n_outputs_, weighted)

    def _with_class_weight(
        self, y: Array, weight: Array | None, dtype: np.dtype[Any], incremental: bool
    ) -> Array | None:
        if self.class_weight is None:
            return weight
        if incremental and self.class_weight == "balanced":
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit, because it needs all of y: compute "
                "the weights with sklearn.utils.class_weight.compute_class_weight and pass them as a dict"
            )
        factors: Array = compute_sample_weight(self.class_weight, y).astype(dtype)
        return factors if weight is None else weight * factors

    def _strata(self, given: EncodedExamples) -> Array | None:
        return given.y.astype(bool) if self.n_outputs_ == 1 else None

    def _scored(self, labels: Any, predicted: Array, weight: Array | None) -> float:
        return float(accuracy_score(labels, predicted, sample_weight=weight))

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: several labels per row are taken."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
