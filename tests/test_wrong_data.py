"""Wrong targets, weights and arguments: the message names the argument, the place and the caller's own shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

N = 24
X = np.random.default_rng(0).standard_normal((N, 4)).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, 3, N)
ONE = np.random.default_rng(2).standard_normal((N, 1)).astype(np.float32)


def classes() -> rl.Trainer:
    return rl.Trainer(rl.mlp([4, 8, 3], rng=0), rl.SoftmaxCrossEntropy(), rl.SGD(0.1))


def numbers() -> rl.Trainer:
    return rl.Trainer(rl.mlp([4, 8, 1], rng=0), rl.SquaredError(), rl.SGD(0.1))


def yes_no() -> rl.Trainer:
    return rl.Trainer(rl.mlp([4, 8, 1], rng=0), rl.SigmoidCrossEntropy(), rl.SGD(0.1))


def with_at(array: Any, place: Any, value: float) -> Any:
    changed = np.array(array)
    changed[place] = value
    return changed


YES = (LABELS[:, None] > 0).astype(np.float32)
SOFT = np.full((N, 3), 1 / 3, np.float32)
# name: trainer, x, y, error, words
BAD: dict[str, tuple[Callable[[], rl.Trainer], Any, Any, type[Exception], str]] = {
    "NaN": (numbers, X, with_at(ONE, (5, 0), np.nan), ValueError, r"y\[5, 0\] is nan"),
    "infinity": (numbers, X, with_at(ONE, (7, 0), -np.inf), ValueError, r"y\[7, 0\] is -inf"),
    "labels 1 and 2": (yes_no, X, YES + 1, ValueError, r"y\[\d+, 0\] is 2, expected a target in 0 .. 1"),
    "labels -1 and 1": (yes_no, X, 2 * YES - 1, ValueError, r"is -1, expected a target in 0 .. 1"),
    "integer labels 1 and 2": (yes_no, X, (YES + 1).astype(int), ValueError, "expected a target in 0 .. 1"),
    "a NaN among 0 and 1": (yes_no, X, with_at(YES, (3, 0), np.nan), ValueError, r"y\[3, 0\] is nan"),
    "negative probability": (classes, X, with_at(SOFT, (4, 1), -0.1), ValueError, r"y\[4, 1\] is -0.1"),
    "several labels": (
        classes,
        X,
        np.ones((N, 3), np.float32),
        ValueError,
        "add up to 3.*SigmoidCrossEntropy",
    ),
    "NaN probability": (classes, X, with_at(SOFT, (2, 2), np.nan), ValueError, r"y\[2, 2\] is nan"),
    "one-hot integers": (
        classes,
        X,
        np.eye(3, dtype=int)[LABELS],
        ValueError,
        r"\(24, 3\).*y.argmax\(axis=1\)",
    ),
    "labels in a column": (classes, X, LABELS[:, None], ValueError, r"\(24, 1\).*pass y\[:, 0\]"),
    "float labels": (classes, X, LABELS.astype(float), TypeError, r"\(24,\).*y.astype\(np.int64\)"),
    "numbers in a row": (
        numbers,
        X,
        ONE[:, 0],
        ValueError,
        r"\(24,\), expected \(24, 1\).*pass y\[:, None\]",
    ),
    "yes and no in a row": (
        yes_no,
        X,
        YES[:, 0],
        ValueError,
        r"\(24,\), expected \(24, 1\).*pass y\[:, None\]",
    ),
    "x in a row": (classes, X[:, 0], LABELS, ValueError, r"\(24,\).*x\[:, None\]"),
}


@pytest.mark.parametrize("name", BAD)
def test_fit_names_what_is_wrong_with_targets_before_the_first_step(name: str) -> None:
    make, x, y, error, words = BAD[name]
    trainer = make()
    before = trainer.model.flat_params.copy()
    with pytest.raises(error, match=words):
        trainer.fit(x, y, epochs=1, batch_size=8)
    good = {"y": {classes: LABELS, numbers: ONE, yes_no: YES}[make]}["y"]
    with pytest.raises(error, match=f"validation.*{words}"):
        trainer.fit(X, good, epochs=1, batch_size=8, validation=(x, y))
    assert trainer.steps == 0
    np.testing.assert_array_equal(trainer.model.flat_params, before)


FIXES: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "one-hot integers": lambda x, y: (x, y.argmax(axis=1)),
    "labels in a column": lambda x, y: (x, y[:, 0]),
    "float labels": lambda x, y: (x, y.astype(np.int64)),
    "numbers in a row": lambda x, y: (x, y[:, None]),
    "yes and no in a row": lambda x, y: (x, y[:, None]),
}


@pytest.mark.parametrize("name", FIXES)
def test_the_fix_that_is_printed_runs(name: str) -> None:
    make, x, y, _, _ = BAD[name]
    make().fit(*FIXES[name](x, y), epochs=1, batch_size=8)


@pytest.mark.parametrize(
    "name", ["labels 1 and 2", "a NaN among 0 and 1", "several labels", "NaN probability"]
)
def test_a_step_and_an_evaluation_refuse_such_targets_too(name: str) -> None:
    make, x, y, _, _ = BAD[name]
    with pytest.raises(ValueError, match="target"):
        make().step(x, y)
    with pytest.raises(ValueError, match="target"):
        make().evaluate(x, y)


def test_ignored_targets_may_be_anything() -> None:
    y = with_at(YES, (3, 0), -1)
    trainer = rl.Trainer(rl.mlp([4, 8, 1], rng=0), rl.SigmoidCrossEntropy(ignore_label=-1), rl.SGD(0.1))
    trainer.fit(X, y, epochs=1, batch_size=8)


def test_a_callable_s_targets_are_its_own() -> None:
    def masked(y: Any, target: Any) -> tuple[float, Any]:
        difference = np.where(np.isnan(target), 0, y - target)
        return float((difference**2).sum()), 2 * difference

    trainer = rl.Trainer(rl.mlp([4, 8, 1], rng=0), masked, rl.SGD(0.001))
    trainer.fit(X, with_at(ONE, (5, 0), np.nan), epochs=1, batch_size=8)


@pytest.mark.parametrize("capture", [True, False])
def test_a_step_names_the_target_that_is_not_finite(capture: bool) -> None:
    trainer = numbers()
    trainer.capture = capture
    for _ in range(4):
        trainer.step(X, ONE)
    with pytest.raises(rl.DivergenceError, match=r"y\[5, 0\] of the batch is nan"):
        trainer.step(X, with_at(ONE, (5, 0), np.nan))


def test_a_row_that_is_not_finite_is_named_before_the_first_step() -> None:
    bad = with_at(X, (9, 2), np.nan)
    trainer = numbers()
    with pytest.raises(ValueError, match=r"Trainer.fit: x\[9, 2\] is nan, expected finite numbers"):
        trainer.fit(bad, ONE, epochs=1, batch_size=4)
    with pytest.raises(ValueError, match=r"Trainer.fit: x\[5, 1\] is -inf"):
        trainer.fit(with_at(X, (5, 1), -np.inf), ONE, epochs=1, batch_size=4)
    with pytest.raises(ValueError, match=r"validation: x\[9, 2\] is nan"):
        trainer.fit(X, ONE, epochs=1, validation=(bad, ONE))
    assert trainer.steps == 0

    class Filled(rl.ReLU):
        """A layer of one's own may know what a NaN means."""

        def forward(self, x: Any, training: bool = False, *, out: Any = None) -> Any:
            return super().forward(np.nan_to_num(x), training, out=out)

    model = rl.Sequential(Filled(), rl.Dense(4, 1), rng=0)
    rl.Trainer(model, rl.SquaredError(), rl.SGD(0.01)).fit(bad, ONE, epochs=1, validation=(bad, ONE))


@pytest.mark.parametrize(("value", "shown"), [(-0.5, "-0.5"), (np.nan, "nan"), (np.inf, "inf")])
@pytest.mark.parametrize("capture", [True, False])
def test_weights_are_finite_and_not_negative(value: float, shown: str, capture: bool) -> None:
    weight = with_at(np.ones(N, np.float32), 7, value)
    words = rf"sample_weight\[7\] is {shown}"
    # Below 0 only where the loss is divided by their sum: elsewhere they may be the advantages of a policy gradient.
    cases = ((classes, LABELS), (numbers, ONE), (yes_no, YES))
    for make, y in cases[:1] if value < 0.0 else cases:
        trainer = make()
        trainer.capture = capture
        with pytest.raises(ValueError, match=words):
            trainer.fit(X, y, epochs=1, batch_size=8, sample_weight=weight)
        with pytest.raises(ValueError, match=words):
            trainer.fit(X, y, epochs=1, batch_size=8, validation=(X, y, weight))
        with pytest.raises(ValueError, match=words):
            trainer.evaluate(X, y, weight)
        # Also where the step was captured with good weights.
        for _ in range(4):
            trainer.step(X, y, np.ones(N, np.float32))
        before = trainer.model.flat_params.copy()
        with pytest.raises(ValueError, match=words):
            trainer.step(X, y, weight)
        np.testing.assert_array_equal(trainer.model.flat_params, before)


@pytest.mark.parametrize("space", [rl.ops, rl.ops.reference], ids=["native", "reference"])
def test_the_ops_refuse_such_weights(space: Any) -> None:
    z = np.eye(3, dtype=np.float32)[:2]
    for op, target in (
        (space.softmax_cross_entropy, np.array([0, 1])),
        (space.sigmoid_cross_entropy, z),
        (space.squared_error, z),
    ):
        with pytest.raises(ValueError, match=r"sample_weight\[1\] is -1"):
            op(z, target, sample_weight=np.array([1, -1], np.float32), normalization="valid")
        with pytest.raises(ValueError, match=r"sample_weight\[1\] is nan"):
            op(z, target, sample_weight=np.array([1, np.nan], np.float32), normalization="full")


def test_a_schedule_that_falls_below_zero_is_named() -> None:
    for batches in (1, 3):
        trainer = rl.Trainer(
            rl.mlp([4, 8, 3], rng=0), rl.SoftmaxCrossEntropy(), rl.SGD(lambda updates: 0.1 - 0.1 * updates)
        )
        with pytest.raises(ValueError, match=r"after 2 updates is -0\.1, expected at least 0"):
            trainer.fit(X, LABELS, epochs=3, batch_size=N // batches)
    for make in (
        lambda: rl.schedules.Exponential(0.1, -0.5),
        lambda: rl.schedules.Step(0.1, -0.5, 2),
        lambda: rl.schedules.MultiStep(0.1, -0.5, [2]),
    ):
        with pytest.raises(ValueError, match=r"gamma is -0\.5"):
            make()


def test_class_weights_by_class() -> None:
    loss = rl.SoftmaxCrossEntropy(class_weight={1: 2.0, 0: 1.0, 2: 3.0})
    assert loss.class_weight == [1.0, 2.0, 3.0]
    assert eval(repr(loss), vars(rl)).class_weight == [1.0, 2.0, 3.0]
    for given in ({1: 1.0, 2: 2.0}, {"a": 1.0}):
        with pytest.raises(ValueError, match="class_weight names the classes"):
            rl.SoftmaxCrossEntropy(class_weight=given)
    for wrong in ("balanced", [[1.0], [2.0, 3.0]], object()):
        with pytest.raises(TypeError, match="class_weight"):
            rl.SoftmaxCrossEntropy(class_weight=wrong)


def test_none_and_a_single_callback_are_callbacks() -> None:
    seen = []
    for given, count in ((None, 0), (lambda trainer, record: seen.append(1), 1)):
        classes().fit(X, LABELS, epochs=1, batch_size=8, callbacks=given)
        assert len(seen) == count
        own = rl.Trainer(rl.mlp([4, 3]), rl.SoftmaxCrossEntropy(), rl.SGD(0.1), callbacks=given)
        own.fit(X, LABELS, epochs=1)
        assert len(seen) == 2 * count
    trainer = classes()
    trainer.fit(X, LABELS, epochs=1, validation=(X, LABELS), callbacks=rl.EarlyStopping(3))
    for wrong in ("EarlyStopping", 3, {"a": 1}, [3], rl.EarlyStopping):
        with pytest.raises(TypeError, match="callbacks"):
            trainer.fit(X, LABELS, epochs=1, callbacks=wrong)


def test_early_stopping_takes_every_column_that_it_offers() -> None:
    """Counts of several layers add up."""
    trainer = classes()
    names = []
    trainer.fit(
        X, LABELS, epochs=1, validation=(X, LABELS), callbacks=lambda t, record: names.extend(t.recorded)
    )
    assert "dead_units" in names
    for name in names:
        stopping = rl.EarlyStopping(2, monitor=name)
        classes().fit(X, LABELS, epochs=2, validation=(X, LABELS), callbacks=stopping)
        assert stopping.best is not None


def test_load_params_says_where_no_name_fits() -> None:
    model, other = rl.mlp([4, 8, 3], rng=0), rl.mlp([4, 8, 3], rng=1)
    with pytest.raises(KeyError, match="no name fits"):
        model.load_params({f"model.{name}": a for name, a in other.params.items()}, strict=False)
    model.load_params(
        {"0.weight": other.params["0.weight"], "5.weight": other.params["0.weight"]}, strict=False
    )
    np.testing.assert_array_equal(model.params["0.weight"], other.params["0.weight"])
    model.load_params({}, strict=False)


def test_hints_lead_to_code_that_runs() -> None:
    """Each message's ``pass ...`` is applied, until the call succeeds or the message has no hint any more."""
    sparse = pytest.importorskip("scipy.sparse")
    z = np.eye(3, dtype=np.float32)
    model = rl.mlp([3, 2], rng=0)
    calls: list[tuple[Callable[[Any], Any], str, Any, bool]] = [
        (lambda labels: rl.ops.softmax_cross_entropy(z, labels), "labels", [0, 1, 2], True),
        (lambda labels: rl.ops.softmax_cross_entropy(z, labels), "labels", [0.0, 1.0, 2.0], True),
        (lambda labels: rl.ops.softmax_cross_entropy(z, labels), "labels", np.eye(3, dtype=int), True),
        (lambda labels: rl.ops.softmax_cross_entropy(z, labels), "labels", np.zeros((3, 1), int), True),
        (lambda labels: rl.ops.softmax_cross_entropy(z, labels), "labels", sparse.csr_matrix(z), True),
        (lambda x: rl.ops.relu_forward(x), "x", sparse.csr_matrix(z), True),
        (lambda x: rl.ops.relu_forward(x), "x", [[1, 2], [3, 4]], True),
        (lambda x: rl.ops.relu_forward(x), "x", [[1, 2], [3]], False),
        (lambda x: rl.ops.relu_forward(x), "x", {"a": 1}, False),
        (lambda x: rl.ops.relu_forward(x), "x", np.array(["a"]), False),
        (lambda x: rl.ops.relu_forward(x), "x", np.arange(3), True),
        (lambda target: rl.ops.squared_error(z[:, :1], target), "target", z[:, 0], True),
        (lambda axis: rl.ops.softmax_forward(z, axis=axis), "axis", None, False),
        (lambda axis: rl.ops.softmax_forward(z, axis=axis), "axis", 1.0, True),
        (lambda negative_slope: rl.ops.relu_forward(z, negative_slope), "negative_slope", "0.1", True),
        (lambda negative_slope: rl.ops.relu_forward(z, negative_slope), "negative_slope", "steep", False),
        (model, "x", [[1, 2, 3]], True),
        (model, "x", [[1, 2, 3], [4]], False),
        (model, "x", "text", False),
        (model, "x", sparse.csr_matrix(z), True),
        (model.predict, "x", sparse.csr_matrix(z), True),
        (model.predict, "x", [[1, 2, 3], [4]], False),
    ]
    for call, name, value, possible in calls:
        for _ in range(4):
            try:
                call(value)
                succeeded = True
                break
            except (TypeError, ValueError) as error:
                succeeded = False
                advice = str(error).rpartition("pass ")[2]
                if not advice.startswith((f"{name}.", f"{name}[", "np.", "int(", "float(")):
                    break
                value = eval(advice, {"np": np, name: value})
        assert succeeded == possible, (name, value)


@pytest.mark.filterwarnings("ignore:lbfgs failed")
def test_sizes_of_hidden_layers_are_whole() -> None:
    pytest.importorskip("sklearn")
    from relu_layers.sklearn import MLPClassifier, MLPRegressor

    for make in (MLPClassifier, MLPRegressor):
        for sizes in ((5.7,), (np.float32(5.2),), (4, 5.0), (True,)):
            with pytest.raises((TypeError, ValueError), match="hidden_layer_sizes"):
                make(hidden_layer_sizes=sizes, max_iter=1).fit(X, LABELS)
        make(hidden_layer_sizes=(np.int64(5),), max_iter=2, solver="lbfgs").fit(X, LABELS)
