"""Random networks through every conversion: outputs and gradients are PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import relu_layers as rl

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch import nn  # noqa: E402

import relu_layers.interop.torch as rlt  # noqa: E402

EPS = {torch.float32: 2.0**-23, torch.float64: 2.0**-52}


def random_network(rng: np.random.Generator, dtype: Any) -> tuple[Any, int]:
    """Return a network of 2 to 10 modules, nested at random, and the number of its inputs."""
    inputs = features = int(rng.integers(1, 9))
    modules: list[Any] = [nn.Linear(features, features)]
    for _ in range(rng.integers(1, 10)):
        number = float(rng.uniform(0.0, 0.9))
        kind = rng.integers(14)
        if kind < 3:
            width = int(rng.integers(1, 9))
            modules.append(nn.Linear(features, width, bias=bool(rng.integers(2))))
            features = width
        else:
            modules.append(
                [
                    nn.ReLU(),
                    nn.LeakyReLU(number - 0.3),
                    nn.PReLU(features, number),
                    nn.PReLU(1, number),
                    nn.ELU(number),
                    nn.Sigmoid(),
                    nn.SiLU(),
                    nn.GELU(),
                    nn.Tanh(),
                    nn.Threshold(number - 0.5, -number),
                    nn.Softmax(-1),
                ][kind - 3]
            )
        for extra in (nn.Dropout(number), nn.Identity()):
            if rng.random() < 0.1:
                modules.append(extra)
        if rng.random() < 0.2:
            modules = [nn.Sequential(*modules)]
    return nn.Sequential(*modules).to(dtype).eval(), inputs


def gradients(net: Any, x: Any, dy: Any) -> list[Any]:
    x = x.clone().requires_grad_()
    y = net(x)
    return [y.detach(), *torch.autograd.grad(y, [x, *net.parameters()], dy)]


def compare(seed: int) -> None:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    dtype = torch.float64 if rng.integers(2) else torch.float32
    net, inputs = random_network(rng, dtype)
    x = torch.randn(int(rng.integers(1, 6)), inputs, dtype=dtype)
    with torch.no_grad():
        dy = torch.randn_like(net(x.clone()))
    expected = gradients(net, x, dy)
    # A unit near its kink may be on either side of it: where it is, nothing can be compared.
    nudged = gradients(net, x + 64 * EPS[dtype] * torch.randn_like(x), dy)
    if any(
        (a - b).abs().max() > 1e4 * EPS[dtype] for a, b in zip(expected, nudged, strict=True) if a.numel()
    ):
        return
    model = rlt.from_torch(net)
    twin = rlt.to_torch(model, share=bool(rng.integers(2)))
    whole = rlt.Module(model).eval()
    for each in (twin, whole):
        for ours, theirs in zip(gradients(each, x, dy), expected, strict=True):
            # Ten layers of sums of at most 8 products, of numbers of order 1 to 10.
            scale = max(1.0, float(theirs.abs().max()))
            torch.testing.assert_close(ours, theirs, rtol=0, atol=512 * EPS[dtype] * scale)
    np.testing.assert_array_equal(rlt.from_torch(twin).flat_params, model.flat_params)
    assert set(whole.state_dict()) == set(twin.state_dict())


@pytest.mark.parametrize("seed", range(40))
def test_random_networks(seed: int) -> None:
    compare(seed)


@pytest.mark.slow
def test_many_random_networks() -> None:
    for seed in range(1000, 3000):
        compare(seed)


def test_most_random_networks_are_compared() -> None:
    """The early return above is the exception."""
    counted = 0
    original = rlt.from_torch

    def counting(*args: Any, **settings: Any) -> rl.Sequential:
        nonlocal counted
        counted += 1
        return original(*args, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rlt, "from_torch", counting)
        for seed in range(30):
            compare(seed)
    assert counted >= 2 * 25
