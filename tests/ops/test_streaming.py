"""Outputs too large for the caches are written past them: the same bits, at every size and place."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers import _core

THRESHOLD = 1 << 12  # bytes of all arrays together, instead of the size of the last-level cache

OPS: dict[str, Callable[..., Any]] = {
    "relu_forward": lambda x, dy, out: rl.ops.relu_forward(x, 0.01, out=out),
    "relu_forward, slope 0": lambda x, dy, out: rl.ops.relu_forward(x, out=out),
    "relu_backward": lambda x, dy, out: rl.ops.relu_backward(x, dy, 0.01, out=out),
    "relu_backward, slope 0": lambda x, dy, out: rl.ops.relu_backward(x, dy, out=out),
    "threshold_forward": lambda x, dy, out: rl.ops.threshold_forward(x, 0.5, 0.25, out=out),
    "threshold_backward": lambda x, dy, out: rl.ops.threshold_backward(x, dy, 0.5, out=out),
    "elu_forward": lambda x, dy, out: rl.ops.elu_forward(x, 0.7, out=out),
    "elu_backward": lambda x, dy, out: rl.ops.elu_backward(x, dy, 0.7, out=out),
    "sigmoid_forward": lambda x, dy, out: rl.ops.sigmoid_forward(x, out=out),
    "sigmoid_backward": lambda x, dy, out: rl.ops.sigmoid_backward(x, dy, out=out),
    "silu_forward": lambda x, dy, out: rl.ops.silu_forward(x, out=out),
    "silu_backward": lambda x, dy, out: rl.ops.silu_backward(x, dy, out=out),
    "gelu_forward": lambda x, dy, out: rl.ops.gelu_forward(x, out=out),
    "gelu_backward": lambda x, dy, out: rl.ops.gelu_backward(x, dy, out=out),
    "gelu_forward, tanh": lambda x, dy, out: rl.ops.gelu_forward(x, "tanh", out=out),
    "gelu_backward, tanh": lambda x, dy, out: rl.ops.gelu_backward(x, dy, "tanh", out=out),
    "selu_forward": lambda x, dy, out: rl.ops.selu_forward(x, out=out),
    "selu_backward": lambda x, dy, out: rl.ops.selu_backward(x, dy, out=out),
    "softplus_forward": lambda x, dy, out: rl.ops.softplus_forward(x, out=out),
    "softplus_backward": lambda x, dy, out: rl.ops.softplus_backward(x, dy, out=out),
    "clip_forward": lambda x, dy, out: rl.ops.clip_forward(x, out=out),
    "clip_backward": lambda x, dy, out: rl.ops.clip_backward(x, dy, out=out),
    "tanh_forward": lambda x, dy, out: rl.ops.tanh_forward(x, out=out),
    "tanh_backward": lambda x, dy, out: rl.ops.tanh_backward(x, dy, out=out),
}


def outputs(dtype: Any) -> Iterator[tuple[str, Any]]:
    """Results of every op that can stream, at sizes on both sides of the threshold, at places of every alignment."""
    made = np.random.default_rng(5)
    lanes = 64 // np.dtype(dtype).itemsize
    edges = [THRESHOLD // np.dtype(dtype).itemsize // arrays for arrays in (2, 3)]
    sizes = [*(edge + step for edge in edges for step in (-1, 0, 1)), 2 * edges[0], 10_000, 10_007]
    for size in sizes:
        for place in (0, 1, lanes // 2 + 1, lanes - 1):
            x, dy = made.standard_normal((2, size + lanes)).astype(dtype)[:, place : place + size]
            x[:3] = 0.0, -0.0, np.nan
            target = np.full(size + 2 * lanes, 7.0, dtype)
            out = target[lanes - place : lanes - place + size]
            for name, op in OPS.items():
                op(x, dy, out)
                yield f"{name} of {size} at {place}", target.copy()
            out[:] = x
            rl.ops.relu_forward(out, 0.01, out=out)
            yield f"relu_forward in place of {size} at {place}", target.copy()
            out[:] = dy
            rl.ops.relu_backward(x, out, 0.01, out=out)
            yield f"relu_backward in place of {size} at {place}", target.copy()
    wide = made.standard_normal((40, 90)).astype(dtype)
    yield "rows apart", rl.ops.relu_forward(wide[:, :71], 0.01)
    yield "columns reversed", rl.ops.relu_backward(wide[:, ::-1], wide, 0.01)


def save(path: str, target: str) -> None:
    """Entry of the process that streams from THRESHOLD on."""
    rl.use_target(target)
    _core.set_parallel_threshold(0.0)
    results = {f"{name}, {np.dtype(t)}": y for t in (np.float32, np.float64) for name, y in outputs(t)}
    np.savez(path, **results)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("target", rl.build_info()["targets"])
def test_streamed_outputs_have_the_same_bits(target: str, threads: int, tmp_path: Path) -> None:
    path = tmp_path / "streamed.npz"
    environment = {
        **os.environ,
        "RELU_LAYERS_STREAMING_BYTES": str(THRESHOLD),
        "RELU_LAYERS_NUM_THREADS": str(threads),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    command = [sys.executable, "-c", f"import test_streaming as t; t.save({str(path)!r}, {target!r})"]
    subprocess.run(command, env=environment, check=True, timeout=120)
    before = rl.target()
    rl.use_target(target)
    try:
        with np.load(path) as streamed:
            for dtype in (np.float32, np.float64):
                for name, expected in outputs(dtype):
                    np.testing.assert_array_equal(
                        streamed[f"{name}, {np.dtype(dtype)}"], expected, err_msg=name
                    )
    finally:
        rl.use_target(before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_beyond_any_usual_cache_match_the_reference(dtype: Any) -> None:
    size = (36 << 20) // np.dtype(dtype).itemsize // 2 + 5
    x = np.random.default_rng(6).standard_normal(size, np.float32).astype(dtype)
    dy = x[::-1].copy()
    y = rl.ops.relu_forward(x, 0.01)
    np.testing.assert_array_equal(y, rl.ops.reference.relu_forward(x, 0.01))
    np.testing.assert_array_equal(
        rl.ops.relu_backward(x, dy, 0.01, out=y), rl.ops.reference.relu_backward(x, dy, 0.01)
    )
