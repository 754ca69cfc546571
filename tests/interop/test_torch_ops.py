"""The ops as autograd functions: PyTorch's own gradcheck, PyTorch's own values, and nothing copied."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch.nn import functional as F  # noqa: E402, N812 - its usual name

import relu_layers.interop.torch as rlt  # noqa: E402

Tensor = Any
EPS = float(np.finfo(np.float64).eps)


def draw(*shape: int, seed: int = 0, away: float = 0.0) -> Tensor:
    """Return a float64 tensor that requires grad, its entries at least 0.05 away from a kink at ``away``."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(shape)
    values += 0.05 * np.sign(values - away)
    return torch.tensor(values, requires_grad=True)


def positive(*shape: int, seed: int = 1) -> Tensor:
    return torch.tensor(np.random.default_rng(seed).uniform(0.1, 1.5, shape))


LABELS = torch.tensor([2, 0, 4, 2, 1, 2])
PROBABILITIES = torch.softmax(draw(6, 5, seed=9).detach(), 1)

# name: function of the inputs, the inputs.
CHECKED: dict[str, tuple[Callable[..., Tensor], list[Tensor]]] = {
    "relu": (rlt.relu, [draw(4, 5)]),
    "relu-leaky": (lambda x: rlt.relu(x, 0.1), [draw(4, 5)]),
    "relu-scalar": (lambda x: rlt.relu(x, -0.3), [draw()]),
    "threshold": (lambda x: rlt.threshold(x, 0.2, -1.0), [draw(4, 5, away=0.2)]),
    "prelu": (rlt.prelu, [draw(4, 5), positive(5).requires_grad_()]),
    "prelu-shared": (rlt.prelu, [draw(2, 3, 5), positive(1).requires_grad_()]),
    "elu": (lambda x: rlt.elu(x, 0.7), [draw(4, 5)]),
    "sigmoid": (rlt.sigmoid, [draw(4, 5)]),
    "silu": (rlt.silu, [draw(4, 5)]),
    "gelu": (rlt.gelu, [draw(4, 5)]),
    "gelu-tanh": (lambda x: rlt.gelu(x, "tanh"), [draw(4, 5)]),
    "selu": (rlt.selu, [draw(4, 5)]),
    "softplus": (rlt.softplus, [draw(4, 5)]),
    "clip": (lambda x: rlt.clip(x, -0.5, 0.5), [draw(4, 5)]),
    "tanh": (rlt.tanh, [draw(4, 5)]),
    "softmax": (rlt.softmax, [draw(4, 5)]),
    "softmax-axis": (lambda x: rlt.softmax(x, 1), [draw(3, 4, 2)]),
    "log_softmax": (rlt.log_softmax, [draw(4, 5)]),
    "log_softmax-axis": (lambda x: rlt.log_softmax(x, 0), [draw(4, 5)]),
    "dropout": (lambda x: rlt.dropout(x, 0.4, key=7, counter=3), [draw(4, 5)]),
    "dense": (rlt.dense, [draw(4, 5), draw(5, 3, seed=1), draw(3, seed=2)]),
    "dense-no-bias": (rlt.dense, [draw(4, 5), draw(5, 3, seed=1)]),
    "dense-stacked": (rlt.dense, [draw(2, 3, 5), draw(5, 3, seed=1), draw(3, seed=2)]),
    "dense-vector": (rlt.dense, [draw(5), draw(5, 3, seed=1), draw(3, seed=2)]),
    "linear": (rlt.linear, [draw(4, 5), draw(3, 5, seed=1), draw(3, seed=2)]),
    "linear-no-bias": (rlt.linear, [draw(2, 4, 5), draw(3, 5, seed=1)]),
    "matmul": (rlt.matmul, [draw(4, 5), draw(5, 3, seed=1)]),
    "matmul-ta": (lambda a, b: rlt.matmul(a, b, transpose_a=True), [draw(5, 4), draw(5, 3, seed=1)]),
    "matmul-tb": (lambda a, b: rlt.matmul(a, b, transpose_b=True), [draw(4, 5), draw(3, 5, seed=1)]),
    "matmul-tab": (
        lambda a, b: rlt.matmul(a, b, transpose_a=True, transpose_b=True),
        [draw(2, 5, 4), draw(2, 3, 5, seed=1)],
    ),
    "matmul-broadcast": (rlt.matmul, [draw(2, 1, 4, 5), draw(3, 5, 2, seed=1)]),
    "matmul-broadcast-ta": (
        lambda a, b: rlt.matmul(a, b, transpose_a=True),
        [draw(5, 4), draw(3, 5, 2, seed=1)],
    ),
    "cross-entropy": (lambda x: rlt.softmax_cross_entropy(x, LABELS), [draw(6, 5)]),
    "cross-entropy-all": (
        lambda x: rlt.softmax_cross_entropy(
            x,
            LABELS,
            class_weight=positive(5),
            sample_weight=positive(6),
            label_smoothing=0.2,
            ignore_label=2,
        ),
        [draw(6, 5)],
    ),
    "cross-entropy-sum": (
        lambda x: rlt.softmax_cross_entropy(x, LABELS, normalization="none"),
        [draw(6, 5)],
    ),
    "cross-entropy-axis": (
        lambda x: rlt.softmax_cross_entropy(x, LABELS.reshape(2, 3), axis=1, normalization="batch_size"),
        [draw(2, 5, 3)],
    ),
    "cross-entropy-probabilities": (
        lambda x: rlt.softmax_cross_entropy(
            x, PROBABILITIES, class_weight=positive(5), label_smoothing=0.1, normalization="full"
        ),
        [draw(6, 5)],
    ),
    "sigmoid-cross-entropy": (
        lambda x: rlt.sigmoid_cross_entropy(x, PROBABILITIES, sample_weight=positive(6)),
        [draw(6, 5)],
    ),
    "sigmoid-cross-entropy-ignored": (
        lambda x: rlt.sigmoid_cross_entropy(
            x, (PROBABILITIES > 0.2).double(), ignore_label=1.0, normalization="valid"
        ),
        [draw(6, 5)],
    ),
    "squared-error": (
        lambda p, t: rlt.squared_error(p, t, scale=0.5, sample_weight=positive(6)),
        [draw(6, 5), draw(6, 5, seed=3)],
    ),
    "huber": (
        lambda p, t: rlt.huber(p, t, delta=0.7, sample_weight=positive(6)),
        [draw(6, 5), draw(6, 5, seed=3)],
    ),
    "squared-error-sum": (
        lambda p, t: rlt.squared_error(p, t, normalization="none"),
        [draw(6, 5), draw(6, 5, seed=3)],
    ),
}


@pytest.mark.parametrize("name", CHECKED)
def test_gradcheck(name: str) -> None:
    function, inputs = CHECKED[name]
    assert torch.autograd.gradcheck(function, inputs, eps=1e-6, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("name", CHECKED)
def test_gradcheck_of_a_larger_expression(name: str) -> None:
    """What comes into and goes out of the op is not contiguous, and its result is used twice."""
    function, inputs = CHECKED[name]

    def expression(*given: Tensor) -> Tensor:
        y = function(*(x.T.contiguous().T if x.ndim == 2 else x for x in given))
        return (y * y).T + y.T.sum() if y.ndim == 2 else y * y

    assert torch.autograd.gradcheck(expression, inputs, eps=1e-6, atol=1e-7, rtol=1e-6)


def test_every_op_with_a_gradient_is_here_and_checked() -> None:
    names = {name.removesuffix("_forward") for name in rl.ops.__all__ if name.endswith("_forward")}
    names |= {"matmul", "softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error", "huber"}
    assert names <= set(rlt.__all__)
    checked = {name.split("-")[0] for name in CHECKED} | {"softmax_cross_entropy", "sigmoid_cross_entropy"}
    assert names - checked <= {"squared_error"}
    assert "squared-error" in CHECKED


PYTORCHS: dict[str, Callable[..., Tensor]] = {
    "relu": F.relu,
    "relu-leaky": lambda x: F.leaky_relu(x, 0.1),
    "threshold": lambda x: F.threshold(x, 0.2, -1.0),
    "prelu": F.prelu,
    "elu": lambda x: F.elu(x, 0.7),
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu-tanh": lambda x: F.gelu(x, approximate="tanh"),
    "selu": F.selu,
    "softplus": F.softplus,
    "clip": lambda x: F.hardtanh(x, -0.5, 0.5),
    "tanh": torch.tanh,
    "softmax": lambda x: F.softmax(x, -1),
    "softmax-axis": lambda x: F.softmax(x, 1),
    "log_softmax-axis": lambda x: F.log_softmax(x, 0),
    "dense": lambda x, w, b: x @ w + b,
    "linear": F.linear,
    "linear-no-bias": F.linear,
    "matmul-broadcast": torch.matmul,
    "matmul-tb": lambda a, b: a @ b.T,
    "cross-entropy": lambda x: F.cross_entropy(x, LABELS),
    "cross-entropy-sum": lambda x: F.cross_entropy(x, LABELS, reduction="sum"),
    "squared-error-sum": lambda p, t: F.mse_loss(p, t, reduction="sum"),
}


@pytest.mark.parametrize("name", PYTORCHS)
def test_values_and_gradients_are_pytorchs(name: str) -> None:
    function, inputs = CHECKED[name]
    results = []
    for each in (function, PYTORCHS[name]):
        y = each(*inputs)
        dy = torch.tensor(np.random.default_rng(5).standard_normal(tuple(y.shape)))
        results.append([y.detach(), *torch.autograd.grad(y, inputs, dy)])
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype
        # Sums of at most 30 products of numbers of order 1 to 10.
        torch.testing.assert_close(ours, theirs, rtol=0, atol=64 * EPS * max(1.0, float(theirs.abs().max())))


class Spy:
    """Stands in for an op, and keeps what it got and gave."""

    def __init__(self, op: Callable[..., Any]) -> None:
        self.op, self.given, self.results = op, [], []

    def __call__(self, *args: Any, **settings: Any) -> Any:
        self.given += [a for a in (*args, *settings.values()) if isinstance(a, np.ndarray)]
        result = self.op(*args, **settings)
        self.results += [a for a in (result if isinstance(result, tuple) else (result,)) if a is not None]
        return result


OPS_OF: dict[str, tuple[str, ...]] = {
    "relu": ("relu_forward", "relu_backward"),
    "threshold": ("threshold_forward", "threshold_backward"),
    "prelu": ("prelu_forward", "prelu_backward"),
    "elu": ("elu_forward", "elu_backward"),
    "sigmoid": ("sigmoid_forward", "sigmoid_backward"),
    "silu": ("silu_forward", "silu_backward"),
    "gelu": ("gelu_forward", "gelu_backward"),
    "selu": ("selu_forward", "selu_backward"),
    "softplus": ("softplus_forward", "softplus_backward"),
    "clip": ("clip_forward", "clip_backward"),
    "tanh": ("tanh_forward", "tanh_backward"),
    "softmax": ("softmax_forward", "softmax_backward"),
    "log_softmax": ("log_softmax_forward", "log_softmax_backward"),
    "dropout": ("dropout_forward", "dropout_backward"),
    "dense": ("dense_forward", "dense_backward"),
    "linear": ("dense_forward", "dense_backward"),
    "matmul": ("matmul", "matmul"),
    "cross-entropy": ("softmax_cross_entropy",),
    "sigmoid-cross-entropy": ("sigmoid_cross_entropy",),
    "squared-error": ("squared_error",),
    "huber": ("huber",),
}


@pytest.mark.parametrize("name", OPS_OF)
def test_ops_read_and_write_the_memory_of_the_tensors(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, inputs = CHECKED[name]
    spies = {op: Spy(getattr(rl.ops, op)) for op in OPS_OF[name]}
    for op, spy in spies.items():
        monkeypatch.setattr(rl.ops, op, spy)
    forward, backward = spies[OPS_OF[name][0]], spies[OPS_OF[name][-1]]
    y = function(*inputs)
    for x in inputs:
        assert any(np.shares_memory(x.detach().numpy(), a) for a in forward.given)
    if y.ndim:
        assert y.data_ptr() == forward.results[0].ctypes.data
    dy = torch.ones_like(y)
    count = len(backward.results)
    gradients = torch.autograd.grad(y, inputs, dy)
    if backward is not forward or name == "matmul":
        assert any(np.shares_memory(dy.numpy(), a) for a in backward.given)
        made = {a.ctypes.data for a in backward.results[count:]}
        assert {gradient.data_ptr() for gradient in gradients} <= made


def test_nothing_of_the_inputs_size_is_allocated() -> None:
    """16 MiB go in, 8 KiB come out: NumPy, whose allocations are traced, makes nothing in between."""
    x = torch.ones(2048, 1024, dtype=torch.float64)
    for each in (x, x.T.contiguous().T, x[:, ::2]):
        weight = torch.ones(each.shape[1], 1, dtype=torch.float64, requires_grad=True)
        rlt.dense(each[:4], weight).sum().backward()
        tracemalloc.start()
        rlt.dense(each, weight).sum().backward()
        rlt.linear(each, weight.T).sum().backward()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < x.nbytes / 50


def test_any_strides_give_the_contiguous_result() -> None:
    base = draw(6, 8).detach()
    weight = draw(8, 6, seed=2).detach()
    for x in (base.T, base[::2, ::3], base.flip(0)[:, 1:4], base[:, :1].expand(6, 7)):
        for function in (rlt.relu, rlt.softmax, rlt.tanh):
            assert torch.equal(function(x), function(x.contiguous()))
        w = weight[: x.shape[1]].T
        assert torch.equal(rlt.linear(x, w), rlt.linear(x.contiguous(), w.contiguous()))


@pytest.mark.parametrize("needed", [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)])
@pytest.mark.parametrize("name", ["dense", "linear"])
def test_only_what_requires_grad_gets_a_gradient(name: str, needed: tuple[int, ...]) -> None:
    function, inputs = CHECKED[name]
    given = [x.detach().clone().requires_grad_(bool(need)) for x, need in zip(inputs, needed, strict=True)]
    y = function(*given)
    assert y.requires_grad == any(needed)
    if not any(needed):
        return
    y.sum().backward()
    all_of_them = torch.autograd.grad(function(*inputs).sum(), inputs)
    for x, need, expected in zip(given, needed, all_of_them, strict=True):
        assert (x.grad is not None) == bool(need)
        if need:
            torch.testing.assert_close(x.grad, expected)


def test_gradients_of_several_uses_add_up() -> None:
    x = draw(4, 5)
    (rlt.relu(x).sum() + rlt.relu(x, 0.5).sum()).backward()
    expected = torch.where(x > 0, 2.0, 0.5)
    assert torch.equal(x.grad, expected.double())


@pytest.mark.parametrize("name", CHECKED)
def test_a_second_derivative_is_refused(name: str) -> None:
    function, inputs = CHECKED[name]
    y = function(*inputs)
    gradients = torch.autograd.grad((y * y).sum(), inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        sum((g * g).sum() for g in gradients).backward()


def test_a_change_in_place_before_backward_is_noticed() -> None:
    x = draw(3, 4).detach().clone().requires_grad_()
    hidden = x * 1.0
    y = rlt.relu(hidden)
    hidden += 1.0
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_backward_twice_needs_retain_graph_as_ever() -> None:
    x = draw(6, 5)
    loss = rlt.softmax_cross_entropy(x, LABELS)
    loss.backward(retain_graph=True)
    first = x.grad.clone()
    loss.backward()
    assert torch.equal(x.grad, 2 * first)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_no_rows_give_gradients_of_zero() -> None:
    x, weight, bias = (
        torch.ones(0, 5, requires_grad=True),
        torch.ones(5, 3, requires_grad=True),
        torch.ones(3),
    )
    rlt.relu(rlt.dense(x, weight, bias)).sum().backward()
    assert x.grad.shape == (0, 5)
    assert torch.equal(weight.grad, torch.zeros(5, 3))


def test_float32_stays_float32() -> None:
    x = draw(6, 5).detach().float().requires_grad_()
    for y in (rlt.relu(x), rlt.softmax_cross_entropy(x, LABELS), rlt.dropout(x, 0.5)):
        assert y.dtype == torch.float32
        assert torch.autograd.grad(y.sum(), x)[0].dtype == torch.float32


def test_dropout_follows_pytorchs_seed() -> None:
    x = torch.ones(100, 10)
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(rlt.dropout(x, 0.5))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
    assert rlt.dropout(x, 0.5, training=False) is x
    expected = rl.ops.dropout_forward(x.numpy(), 0.5, key=3, counter=4)
    np.testing.assert_array_equal(rlt.dropout(x, 0.5, key=3, counter=4).numpy(), expected)


X = torch.ones(6, 5)
MISTAKES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "array": (lambda: rlt.relu(np.ones(3)), TypeError, r"relu: x is a ndarray.*pass torch\.as_tensor\(x\)"),
    "integers": (lambda: rlt.tanh(torch.ones(3, dtype=torch.int32)), TypeError, r"x\.to\(torch\.float32\)"),
    "half": (lambda: rlt.tanh(torch.ones(3).half()), TypeError, r"torch\.float16.*x\.to\(torch\.float32\)"),
    "bfloat16": (lambda: rlt.tanh(torch.ones(3).bfloat16()), TypeError, r"bfloat16.*x\.to\(torch\.float32\)"),
    "two-dtypes": (
        lambda: rlt.dense(X.double(), torch.ones(5, 2)),
        TypeError,
        r"dense: weight is torch\.float32, expected torch\.float64.*weight\.to\(torch\.float64\)",
    ),
    "device": (lambda: rlt.relu(torch.ones(3, device="meta")), TypeError, r"x is on meta.*pass x\.cpu\(\)"),
    "sparse": (lambda: rlt.relu(torch.ones(3).to_sparse()), TypeError, r"pass x\.to_dense\(\)"),
    "shape": (lambda: rlt.dense(X, torch.ones(4, 2)), ValueError, "x has 5 columns but weight has 4 rows"),
    "layout": (
        lambda: rlt.linear(X, torch.ones(5, 2)),
        ValueError,
        r"linear: x has 5 columns but weight has 2.*call dense",
    ),
    "label": (
        lambda: rlt.softmax_cross_entropy(X, torch.tensor([0, 1, 2, 3, 4, 5])),
        IndexError,
        r"labels\[5\] is 5",
    ),
    "bool-labels": (
        lambda: rlt.softmax_cross_entropy(X, torch.ones(6, dtype=torch.bool)),
        TypeError,
        "labels has dtype bool",
    ),
    "soft-labels-grad": (
        lambda: rlt.softmax_cross_entropy(X, X.clone().requires_grad_()),
        ValueError,
        r"no gradient for labels.*pass labels\.detach\(\)",
    ),
    "targets-grad": (
        lambda: rlt.sigmoid_cross_entropy(X, X.clone().requires_grad_()),
        ValueError,
        r"no gradient for targets",
    ),
    "weight-grad": (
        lambda: rlt.squared_error(X, X, sample_weight=torch.ones(6, requires_grad=True)),
        ValueError,
        r"no gradient for sample_weight",
    ),
    "rate": (lambda: rlt.dropout(X, 1.0), ValueError, "rate"),
    "normalization": (
        lambda: rlt.squared_error(X, X, normalization="mean"),
        ValueError,
        "normalization is 'mean', expected",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_say_what_to_pass(name: str) -> None:
    call, kind, message = MISTAKES[name]
    with pytest.raises(kind, match=f"(?s){message}"):
        call()
