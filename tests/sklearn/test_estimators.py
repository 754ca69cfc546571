"""The estimators beside scikit-learn's: the same numbers where the parameters are the same, and what is ours."""

from __future__ import annotations

import copy
import inspect
import io
import multiprocessing
import pickle
import threading
import time
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")

import joblib
import sklearn.neural_network as theirs
from sklearn.base import clone
from sklearn.datasets import load_digits, make_classification, make_multilabel_classification, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import relu_layers as rl
import relu_layers.sklearn as ours

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DIGITS, NUMBERS = (array[:400] for array in load_digits(return_X_y=True))
DIGITS = DIGITS / 16
QUESTIONS = make_multilabel_classification(n_samples=150, random_state=0)
REGRESSION = make_regression(n_samples=150, n_features=5, n_targets=3, noise=1.0, random_state=0)
ONE_TARGET = REGRESSION[0], REGRESSION[1][:, 0] / 100
WEIGHTS = np.random.default_rng(0).random(400) + 0.1
TWO = DIGITS, NUMBERS > 4
SEVERAL = DIGITS, NUMBERS

SAME: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "adam": ("MLPClassifier", SEVERAL, {}),
    "batches that do not divide the rows": ("MLPClassifier", SEVERAL, {"batch_size": 64, "alpha": 1.0}),
    "sgd": ("MLPClassifier", SEVERAL, {"solver": "sgd", "learning_rate_init": 0.05}),
    "plain momentum": ("MLPClassifier", SEVERAL, {"solver": "sgd", "nesterovs_momentum": False}),
    "invscaling": ("MLPClassifier", SEVERAL, {"solver": "sgd", "learning_rate": "invscaling"}),
    "adaptive": ("MLPClassifier", SEVERAL, {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1}),
    "in order": ("MLPClassifier", SEVERAL, {"shuffle": False}),
    "two classes": ("MLPClassifier", TWO, {"activation": "logistic", "alpha": 0.1}),
    "tanh, two layers": ("MLPClassifier", SEVERAL, {"activation": "tanh", "hidden_layer_sizes": (30, 20)}),
    "identity": ("MLPClassifier", SEVERAL, {"activation": "identity"}),
    "early stopping": ("MLPClassifier", SEVERAL, {"early_stopping": True, "max_iter": 60}),
    "early stopping, two classes": ("MLPClassifier", TWO, {"early_stopping": True, "max_iter": 60}),
    "lbfgs": ("MLPClassifier", SEVERAL, {"solver": "lbfgs"}),
    "several labels": ("MLPClassifier", QUESTIONS, {}),
    "regression": ("MLPRegressor", ONE_TARGET, {"alpha": 1.0}),
    "several outputs": ("MLPRegressor", REGRESSION, {}),
    "regression, early stopping": ("MLPRegressor", ONE_TARGET, {"early_stopping": True, "max_iter": 60}),
    "regression, lbfgs": ("MLPRegressor", ONE_TARGET, {"solver": "lbfgs"}),
    "poisson": ("MLPRegressor", (ONE_TARGET[0], np.abs(ONE_TARGET[1])), {"loss": "poisson"}),
}


def both(name: str, options: dict[str, Any]) -> tuple[Any, Any]:
    options = {"max_iter": 15, "random_state": 3, **options}
    if "loss" in options and "loss" not in theirs.MLPRegressor().get_params():
        pytest.skip("this scikit-learn has no Poisson loss")
    return getattr(ours, name)(**options), getattr(theirs, name)(**options)


def agree(mine: Any, other: Any, x: Any) -> None:
    """Assert that weights, curves and predictions are equal but for rounding."""
    assert mine.n_iter_ == other.n_iter_
    assert mine.t_ == other.t_
    for a, b in zip([*mine.coefs_, *mine.intercepts_], [*other.coefs_, *other.intercepts_], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)
    for name in ("loss_curve_", "validation_scores_", "loss_", "best_loss_", "best_validation_score_"):
        if getattr(other, name, None) is not None:
            np.testing.assert_allclose(getattr(mine, name), getattr(other, name), rtol=1e-9, err_msg=name)
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(mine, name) == getattr(other, name)
    np.testing.assert_allclose(mine.predict(x), other.predict(x), rtol=1e-8, atol=1e-10)
    if hasattr(other, "predict_proba"):
        np.testing.assert_array_equal(mine.classes_, other.classes_)
        np.testing.assert_allclose(mine.predict_proba(x), other.predict_proba(x), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("case", SAME)
def test_a_seed_gives_the_network_that_it_gives_in_scikit_learn(case: str) -> None:
    name, (x, y), options = SAME[case]
    mine, other = both(name, options)
    agree(mine.fit(x, y), other.fit(x, y), x)


@pytest.mark.parametrize(
    "case", ["adam", "two classes", "several labels", "regression", "several outputs", "lbfgs"]
)
def test_weighted_rows_give_it_too(case: str) -> None:
    if "sample_weight" not in inspect.signature(theirs.MLPClassifier.fit).parameters:
        pytest.skip("this scikit-learn takes no sample weights here")
    name, (x, y), options = SAME[case]
    mine, other = both(name, options)
    weights = WEIGHTS[: len(x)]
    agree(mine.fit(x, y, sample_weight=weights), other.fit(x, y, sample_weight=weights), x)


@pytest.mark.parametrize("case", ["adam", "sgd", "two classes", "several labels", "regression"])
def test_partial_fit_and_warm_start_go_on_alike(case: str) -> None:
    name, (x, y), options = SAME[case]
    mine, other = both(name, options)
    first = {"classes": range(y.shape[1]) if y.ndim == 2 else np.unique(y)} if name == "MLPClassifier" else {}
    for one in (mine, other):
        one.partial_fit(x[:90], y[:90], **first)
        one.partial_fit(x[90:], y[90:])
    agree(mine, other, x)
    mine, other = both(name, {**options, "warm_start": True, "max_iter": 4})
    for one in (mine, other):
        one.fit(x, y)
        one.fit(x, y)
    agree(mine, other, x)


def test_lbfgs_of_several_outputs_follows_the_gradient_of_its_loss() -> None:
    """scikit-learn's value is the mean over outputs and its gradient the sum: ours end no higher."""
    mine, other = both("MLPRegressor", {"solver": "lbfgs", "max_iter": 200})
    assert mine.fit(*REGRESSION).loss_ <= other.fit(*REGRESSION).loss_ * 1.05


def test_float32_rows_are_trained_in_float32() -> None:
    mine, other = both("MLPClassifier", {})
    x = DIGITS.astype(np.float32)
    mine.fit(x, NUMBERS)
    other.fit(x, NUMBERS)
    assert {a.dtype for a in (*mine.coefs_, mine.predict_proba(x))} == {np.dtype(np.float32)}
    assert mine.model_.dtype == np.float32
    for a, b in zip(mine.coefs_, other.coefs_, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_coefs_are_views_that_predict() -> None:
    estimator = ours.MLPClassifier(max_iter=2, random_state=0).fit(*SEVERAL)
    before = estimator.predict_proba(DIGITS)
    assert np.shares_memory(estimator.coefs_[0], estimator.model_.flat_params)
    estimator.coefs_[1][:] = 0
    assert not np.array_equal(before, estimator.predict_proba(DIGITS))
    estimator.coefs_ = [np.ones((64, 100)), np.ones((100, 10))]
    assert estimator.model_.params["0.weight"].min() == 1
    with pytest.raises(ValueError, match=r"coefs_: arrays of shapes \[\(2, 2\)\]"):
        estimator.coefs_ = [np.ones((2, 2))]


def test_the_slope_below_0_is_that_of_the_layer() -> None:
    mine = ours.MLPClassifier((8, 6), negative_slope=[0.0, 0.25], max_iter=2, random_state=0).fit(*SEVERAL)
    slopes = [layer.negative_slope for layer in mine.model_.layers if isinstance(layer, rl.ReLU)]
    assert slopes == [0.0, 0.25]
    hidden = np.maximum(DIGITS @ mine.coefs_[0] + mine.intercepts_[0], 0)
    z = hidden @ mine.coefs_[1] + mine.intercepts_[1]
    logits = np.where(z > 0, z, 0.25 * z) @ mine.coefs_[2] + mine.intercepts_[2]
    np.testing.assert_array_equal(mine.predict(DIGITS), logits.argmax(axis=1))
    with pytest.raises(ValueError, match="negative_slope has 1 values, expected one number or 2"):
        ours.MLPClassifier((8, 6), negative_slope=[0.1]).fit(*SEVERAL)
    with pytest.raises(ValueError, match="activation is 'tanh': only 'relu' has a slope"):
        ours.MLPClassifier(activation="tanh", negative_slope=0.1).fit(*SEVERAL)


def test_class_weight_multiplies_the_weights_of_the_rows() -> None:
    options = {"max_iter": 5, "random_state": 0}
    weights = {number: 0.5 + number for number in range(10)}
    a = ours.MLPClassifier(class_weight=weights, **options).fit(*SEVERAL, sample_weight=WEIGHTS)
    b = ours.MLPClassifier(**options).fit(*SEVERAL, sample_weight=WEIGHTS * (0.5 + NUMBERS))
    np.testing.assert_allclose(a.coefs_[0], b.coefs_[0], rtol=1e-12)
    x, y = make_classification(600, weights=[0.95], flip_y=0.02, random_state=1)
    recall = [
        np.mean(ours.MLPClassifier(class_weight=w, random_state=0).fit(x, y).predict(x)[y == 1])
        for w in (None, "balanced")
    ]
    assert recall[1] >= recall[0]
    with pytest.raises(ValueError, match="'balanced' is not supported for partial_fit"):
        ours.MLPClassifier(class_weight="balanced").partial_fit(x, y, classes=[0, 1])


def test_a_validation_set_of_ones_own_is_scored_every_epoch() -> None:
    seen: list[float] = []
    estimator = ours.MLPClassifier(
        max_iter=25, random_state=0, restore_best_weights=True, learning_rate_init=0.05, callbacks=[
            lambda trainer, record: seen.append(record["validation_loss"])
        ],
    )  # fmt: skip
    estimator.fit(DIGITS[:300], NUMBERS[:300], validation_data=(DIGITS[300:], NUMBERS[300:]))
    assert len(estimator.validation_loss_curve_) == len(estimator.validation_scores_) == estimator.n_iter_
    assert estimator.validation_loss_curve_ == seen
    probabilities = estimator.predict_proba(DIGITS[300:])
    loss = -np.mean(np.log(probabilities[np.arange(100), NUMBERS[300:]]))
    assert loss == pytest.approx(min(estimator.validation_loss_curve_), rel=1e-9)
    best = int(np.argmin(estimator.validation_loss_curve_))
    assert estimator.score(DIGITS[300:], NUMBERS[300:]) == estimator.validation_scores_[best]


def test_lbfgs_has_no_epochs_to_score_rows_after() -> None:
    with pytest.raises(ValueError, match=r"validation_data is scored after every epoch .* solver is 'lbfgs'"):
        ours.MLPClassifier(solver="lbfgs").fit(*SEVERAL, validation_data=SEVERAL)


def test_partial_fit_reads_alpha_and_label_smoothing_anew() -> None:
    mine, other = both("MLPClassifier", {"alpha": 0.01})
    for one in (mine, other):
        one.partial_fit(*SEVERAL, classes=range(10))
        one.set_params(alpha=20.0)
        one.partial_fit(*SEVERAL)
    agree(mine, other, DIGITS)
    plain = ours.MLPClassifier(random_state=0).partial_fit(*SEVERAL, classes=range(10))
    smooth = copy.deepcopy(plain).set_params(label_smoothing=0.5)
    assert smooth.partial_fit(*SEVERAL).loss_ > plain.partial_fit(*SEVERAL).loss_


def test_early_stopping_takes_the_rows_given() -> None:
    held_out = DIGITS[300:], NUMBERS[300:]
    estimator = ours.MLPClassifier(early_stopping=True, max_iter=60, random_state=0)
    estimator.fit(DIGITS[:300], NUMBERS[:300], validation_data=held_out)
    assert estimator.t_ == 300 * estimator.n_iter_
    assert estimator.score(*held_out) == estimator.best_validation_score_ == max(estimator.validation_scores_)
    regressor = ours.MLPRegressor(early_stopping=True, max_iter=60, random_state=0)
    regressor.fit(*ONE_TARGET, validation_data=(*ONE_TARGET, WEIGHTS[:150]))
    assert regressor.score(*ONE_TARGET, WEIGHTS[:150]) == pytest.approx(regressor.best_validation_score_)
    with pytest.raises(TypeError, match="validation_data must be a tuple"):
        regressor.fit(*ONE_TARGET, validation_data=ONE_TARGET[0])
    with pytest.raises(ValueError, match="`y` has classes not in"):
        estimator.fit(*TWO, validation_data=(DIGITS, NUMBERS))


def test_dropout_trains_and_predicts_without_masks() -> None:
    a, b = (
        ours.MLPClassifier((50, 30), dropout=[0.5, 0.0], random_state=0, max_iter=80).fit(*SEVERAL)
        for _ in range(2)
    )
    assert [layer.rate for layer in a.model_.layers if isinstance(layer, rl.Dropout)] == [0.5]
    np.testing.assert_array_equal(a.predict_proba(DIGITS), b.predict_proba(DIGITS))
    assert a.score(*SEVERAL) > 0.9
    with pytest.raises(ValueError, match="rates in"):
        ours.MLPClassifier((50, 30), dropout=[0.5, 1.0]).fit(*SEVERAL)


def test_label_smoothing_is_for_several_classes() -> None:
    plain, smooth = (
        ours.MLPClassifier(label_smoothing=share, random_state=0, max_iter=100).fit(*SEVERAL)
        for share in (0.0, 0.2)
    )
    assert smooth.predict_proba(DIGITS).max() < plain.predict_proba(DIGITS).max()
    with pytest.raises(ValueError, match="no more than two classes"):
        ours.MLPClassifier(label_smoothing=0.1).fit(*TWO)


@pytest.mark.parametrize("loss", ["absolute_error", "huber"])
def test_robust_losses_care_less_about_outliers(loss: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (300, 1))
    y = 2 * x[:, 0]
    wrong = y.copy()
    wrong[:30] += 40
    options = {"solver": "lbfgs", "random_state": 0, "max_iter": 500, "activation": "identity"}
    errors = [
        np.abs(ours.MLPRegressor(name, **options).fit(x, wrong).predict(x) - y).mean()
        for name in ("squared_error", loss)
    ]
    assert errors[1] < 0.2 * errors[0]


@pytest.mark.parametrize("name", ["absolute_error", "huber", "poisson"])
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_are_consistent_with_their_gradients(name: str, weighted: bool) -> None:
    from relu_layers.sklearn._losses import WeightedLogistic, regression_loss

    rng = np.random.default_rng(1)
    y, target = rng.normal(0, 2, (7, 3)), rng.integers(0, 4, (7, 3)).astype(float)
    weight = rng.random(7) if weighted else None
    for loss in (regression_loss(name, 3), WeightedLogistic(3)):
        if isinstance(loss, WeightedLogistic):
            target = (target > 1).astype(float)
        _, dy = loss(y, target, sample_weight=weight)
        for index in np.ndindex(7, 3):
            values = []
            for h in (1e-6, -1e-6):
                moved = y.copy()
                moved[index] += h
                values.append(loss(moved, target, sample_weight=weight)[0])
            assert dy[index] == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-8)


def test_a_loss_of_ones_own() -> None:
    def fourth_power(y: Any, target: Any) -> tuple[float, Any]:
        return float(((y - target) ** 4).mean()), 4 * (y - target) ** 3 / y.size

    estimator = ours.MLPRegressor(fourth_power, max_iter=5, random_state=0).fit(*ONE_TARGET)
    assert estimator.loss_curve_[-1] < estimator.loss_curve_[0]


def test_a_time_limit_ends_after_an_epoch_and_says_so() -> None:
    for solver in ("adam", "lbfgs"):
        estimator = ours.MLPClassifier((256, 256), solver=solver, max_iter=100_000, time_limit=0.2, tol=0.0,
                                       n_iter_no_change=100_000, max_fun=1_000_000)  # fmt: skip
        begin = time.monotonic()
        with pytest.warns(ConvergenceWarning, match=r"time_limit of 0\.2 s reached after \d+ iterations"):
            estimator.fit(DIGITS, np.random.default_rng(0).integers(0, 10, 400))
        assert 1 <= estimator.n_iter_ < 100_000
        assert time.monotonic() - begin < 30


def test_progress_and_callbacks(capsys: pytest.CaptureFixture[str]) -> None:
    epochs: list[int] = []
    estimator = ours.MLPClassifier(
        max_iter=3, progress=True, callbacks=lambda trainer, record: epochs.append(record["epoch"])
    )
    estimator.fit(*SEVERAL)
    assert epochs == [1, 2, 3]
    assert "3" in capsys.readouterr().err


def test_invscaling_goes_on_after_a_warm_start() -> None:
    estimator = ours.MLPClassifier(
        4, solver="sgd", learning_rate="invscaling", max_iter=1, power_t=0.25, warm_start=True
    )
    x, y = [[3, 2], [1, 6], [5, 6], [-2, -4]], [1, 1, 1, 0]
    estimator.fit(x, y)
    estimator.fit(x, y)
    assert estimator.learning_rate_ == pytest.approx(0.001 / (8 + 1) ** 0.25)


def test_an_adaptive_rate_falls_until_it_is_small() -> None:
    estimator = ours.MLPClassifier(tol=0.5, max_iter=3000, solver="sgd", learning_rate="adaptive")
    estimator.fit([[3, 2], [1, 6]], [1, 0])
    assert estimator.n_iter_ < 3000
    assert estimator.learning_rate_ < 1e-6


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"activation": "rleu"}, "(did you mean 'relu'?)"),
        ({"solver": "addam"}, "(did you mean 'adam'?)"),
        ({"learning_rate": "adaptiv"}, "(did you mean 'adaptive'?)"),
        ({"class_weight": "balance"}, "(did you mean 'balanced'?)"),
        ({"alpha": -1}, "The 'alpha' parameter of MLPClassifier must be"),
        ({"dropout": 1.0}, "The 'dropout' parameter"),
        ({"time_limit": 0}, "The 'time_limit' parameter"),
        ({"callbacks": "every epoch"}, "The 'callbacks' parameter"),
        ({"hidden_layer_sizes": (5, 0)}, "hidden_layer_sizes must be > 0, got [5, 0]."),
    ],
)
def test_a_value_that_is_not_supported_names_the_nearest(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError) as caught:
        ours.MLPClassifier(**options).fit(*SEVERAL)
    assert told in str(caught.value)
    with pytest.raises(ValueError, match="did you mean 'poisson'"):
        ours.MLPRegressor("poison").fit(*ONE_TARGET)
    with pytest.raises(ValueError, match="needs targets of at least 0, but y has -"):
        ours.MLPRegressor("poisson").fit(*ONE_TARGET)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_bring_their_names_and_must_keep_them(library: str) -> None:
    frames = pytest.importorskip(library, reason=f"{library} is not installed")
    names = [f"pixel {i}" for i in range(64)]
    frame = frames.DataFrame({name: DIGITS[:, i] for i, name in enumerate(names)})
    if not hasattr(StandardScaler().fit(frame), "feature_names_in_"):
        pytest.skip(f"this scikit-learn sees no names in frames of {library} {frames.__version__}")
    labels = frames.Series("number", NUMBERS) if library == "polars" else frames.Series(NUMBERS)
    estimator = ours.MLPClassifier(max_iter=3, random_state=0).fit(frame, labels.to_numpy())
    assert estimator.feature_names_in_.tolist() == names
    np.testing.assert_array_equal(estimator.predict(frame), estimator.fit(frame, labels).predict(frame))
    swapped = frame[[*names[1:], names[0]]]
    with pytest.raises(ValueError, match="feature names"):
        estimator.predict(swapped)
    renamed = (
        frame.rename(columns={"pixel 3": "pixel x"})
        if library == "pandas"
        else frame.rename({"pixel 3": "pixel x"})
    )
    with pytest.raises(
        ValueError, match=r"(?s)unseen at fit time:\n- pixel x.*seen at fit time, yet now missing:\n- pixel 3"
    ):
        estimator.predict(renamed)


def test_copies_and_files_go_on_alike(tmp_path: Any) -> None:
    estimator = ours.MLPClassifier(random_state=0)
    estimator.partial_fit(*SEVERAL, classes=range(10))
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    others = [copy.deepcopy(estimator), pickle.loads(pickle.dumps(estimator)), joblib.load(file)]
    expected = estimator.partial_fit(*SEVERAL).predict_proba(DIGITS)
    for other in others:
        np.testing.assert_array_equal(other.partial_fit(*SEVERAL).predict_proba(DIGITS), expected)
    fresh = clone(estimator)
    assert not hasattr(fresh, "coefs_")
    estimator.model_.save(tmp_path / "net.npz")
    loaded = rl.load(tmp_path / "net.npz")
    np.testing.assert_array_equal(loaded.predict(DIGITS), estimator.predict(DIGITS))


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_a_grid_search_leaves_no_thread_and_no_process_behind(backend: str) -> None:
    from joblib.externals.loky import get_reusable_executor

    grid = {"mlpclassifier__alpha": [1e-4, 1e-2], "mlpclassifier__negative_slope": [0.0, 0.1]}
    pipeline = make_pipeline(StandardScaler(), ours.MLPClassifier(max_iter=5, random_state=0))
    expected = GridSearchCV(pipeline, grid, cv=3, n_jobs=1).fit(*SEVERAL)
    threads = threading.active_count()
    with joblib.parallel_config(backend=backend):
        found = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(*SEVERAL)
    np.testing.assert_array_equal(
        found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    )
    get_reusable_executor().shutdown(wait=True)
    end = time.monotonic() + 10
    while (
        threading.active_count() > threads or multiprocessing.active_children()
    ) and time.monotonic() < end:
        time.sleep(0.05)
    assert threading.active_count() <= threads
    assert not multiprocessing.active_children()


def test_processes_side_by_side_share_the_processors() -> None:
    found = joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(rl.get_num_threads)() for _ in range(2))
    assert found == [max(1, joblib.cpu_count() // 2)] * 2


def test_weights_are_routed_through_a_grid_search() -> None:
    from sklearn import config_context

    with config_context(enable_metadata_routing=True):
        estimator = ours.MLPClassifier(max_iter=3, random_state=0).set_fit_request(sample_weight=True)
        estimator.set_score_request(sample_weight=True)
        search = GridSearchCV(estimator, {"alpha": [1e-4, 1.0]}, cv=2)
        search.fit(*SEVERAL, sample_weight=WEIGHTS)
        assert "sample_weight" in estimator.get_metadata_routing().fit.requests
        assert "validation_data" in estimator.get_metadata_routing().fit.requests
    assert search.best_score_ > 0


def test_a_diverging_training_names_its_cause() -> None:
    estimator = ours.MLPRegressor(solver="sgd", learning_rate_init=1e6, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with pytest.raises(
            ValueError, match=r"Solver produced non-finite parameter weights.*training diverged"
        ):
            estimator.fit(*ONE_TARGET)


def test_sparse_rows_are_filled_up() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    options = {"max_iter": 3, "random_state": 0}
    a = ours.MLPClassifier(**options).fit(sparse.csr_matrix(DIGITS), NUMBERS)
    b = ours.MLPClassifier(**options).fit(DIGITS, NUMBERS)
    np.testing.assert_array_equal(a.predict_proba(sparse.csc_matrix(DIGITS)), b.predict_proba(DIGITS))


def test_importing_the_package_does_not_import_scikit_learn() -> None:
    import subprocess
    import sys

    code = "import sys, relu_layers, relu_layers.sklearn; print('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
