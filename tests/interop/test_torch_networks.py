"""``nn.Sequential`` to `Sequential` and back: the same outputs, shared memory, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch import nn  # noqa: E402

import relu_layers.interop.torch as rlt  # noqa: E402

EPS = {torch.float32: 2.0**-23, torch.float64: 2.0**-52}


def everything(dtype: Any = torch.float64) -> Any:
    """One of each module that is supported, nested, with and without bias."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(12, 9),
        nn.LeakyReLU(0.2),
        nn.Sequential(
            nn.Linear(9, 8, bias=False), nn.PReLU(8, init=0.3), nn.Sequential(nn.Identity(), nn.ELU(0.8))
        ),
        nn.Dropout(0.3),
        nn.Linear(8, 7),
        nn.Tanh(),
        nn.Linear(7, 6),
        nn.Sigmoid(),
        nn.SiLU(),
        nn.GELU(),
        nn.GELU(approximate="tanh"),
        nn.SELU(),
        nn.Softplus(),
        nn.ReLU6(),
        nn.Hardtanh(-0.5, 0.75),
        nn.Linear(6, 6),
        nn.Threshold(0.1, -0.2),
        nn.PReLU(),
        nn.ReLU(inplace=True),
        nn.Linear(6, 4),
        nn.Softmax(dim=-1),
    ).to(dtype)


def close(ours: Any, theirs: Any, dtype: Any) -> None:
    """Assert agreement to the rounding of a dozen layers with sums of at most 12 products of order 1."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=256 * EPS[dtype] * max(1.0, np.abs(theirs).max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_from_torch_computes_the_same(dtype: Any) -> None:
    net = everything(dtype).eval()
    model = rlt.from_torch(net)
    x = torch.randn(5, 3, 4, dtype=dtype)
    expected = net(x).detach().numpy()
    y = model(x.reshape(5, 12).numpy())
    assert y.dtype == expected.dtype
    close(y, expected, dtype)
    assert [type(layer).__name__ for layer in model.layers[:5]] == ["Dense", "ReLU", "Dense", "PReLU", "ELU"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("share", [True, False])
def test_to_torch_computes_the_same(dtype: Any, share: bool) -> None:
    model = rlt.from_torch(everything(dtype))
    net = rlt.to_torch(model, share=share)
    x = torch.randn(5, 12, dtype=dtype)
    close(model(x.numpy()), net(x).detach().numpy(), dtype)
    assert not net.training


def test_values_are_exact_in_both_directions() -> None:
    net = everything()
    model = rlt.from_torch(net)
    back = rlt.to_torch(model)
    for ours, theirs in zip(back.parameters(), net.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    again = rlt.from_torch(back)
    np.testing.assert_array_equal(again.flat_params, model.flat_params)
    assert repr(again.layers) == repr(model.layers)


def test_a_weight_is_transposed() -> None:
    net = nn.Sequential(nn.Linear(3, 2))
    model = rlt.from_torch(net)
    assert model.params["0.weight"].shape == (3, 2)
    np.testing.assert_array_equal(model.params["0.weight"], net[0].weight.detach().numpy().T)


def test_one_module_alone_becomes_a_model() -> None:
    linear = nn.Linear(3, 2)
    x = torch.randn(4, 3)
    close(rlt.from_torch(linear)(x.numpy()), linear(x).detach().numpy(), torch.float32)


def test_a_module_without_parameters_has_pytorchs_default_dtype() -> None:
    assert rlt.from_torch(nn.ReLU()).dtype == np.float32
    torch.set_default_dtype(torch.float64)
    try:
        assert rlt.from_torch(nn.Sequential(nn.ReLU(), nn.ReLU())).dtype == np.float64
    finally:
        torch.set_default_dtype(torch.float32)


# --- memory ---


def lies_in(tensor: Any, array: Any) -> bool:
    return bool(np.shares_memory(tensor.detach().numpy(), array))


def test_to_torch_shares_every_parameter() -> None:
    model = rlt.from_torch(everything())
    net = rlt.to_torch(model)
    assert {key.replace("slope", "weight") for key in model.params} == set(net.state_dict())
    for parameter in net.parameters():
        assert parameter.requires_grad
        assert parameter.is_leaf
        assert lies_in(parameter, model.flat_params)
    apart = rlt.to_torch(model, share=False)
    for parameter in apart.parameters():
        assert parameter.is_contiguous()
        assert not lies_in(parameter, model.flat_params)


def pairs(model: Any, net: Any) -> Any:
    """Parameters of both sides in their order, the weights turned round."""
    for (key, ours), theirs in zip(model.params.items(), net.parameters(), strict=True):
        theirs = theirs.detach().numpy()
        yield ours, theirs.T if key.endswith("weight") else theirs


def test_training_one_side_trains_the_other() -> None:
    model = rl.mlp([4, 8, 3], negative_slope=0.1, rng=0)
    net = rlt.to_torch(model)
    x, labels = torch.randn(16, 4), torch.randint(0, 3, (16,))
    model(x.numpy())
    model(x.numpy())  # a captured inference reads the same memory
    before = model.flat_params.copy()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    nn.functional.cross_entropy(net(x), labels).backward()
    optimizer.step()
    assert not np.array_equal(model.flat_params, before)
    close(model(x.numpy()), net(x).detach().numpy(), torch.float32)

    trainer = rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.Adam(0.01))
    before = net(x).detach().clone()
    trainer.fit(x, labels, epochs=30, batch_size=4)
    assert not torch.equal(net(x), before)
    for ours, theirs in pairs(model, net):
        np.testing.assert_array_equal(ours, theirs)
    close(model(x.numpy()), net(x).detach().numpy(), torch.float32)


def test_from_torch_copies_unless_asked() -> None:
    net = everything()
    before = copy.deepcopy(net.state_dict())
    addresses = [parameter.data_ptr() for parameter in net.parameters()]
    model = rlt.from_torch(net)
    model.flat_params[...] = 0.0
    assert all(torch.equal(net.state_dict()[key], value) for key, value in before.items())
    assert [parameter.data_ptr() for parameter in net.parameters()] == addresses


def test_from_torch_can_move_the_modules_parameters_into_the_model() -> None:
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    parameters = list(net.parameters())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    x, labels = torch.randn(8, 4), torch.randint(0, 3, (8,))
    model = rlt.from_torch(net, share=True)
    assert all(a is b for a, b in zip(net.parameters(), parameters, strict=True))
    assert all(lies_in(parameter, model.flat_params) for parameter in parameters)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), labels).backward()
        optimizer.step()
        close(model(x.numpy()), net(x).detach().numpy(), torch.float32)
    rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.SGD(0.1)).step(x, labels)
    close(model(x.numpy()), net(x).detach().numpy(), torch.float32)


# --- what is refused ---


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 3), nn.Linear(3, 1)

    def forward(self, x: Any) -> Any:
        return self.second(torch.relu(self.first(x)))


class Quick(nn.Module):
    """The network of PyTorch's quickstart."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.stack = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))

    def forward(self, x: Any) -> Any:
        return self.stack(self.flatten(x))


class Viewed(nn.Module):
    """Layers by name, functions between them, nested."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.drop, self.inner = nn.Linear(6, 4), nn.Dropout(0.5), Own()
        self.fc2 = nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        x = x.view(x.size(0), -1)
        x = nn.functional.leaky_relu(self.fc1(x), 0.2)
        x = self.drop(nn.functional.dropout(x, 0.25, training=self.training))
        x = self.inner(torch.tanh(self.fc2(x)).sigmoid())
        return nn.functional.log_softmax(x, dim=1)


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)

    def forward(self, x: Any) -> Any:
        return x + self.fc(x)


class Choosing(Skip):
    def forward(self, x: Any) -> Any:
        return self.fc(x) if x.sum() > 0 else x


class Cosine(Skip):
    def forward(self, x: Any) -> Any:
        return torch.cos(self.fc(x))


class Dropping(Skip):
    def forward(self, x: Any) -> Any:
        return nn.functional.dropout(self.fc(x), 0.5)


@pytest.mark.parametrize("kind", [Own, Quick, Viewed])
def test_a_class_with_its_own_forward_is_traced(kind: Any) -> None:
    torch.manual_seed(0)
    module = kind().eval()
    features = 2 if kind is Own else 6
    x = torch.randn(7, features)
    given = x.reshape(7, 2, 3) if kind is not Own else x
    for share in (False, True):
        model = rlt.from_torch(module, share=share)
        np.testing.assert_allclose(model(x.numpy()), module(given).detach().numpy(), rtol=1e-5, atol=1e-6)
    module.double()
    assert rlt.from_torch(module).dtype == np.float64


class Squared(nn.Linear):
    def forward(self, x: Any) -> Any:
        return super().forward(x) ** 2


class Named(nn.Sequential):
    """A Sequential with a name and nothing else, as people write them."""


def test_log_softmax_goes_both_ways() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.LogSoftmax(dim=-1)).double()
    model = rlt.from_torch(net)
    assert isinstance(model.layers[-1], rl.LogSoftmax)
    x = torch.randn(5, 3, dtype=torch.float64)
    close(model(x.numpy()), net(x).detach().numpy(), torch.float64)
    back = rlt.to_torch(model)
    assert isinstance(back[1], nn.LogSoftmax)
    close(back(x).detach().numpy(), net(x).detach().numpy(), torch.float64)


def hooked() -> Any:
    net = nn.Sequential(nn.Linear(2, 2))
    net[0].register_forward_hook(lambda *_: None)
    return net


def tied() -> Any:
    linear = nn.Linear(2, 2)
    return nn.Sequential(linear, nn.ReLU(), linear)


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "conv": (
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3)),
        ValueError,
        r"module 0 \(Conv2d.*supported are Linear, ReLU",
    ),
    "celu": (
        lambda: nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU(), nn.CELU())),
        ValueError,
        r"from_torch: module 1\.1 \(CELU.*nn\.ELU and nn\.LeakyReLU",
    ),
    "log-softmax-axis": (lambda: nn.Sequential(nn.LogSoftmax()), ValueError, r"nn\.LogSoftmax\(dim=-1\)"),
    "batch-norm": (lambda: nn.Sequential(nn.BatchNorm1d(3)), ValueError, "fuse_linear_bn_eval"),
    "dropout1d": (lambda: nn.Sequential(nn.Dropout1d(0.1)), ValueError, r"nearest.*nn\.Dropout"),
    "near": (lambda: nn.Sequential(nn.LocalResponseNorm(2)), ValueError, "supported are"),
    "own-forward": (
        lambda: nn.Sequential(Squared(2, 2)),
        ValueError,
        r"forward of its own.*nn\.Linear itself",
    ),
    "skip": (Skip, ValueError, r"only layers in a row are read; .*nn\.Sequential"),
    "own-choice": (Choosing, ValueError, r"torch\.fx cannot trace .*nn\.Sequential"),
    "own-function": (Cosine, ValueError, r"function cos in .* has no counterpart here"),
    "drops-always": (Dropping, ValueError, "drops in evaluation too"),
    "softmax-axis": (lambda: nn.Sequential(nn.Softmax()), ValueError, r"nn\.Softmax\(dim=-1\)"),
    "dropout-all": (lambda: nn.Sequential(nn.Dropout(1.0)), ValueError, "expected p below 1"),
    "flatten": (lambda: nn.Sequential(nn.Flatten(0)), ValueError, r"nearest.*nn\.Flatten\(\)"),
    "elu": (lambda: nn.Sequential(nn.ELU(-1.0)), ValueError, "expected at least 0"),
    "hooks": (hooked, ValueError, r"module 0 .*forward hooks"),
    "parametrized": (
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))),
        ValueError,
        "remove_parametrizations",
    ),
    "tied": (tied, ValueError, r"weight of module 2 .* is also weight of module 0 .*deepcopy"),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(3)), ValueError, "run the module on one batch"),
    "empty": (nn.Sequential, ValueError, "computes nothing"),
    "identity": (lambda: nn.Sequential(nn.Identity(), nn.Flatten()), ValueError, "computes nothing"),
    "half": (lambda: nn.Sequential(nn.Linear(2, 2).half()), TypeError, r"torch\.float16.*module\.float\(\)"),
    "bfloat16": (lambda: nn.Sequential(nn.Linear(2, 2).bfloat16()), TypeError, r"module\.float\(\)"),
    "two-dtypes": (
        lambda: nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double()),
        TypeError,
        r"1\.weight is torch\.float64 but 0\.weight is torch\.float32",
    ),
    "meta": (lambda: nn.Sequential(nn.Linear(2, 2, device="meta")), TypeError, "on meta.*give it values"),
    "class": (lambda: nn.Linear, TypeError, r"expected a torch\.nn\.Module"),
    "sizes": (lambda: nn.Sequential(nn.Linear(2, 3), nn.Linear(4, 1)), ValueError, "takes 4 features but"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore:.*Lazy")
def test_what_has_no_counterpart_is_named(name: str) -> None:
    make, kind, message = REFUSED[name]
    with pytest.raises(kind, match=f"(?s){message}"):
        rlt.from_torch(make())


class OnCuda(torch.Tensor):
    """A tensor that says it is on a CUDA device, for machines without one."""

    @property
    def device(self) -> Any:
        return torch.device("cuda", 0)


def test_a_cuda_tensor_says_cpu() -> None:
    away = torch.ones(2, 2).as_subclass(OnCuda)
    net = nn.Sequential(nn.ReLU(), nn.Linear(2, 2))
    net[1].weight = nn.Parameter(away)
    with pytest.raises(
        TypeError, match=r"weight of module 1 .* is on cuda:0, expected the CPU: pass module\.cpu\(\)"
    ):
        rlt.from_torch(net)
    for call in (rlt.relu, module(np.float32)):
        with pytest.raises(TypeError, match=r"x is on cuda:0, expected a tensor on the CPU: pass x\.cpu\(\)"):
            call(away)


def test_a_model_that_is_one_already_is_said_to_be() -> None:
    with pytest.raises(ValueError, match="holds a model of this package already"):
        rlt.from_torch(module())


def test_a_sequential_with_a_name_is_a_sequential() -> None:
    assert len(rlt.from_torch(Named(nn.Linear(2, 3), nn.ReLU())).layers) == 2


def test_the_same_relu_in_two_places_is_two_layers() -> None:
    relu = nn.ReLU()
    net = nn.Sequential(nn.Linear(2, 3), relu, nn.Linear(3, 2), relu)
    assert len(rlt.from_torch(net).layers) == 4


class Double:
    """A user's own layer."""

    def __init__(self) -> None:
        self.params: dict[str, Any] = {"factor": np.array([2.0], np.float32)}
        self.grads: dict[str, Any] = {"factor": np.zeros(1, np.float32)}

    def forward(self, x: Any, training: bool = False) -> Any:
        self.x = x
        return x * self.params["factor"]

    def backward(self, dy: Any) -> Any:
        self.grads["factor"][...] = (dy * self.x).sum()
        return dy * self.params["factor"]


def test_to_torch_names_what_it_cannot_convert() -> None:
    with pytest.raises(ValueError, match=r"layer 1, .*Double.*Module\(model\)"):
        rlt.to_torch(rl.Sequential(rl.Dense(2, 2), Double()))
    with pytest.raises(TypeError, match="expected a Sequential"):
        rlt.to_torch(nn.Linear(2, 2))


# --- a model as a module ---


def module(dtype: Any = np.float64, *, dropout: bool = False) -> Any:
    layers = [rl.Dense(4, 6), rl.ReLU(0.1), rl.Dense(6, 5, bias=False), rl.PReLU(5), rl.Dense(5, 3)]
    if dropout:
        layers.insert(2, rl.Dropout(0.4))
    return rlt.Module(rl.Sequential(*layers, dtype=dtype, rng=0))


def test_a_module_has_the_gradients_of_its_twin() -> None:
    ours = module()
    theirs = rlt.to_torch(ours.model, share=False)
    assert set(ours.state_dict()) == set(theirs.state_dict())
    for _ in range(2):
        x = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
        labels = torch.randint(0, 3, (7,))
        gradients = []
        for net in (ours, theirs):
            net.zero_grad()
            x.grad = None
            nn.functional.cross_entropy(net(x), labels).backward()
            gradients.append([x.grad, *(parameter.grad for parameter in net.parameters())])
        for a, b in zip(*gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=256 * EPS[torch.float64])


@pytest.mark.parametrize("training", [True, False])
def test_a_module_passes_gradcheck(training: bool) -> None:
    net = module().train(training)
    x = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: net(x), (x, *net.parameters()), atol=1e-8)


def test_a_module_lies_in_its_models_memory() -> None:
    net = module()
    for parameter in net.parameters():
        assert lies_in(parameter, net.model.flat_params)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    x = torch.randn(6, 4, dtype=torch.float64)
    net(x).square().sum().backward()
    before = net.model.flat_params.copy()
    optimizer.step()
    assert not np.array_equal(net.model.flat_params, before)
    np.testing.assert_array_equal(net(x).detach().numpy(), net.model(x.numpy()))


def test_gradients_add_up_and_stay_when_the_model_goes_on() -> None:
    net = module()
    x = torch.randn(6, 4, dtype=torch.float64)
    net(x).sum().backward()
    first = [parameter.grad.clone() for parameter in net.parameters()]
    net(2 * x).sum().backward()
    second = [parameter.grad - before for parameter, before in zip(net.parameters(), first, strict=True)]
    net.zero_grad()
    net(2 * x).sum().backward()
    for parameter, alone in zip(net.parameters(), second, strict=True):
        torch.testing.assert_close(parameter.grad, alone)
    kept = [parameter.grad.clone() for parameter in net.parameters()]
    net.model.flat_grads[...] = 7.0
    assert all(torch.equal(p.grad, k) for p, k in zip(net.parameters(), kept, strict=True))


def test_frozen_parameters_and_no_grad() -> None:
    net = module()
    x = torch.randn(6, 4, dtype=torch.float64)
    first, *others = net.parameters()
    first.requires_grad_(False)
    net(x).sum().backward()
    assert first.grad is None
    assert all(parameter.grad is not None for parameter in others)
    with torch.no_grad():
        assert not net(x).requires_grad
    net.requires_grad_(False)
    assert not net(x).requires_grad


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("dropout", [False, True])
def test_backward_again_and_later(mode: str, dropout: bool) -> None:
    """Two forwards, then their backwards, each twice and in either order, as autograd allows."""
    net = getattr(module(dropout=dropout), mode)()
    inputs = [torch.randn(6, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    for layer in net.dropouts:
        layer.load_state({"key": 5, "counter": 0})
    expected = [torch.autograd.grad(net(x).square().sum(), [x, *net.parameters()]) for x in inputs]
    for layer in net.dropouts:
        layer.load_state({"key": 5, "counter": 0})
    values = [net(x).square().sum() for x in inputs]
    net.model(inputs[0].detach().numpy())
    net.model.forward(inputs[1].detach().numpy().copy(), training=True)
    states = [layer.state() for layer in net.dropouts]
    for index in (0, 1, 1, 0):
        got = torch.autograd.grad(values[index], [inputs[index], *net.parameters()], retain_graph=True)
        assert all(torch.equal(a, b) for a, b in zip(got, expected[index], strict=True))
    assert [layer.state() for layer in net.dropouts] == states
    assert all(layer.rate == 0.4 for layer in net.dropouts)


def test_what_backward_cannot_do_is_an_error() -> None:
    net = module()
    x = torch.randn(6, 4, dtype=torch.float64)
    first = net(x)
    with torch.no_grad():
        next(net.parameters()).add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        first.sum().backward()
    y = net(x).square().sum()
    gradients = torch.autograd.grad(y, list(net.parameters()), create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradients[0].sum().backward()


def test_a_users_layer_cannot_be_run_again() -> None:
    net = rlt.Module(rl.Sequential(rl.Dense(2, 2), Double(), rng=0))
    x = torch.ones(3, 2)
    y = net(x)
    y.sum().backward(retain_graph=True)
    for late in (y, net.eval()(x)):
        with pytest.raises(RuntimeError, match="layers of your own"):
            late.sum().backward()


def test_dropout_follows_the_mode() -> None:
    net = module(dropout=True)
    x = torch.ones(50, 4, dtype=torch.float64)
    with torch.no_grad():
        assert not torch.equal(net(x), net(x))
        assert torch.equal(net.eval()(x), net(x))
    twin = rlt.to_torch(net.model)
    close(twin(x).detach().numpy(), net.model(x.numpy()), torch.float64)
    gradients = [torch.autograd.grad(each(x).square().sum(), list(each.parameters())) for each in (net, twin)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_what_moves_the_parameters_away_is_noticed() -> None:
    net = module()
    with pytest.raises(TypeError, match=r"x is torch\.float32.*x\.to\(torch\.float64\)"):
        net(torch.ones(2, 4))
    net.float()
    with pytest.raises(RuntimeError, match=r"Module\(model\.astype"):
        net(torch.ones(2, 4, dtype=torch.float64))
    with pytest.raises(TypeError, match="expected a Sequential"):
        rlt.Module(nn.Linear(2, 2))


def test_copies_have_memory_of_their_own(tmp_path: Any) -> None:
    net = module(dropout=True)
    next(net.parameters()).requires_grad_(False)
    net.eval()
    torch.save(net, tmp_path / "net.pt")
    x = torch.randn(6, 4, dtype=torch.float64)
    for twin in (copy.deepcopy(net), torch.load(tmp_path / "net.pt", weights_only=False)):
        assert not twin.training
        assert [p.requires_grad for p in twin.parameters()] == [p.requires_grad for p in net.parameters()]
        assert torch.equal(twin(x), net(x))
        assert not np.shares_memory(twin.model.flat_params, net.model.flat_params)
        assert all(lies_in(parameter, twin.model.flat_params) for parameter in twin.parameters())


def test_state_dicts_go_round() -> None:
    ours, other = module(), module()
    other.model.flat_params[...] = 0.5
    rlt.to_torch(other.model).load_state_dict(ours.state_dict())
    np.testing.assert_array_equal(other.model.flat_params, ours.model.flat_params)
    other.model.flat_params[...] = 0.5
    other.load_state_dict(ours.state_dict())
    np.testing.assert_array_equal(other.model.flat_params, ours.model.flat_params)


def test_a_users_own_layer_goes_along() -> None:
    net = rlt.Module(rl.Sequential(rl.Dense(2, 2), Double(), rng=0))
    assert set(net.state_dict()) == {"0.weight", "0.bias", "1.factor"}
    net(torch.ones(3, 2)).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_a_module_is_a_part_of_others() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), module(np.float32), nn.LogSoftmax(-1))
    nn.functional.nll_loss(net(torch.randn(5, 3)), torch.tensor([0, 1, 2, 0, 1])).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    assert "Dense(4, 6)" in repr(net)
