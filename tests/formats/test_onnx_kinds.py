"""Files of the kinds that are public: nine of ten are read and agree with ONNX Runtime, the others are named."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

onnx = pytest.importorskip("onnx", reason="needs onnx")
runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")


def kinds() -> Any:
    """Return the module beside this one."""
    spec = importlib.util.spec_from_file_location("onnx_kinds", Path(__file__).with_name("onnx_kinds.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MODULE = kinds()
KINDS = MODULE.KINDS
READ = [name for name, kind in KINDS.items() if not kind.refused]
REFUSED = [name for name, kind in KINDS.items() if kind.refused]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "onnx.md"


def saved(kind: Any, folder: Path) -> Path:
    path = folder / "net.onnx"
    outside = (
        {"save_as_external_data": True, "location": "net.onnx.data", "size_threshold": 0}
        if kind.external
        else {}
    )
    onnx.save(MODULE.model_of(kind), path, **outside)
    assert not kind.external or (folder / "net.onnx.data").stat().st_size > 50
    return path


def rows_of(kind: Any, path: Path) -> tuple[Any, list[Any]]:
    """Return inputs and what ONNX Runtime makes of them."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    types = {"tensor(double)": np.float64, "tensor(float16)": np.float16}
    shape = [length if isinstance(length, int) else 6 for length in source.shape]
    x = np.random.default_rng(1).standard_normal(shape).astype(types.get(source.type, np.float32))
    return x, session.run(None, {source.name: x})


@pytest.mark.parametrize("name", READ)
def test_it_loads_and_agrees(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    path = saved(kind, tmp_path)
    model = rl.load(path, output=kind.output)
    x, outputs = rows_of(kind, path)
    rows = x.reshape(1, -1) if kind.columns else x.reshape(len(x), -1)
    y = model(rows.astype(model.dtype))
    wanted = next(each for each in outputs if each.dtype.kind == "f" and each.size == y.size)
    # Halves are computed with eleven binary digits there.
    tolerance = 4e-3 if wanted.dtype == np.float16 else 1e-5
    np.testing.assert_allclose(y, wanted.reshape(y.shape), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_named_and_on_the_page(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    with pytest.raises(ValueError, match=kind.refused):
        rl.load(saved(kind, tmp_path))
    part = PAGE.read_text(encoding="utf-8").split("### What stays refused", 1)[1]
    words = {
        "Add": "skip connections",
        "2 inputs": "two inputs",
        "Sub": "differs from row to row",
        "Greater": "branches",
    }
    assert words.get(kind.refused, kind.refused) in part


def test_nine_of_ten_are_read() -> None:
    assert len(KINDS) >= 70
    assert len(READ) >= 60
    assert len(READ) >= 0.85 * len(KINDS)


# --- damage ---


def computes(model: Any) -> None:
    """Assert that a model takes rows and gives rows."""
    features = next((layer.in_features for layer in model.layers if getattr(layer, "in_features", None)), 4)
    with np.errstate(all="ignore"):
        y = model(np.ones((2, features), model.dtype))
    assert y.shape[0] == 2


def seeds() -> list[bytes]:
    return [MODULE.model_of(kind).SerializeToString() for kind in KINDS.values()]


@pytest.mark.parametrize("count", [300, pytest.param(20_000, marks=pytest.mark.slow)])
def test_damaged_files_of_every_kind_are_refused_or_read(count: int, damage: Any, tmp_path: Path) -> None:
    variants = damage.mutations(seeds(), count, seed=count)
    refused, accepted = damage.read_all(variants, tmp_path / "net.onnx", rl.load, computes)
    assert refused > count // 4
    assert accepted > 0


ODD_SHAPES = ((), (0,), (1,), (3,), (1, 1), (1, 3), (3, 1), (4, 1), (5, 3), (1, 1, 1, 1), (2, 1, 2), (0, 4))


@pytest.mark.parametrize("rounds", [3, pytest.param(200, marks=pytest.mark.slow)])
def test_constants_of_odd_shapes_are_refused_or_give_what_the_runtime_gives(
    rounds: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(rounds)
    accepted = 0
    for name in KINDS:
        for _ in range(rounds):
            kind = KINDS[name]._replace(external=False)
            model = MODULE.model_of(kind)
            if not model.graph.initializer:
                continue
            tensor = model.graph.initializer[rng.integers(len(model.graph.initializer))]
            values = onnx.numpy_helper.to_array(tensor)
            shape = ODD_SHAPES[rng.integers(len(ODD_SHAPES))] if rng.random() < 0.8 else values.shape[::-1]
            if values.dtype.kind == "f":
                changed = rng.uniform(0.5, 2, shape).astype(values.dtype)
            elif values.dtype.kind == "i":
                changed = rng.integers(-2, 7, shape)
            else:
                continue
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.asarray(changed), tensor.name))
            path = tmp_path / "net.onnx"
            onnx.save(model, path)
            try:
                loaded = rl.load(path, output=kind.output)
            except ValueError:
                continue
            computes(loaded)
            accepted += agrees(loaded, kind, path, f"{name}: {tensor.name} of shape {shape}")
    assert accepted > rounds


def agrees(loaded: Any, kind: Any, path: Path, what: str) -> bool:
    """Assert that a model and the runtime give the same, where the runtime takes the file; return whether it does."""
    try:
        x, outputs = rows_of(kind, path)
    except Exception:
        return False
    rows = x.reshape(1, -1) if kind.columns else x.reshape(len(x), -1)
    y = loaded(rows.astype(loaded.dtype))
    found = [each for each in outputs if each.dtype.kind == "f" and each.size == y.size]
    assert found, what
    wanted = found[0].reshape(y.shape)
    tolerance = (4e-3 if found[0].dtype == np.float16 else 2e-5) * max(1.0, float(np.abs(wanted).max()))
    np.testing.assert_allclose(y, wanted, rtol=0, atol=tolerance, err_msg=what)
    return True
