"""Networks that PyTorch exports, by its older exporter and, where onnxscript is installed, by its newer one."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

pytest.importorskip("onnx", reason="needs onnx")
torch = pytest.importorskip("torch", reason="needs PyTorch")
nn = torch.nn

NETWORKS = {
    "mlp": lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)),
    "image": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(6, 4), nn.LeakyReLU(0.1), nn.Linear(4, 2, bias=False)
    ),
    "activations": lambda: nn.Sequential(
        nn.Linear(6, 5), nn.PReLU(), nn.ELU(0.5), nn.Tanh(), nn.Linear(5, 4), nn.PReLU(4), nn.Sigmoid()
    ),
    "dropout": lambda: nn.Sequential(
        nn.Dropout(0.3), nn.Linear(6, 4), nn.ReLU(), nn.Dropout(0.5), nn.Identity()
    ),
    "smooth": lambda: nn.Sequential(
        nn.Linear(6, 5),
        nn.GELU(),
        nn.Linear(5, 4),
        nn.GELU(approximate="tanh"),
        nn.SiLU(),
        nn.Softplus(),
        nn.SELU(),
    ),
    "clipped": lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU6(), nn.Linear(5, 4), nn.Hardtanh(-0.5, 0.75)),
    "normalised": lambda: nn.Sequential(
        nn.BatchNorm1d(6), nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.BatchNorm1d(5), nn.Linear(5, 3)
    ),
    "softmax": lambda: nn.Sequential(nn.Linear(6, 4), nn.Softmax(dim=1)),
    "log softmax": lambda: nn.Sequential(nn.Linear(6, 4), nn.LogSoftmax(dim=-1)),
}


def export(network: Any, x: Any, path: Path, *, newer: bool, opset: int) -> None:
    options: dict[str, Any] = (
        {"dynamic_shapes": ({0: "rows"},)} if newer else {"dynamic_axes": {"x": {0: "rows"}}}
    )
    with warnings.catch_warnings(action="ignore"):  # the exporters' own
        torch.onnx.export(
            network,
            (x,),
            path,
            dynamo=newer,
            input_names=["x"],
            output_names=["y"],
            opset_version=opset,
            **options,
        )


@pytest.mark.parametrize(("newer", "opset"), [(False, 9), (False, 12), (False, 13), (False, 17), (True, 18)])
@pytest.mark.parametrize("name", NETWORKS)
def test_an_exported_network_computes_the_same(name: str, newer: bool, opset: int, tmp_path: Path) -> None:
    if newer and find_spec("onnxscript") is None:
        pytest.skip("the newer exporter needs onnxscript")
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    shape = (4, 2, 3) if name == "image" else (4, 6)
    x = torch.randn(shape)
    export(network, x, tmp_path / "net.onnx", newer=newer, opset=opset)
    loaded = rl.load(tmp_path / "net.onnx")
    with torch.no_grad():
        expected = network(x).numpy()
    np.testing.assert_allclose(loaded(x.numpy().reshape(4, 6)), expected, rtol=2e-6, atol=1e-6)


def test_float64(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double().eval()
    x = torch.randn(4, 6, dtype=torch.float64)
    export(network, x, tmp_path / "net.onnx", newer=False, opset=17)
    with torch.no_grad():
        np.testing.assert_allclose(rl.load(tmp_path / "net.onnx")(x.numpy()), network(x).numpy(), rtol=1e-13)


def test_a_layer_that_is_none_of_ours_is_named(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(6, 8), nn.Hardswish()).eval()
    export(network, torch.randn(4, 6), tmp_path / "net.onnx", newer=False, opset=17)
    with pytest.raises(ValueError, match=r"node 1 '.*HardSwish' .HardSwish. is not supported"):
        rl.load(tmp_path / "net.onnx")
