"""Loss objects: options reach the ops, bad ones are refused, accuracy, and where training ends."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from relu_layers import layers as rl
from relu_layers import losses, ops
from relu_layers.model import Sequential
from relu_layers.ops import reference


def on_reference(loss):
    loss.ops = reference
    return loss


def log_probabilities(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def test_softmax_cross_entropy_by_hand():
    logits = np.random.default_rng(0).standard_normal((6, 4))
    labels = np.array([0, 3, 2, 9, 1, 0])
    weights = np.array([1.0, 2.0, 0.5, 3.0])
    loss = on_reference(losses.SoftmaxCrossEntropy(class_weight=weights, ignore_label=9))
    value, dy = loss(logits, labels)
    keep = labels != 9
    own = weights[labels[keep]]
    picked = log_probabilities(logits)[keep, labels[keep]]
    assert value == pytest.approx(-(own * picked).sum() / own.sum(), rel=1e-14)
    assert dy.shape == logits.shape
    assert (dy[3] == 0).all()


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (losses.SoftmaxCrossEntropy(), np.array([1, 0, 3])),
        (losses.SoftmaxCrossEntropy(axis=0), np.array([0, 1, 2, 0])),
        (
            losses.SoftmaxCrossEntropy(label_smoothing=0.1, normalization="none", class_weight=[1, 2, 3, 4]),
            np.array([1, 0, 3]),
        ),
        (losses.SoftmaxCrossEntropy(normalization="full"), np.full((3, 4), 0.25)),
        (losses.SigmoidCrossEntropy(), np.eye(3, 4)),
        (losses.SigmoidCrossEntropy(ignore_label=1, normalization="valid"), np.eye(3, 4)),
        (losses.SquaredError(), np.ones((3, 4))),
        (losses.SquaredError(0.5, "batch_size"), np.ones((3, 4))),
    ],
    ids=repr,
)
def test_gradients_and_out(loss, target, numerical_gradient):
    on_reference(loss)
    y = np.random.default_rng(1).standard_normal((3, 4))
    weight = None if repr(loss).endswith("(axis=0)") else np.array([1.0, 2.0, 0.5])
    _, dy = loss(y, target, sample_weight=weight)
    numerical = numerical_gradient(lambda: loss(y, target, sample_weight=weight)[0], y)
    assert np.abs(dy - numerical).max() <= 1e-8 * np.abs(numerical).max()
    out = np.full_like(y, np.nan)
    assert loss(y, target, sample_weight=weight, out=out)[1] is out
    np.testing.assert_array_equal(out, dy)


def test_squared_error_by_hand():
    p, t = np.array([[1.0], [4.0]]), np.array([[2.0], [1.0]])
    value, dy = on_reference(losses.SquaredError(normalization="none"))(p, t)
    assert value == 10.0
    np.testing.assert_array_equal(dy, [[-2.0], [6.0]])
    assert on_reference(losses.SquaredError())(p, t)[0] == 5.0
    assert on_reference(losses.SquaredError(0.5, "batch_size"))(p, t)[0] == 2.5


def test_class_weights_take_the_dtype_of_the_logits_and_can_be_changed():
    loss = on_reference(losses.SoftmaxCrossEntropy(class_weight=[1, 3]))
    y, labels = np.zeros((2, 2), np.float32), np.array([0, 1])
    _, dy = loss(y, labels)
    assert dy.dtype == np.float32
    loss.class_weight = [1.0, 1.0]
    _, changed = loss(y, labels)
    assert not np.array_equal(dy, changed)
    loss.class_weight = None
    np.testing.assert_array_equal(loss(y, labels)[1], changed)


@pytest.mark.parametrize(
    "loss",
    [
        losses.SoftmaxCrossEntropy(),
        losses.SoftmaxCrossEntropy(axis=1, class_weight=np.array([1.0, 2.0]), ignore_label=-1),
        losses.SigmoidCrossEntropy(normalization="full"),
        losses.SquaredError(0.5, "batch_size"),
    ],
    ids=repr,
)
def test_config_and_repr_rebuild_the_loss(loss):
    config = json.loads(json.dumps(loss.config()))
    rebuilt = losses.BUILT_IN[type(loss).__name__](**config)
    assert rebuilt.config() == loss.config()
    assert repr(eval(repr(loss), vars(losses))) == repr(loss)


def test_repr_leaves_out_defaults():
    assert repr(losses.SoftmaxCrossEntropy()) == "SoftmaxCrossEntropy()"
    assert repr(losses.SquaredError(0.5)) == "SquaredError(0.5)"


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: losses.SoftmaxCrossEntropy(normalization="vald"), ValueError, "did you mean 'valid'"),
        (lambda: losses.SquaredError(normalization="mean"), ValueError, "one of valid, full, batch_size"),
        (lambda: losses.SigmoidCrossEntropy(normalization=None), ValueError, "normalization is None"),
        (lambda: losses.SoftmaxCrossEntropy(label_smoothing=1.5), ValueError, "label_smoothing is 1.5"),
        (lambda: losses.SoftmaxCrossEntropy(label_smoothing="x"), TypeError, "label_smoothing is 'x'"),
        (lambda: losses.SoftmaxCrossEntropy(class_weight=[1, -1]), ValueError, "class_weight"),
        (lambda: losses.SoftmaxCrossEntropy(class_weight=2.0), ValueError, "one per class"),
        (lambda: losses.SoftmaxCrossEntropy(ignore_label=1.5), TypeError, "ignore_label is 1.5"),
        (lambda: losses.SquaredError(float("inf")), ValueError, "scale is inf"),
    ],
)
def test_bad_options_are_refused_at_construction(build, error, words):
    with pytest.raises(error, match=words):
        build()


def test_accuracy_of_classes():
    loss = losses.SoftmaxCrossEntropy(ignore_label=-1)
    logits = np.array([[3.0, 2.0, 1.0], [0.0, 5.0, 1.0], [1.0, 1.0, 1.0], [np.nan, 0.0, 1.0]])
    assert loss.accuracy(logits, np.array([0, 2, 0, 2])) == 0.5
    assert loss.accuracy(logits, np.array([1, 2, 1, -1]), top_k=2) == 1.0
    assert loss.accuracy(logits, np.array([-1, 1, -1, -1])) == 1.0
    assert np.isnan(loss.accuracy(logits, np.full(4, -1)))
    assert loss.accuracy(logits[:2], np.array([[0.6, 0.3, 0.1], [0.0, 0.2, 0.8]])) == 0.5
    assert losses.SoftmaxCrossEntropy(axis=0).accuracy(logits[:2].T, np.array([0, 1])) == 1.0
    with pytest.raises(IndexError, match=r"label 3 is outside 0 \.\. 2"):
        loss.accuracy(logits, np.array([0, 3, 0, 0]))
    with pytest.raises(ValueError, match="do not fit"):
        loss.accuracy(logits, np.array([[0], [1], [2], [0]]))


def test_top_one_accuracy_is_argmax_also_with_ties():
    rng = np.random.default_rng(0)
    logits = rng.integers(0, 3, (200, 5)).astype(np.float32)
    labels = rng.integers(0, 5, 200)
    expected = np.mean(logits.argmax(axis=1) == labels)
    assert losses.SoftmaxCrossEntropy().accuracy(logits, labels) == expected


def test_accuracy_of_binary_targets_and_of_regression():
    loss = losses.SigmoidCrossEntropy(ignore_label=-1)
    logits = np.array([[2.0], [-1.0], [3.0], [np.nan]])
    assert loss.accuracy(logits, np.array([[1.0], [1.0], [-1.0], [0.0]])) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="do not fit"):
        loss.accuracy(logits, np.zeros(4))
    assert losses.SquaredError().accuracy(logits, logits) is None
    assert losses.SquaredError().metric_name is None


def test_training_depth():
    dense, softmax = rl.Dense(3, 2), rl.Softmax()
    cross_entropy = losses.SoftmaxCrossEntropy()
    assert losses.training_depth((dense, softmax), cross_entropy) == 1
    assert losses.training_depth((dense,), cross_entropy) == 1
    assert losses.training_depth((dense, softmax), losses.SquaredError()) == 2
    assert losses.training_depth((dense, rl.Sigmoid()), losses.SigmoidCrossEntropy()) == 1
    assert losses.training_depth((dense, rl.Sigmoid()), cross_entropy) == 2
    with pytest.raises(ValueError, match=r"Softmax\(0\)"):
        losses.training_depth((dense, rl.Softmax(0)), cross_entropy)
    with pytest.raises(ValueError, match="axis=1"):
        losses.training_depth((dense, softmax), losses.SoftmaxCrossEntropy(axis=1))


def test_cross_entropy_after_a_log_softmax_is_the_one_of_the_logits():
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((7, 4)) * 3, rng.integers(0, 4, 7)
    layer = rl.LogSoftmax()
    loss = losses.SoftmaxCrossEntropy()
    expected, dlogits = loss(logits, labels)
    value, dy = loss(layer.forward(logits, training=True), labels)
    assert value == pytest.approx(expected, rel=1e-14)
    np.testing.assert_allclose(layer.backward(dy), dlogits, rtol=0, atol=1e-15)


def test_a_callable_becomes_a_loss():
    given = []

    def own(y, target, **options):
        given.append(options)
        return 2.0, np.ones_like(y)

    loss = losses.as_loss(own, ops)
    y = np.zeros((3, 2))
    assert isinstance(loss, losses.Loss)
    assert repr(loss) == repr(own)
    assert loss.measure(y, y) == {"loss": 2.0}
    value, dy = loss(y, y, sample_weight=np.ones(3), out=y)
    assert (value, dy.tolist()) == (2.0, np.ones((3, 2)).tolist())
    assert [sorted(options) for options in given] == [[], ["sample_weight"]]
    assert loss.takes_labels
    assert loss.metric_name is None
    own.accuracy = lambda y, target, top_k=1: 0.25 * top_k
    loss = losses.as_loss(own, ops)
    assert loss.metric_name == "accuracy"
    assert loss.measure(y, y, top_k=2) == {"loss": 2.0, "accuracy": 0.5}


def test_a_loss_computes_with_the_ops_it_is_given():
    loss = losses.SquaredError()
    assert losses.as_loss(loss, ops.reference) is loss
    assert loss.ops is ops.reference


@pytest.mark.parametrize(
    ("last", "y", "expected"),
    [
        (rl.Softmax(), np.zeros(4, int), losses.SoftmaxCrossEntropy()),
        (rl.Softmax(), np.zeros((4, 3)), losses.SoftmaxCrossEntropy()),
        (rl.LogSoftmax(), np.zeros(4, int), losses.SoftmaxCrossEntropy()),
        (rl.Sigmoid(), np.zeros((4, 3), int), losses.SigmoidCrossEntropy()),
        (rl.Tanh(), [0, 1, 2, 0], losses.SoftmaxCrossEntropy()),
        (rl.Tanh(), np.zeros((4, 5), bool), losses.SoftmaxCrossEntropy()),
        (rl.Tanh(), np.zeros((4, 3), int), losses.SquaredError()),
        (rl.Tanh(), np.zeros(4), losses.SquaredError()),
        (rl.Softmax(), None, losses.SquaredError(0.5)),
    ],
)
def test_the_loss_that_suits_a_model_and_its_targets(last, y, expected):
    model = Sequential(rl.Dense(2, 3), copy.deepcopy(last), rng=0)
    assert repr(losses.default_loss(model, y)) == repr(expected)
