"""Rows so far apart that a 32-bit index would miss them: address space alone, of which a few pages are touched."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

ROWS, APART = 3, 2**31 + 400  # elements: row 1 lies beyond 2^31, row 2 beyond 2^32

NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or sys.maxsize < 2**40, reason="needs memory that is not reserved"
)

Op = Callable[..., Any]
OPS: dict[str, tuple[Op, int]] = {
    "relu_forward": (lambda x: rl.ops.relu_forward(x, 0.1), 1),
    "relu_backward": (lambda x, dy: rl.ops.relu_backward(x, dy, 0.1), 2),
    "softmax_forward": (rl.ops.softmax_forward, 1),
    "log_softmax_forward": (rl.ops.log_softmax_forward, 1),
    "softmax_backward": (rl.ops.softmax_backward, 2),
    "cross entropy": (lambda x: rl.ops.softmax_cross_entropy(x, np.array([0, 4, 2])), 1),
    "matmul": (lambda x: rl.ops.matmul(x, np.eye(x.shape[1], dtype=np.float32)), 1),
    "matmul, transposed": (lambda x: rl.ops.matmul(x, x, transpose_a=True), 1),
    "matmul, rows of b": (lambda x: rl.ops.matmul(np.ones((2, ROWS), np.float32), x), 1),
    "matmul, columns of b": (lambda x: rl.ops.matmul(x, x, transpose_b=True), 1),
    "dense_backward": (
        lambda x: rl.ops.dense_backward(x, np.ones((x.shape[1], 4), np.float32), np.ones((3, 4), np.float32)),
        1,
    ),
    "prelu_forward": (lambda x: rl.ops.prelu_forward(x, np.full(x.shape[1], 0.1, np.float32)), 1),
}


def far(seed: int, columns: int) -> Any:
    """Return random rows in the middle of nowhere."""
    try:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NO_RESERVE
        memory = mmap.mmap(-1, ((ROWS - 1) * APART + columns) * 4, flags=flags)
    except (OSError, ValueError):
        pytest.skip("so much address space cannot be had")
    flat = np.frombuffer(memory, np.float32)
    rows = np.lib.stride_tricks.as_strided(flat, (ROWS, columns), (4 * APART, 4))
    rows[...] = np.random.default_rng(seed).standard_normal((ROWS, columns))
    return rows


def flattened(result: Any) -> bytes:
    parts = result if isinstance(result, tuple) else (result,)
    return b"".join(np.asarray(part).tobytes() for part in parts)


@pytest.mark.parametrize("columns", [5, 300])
@pytest.mark.parametrize("name", OPS)
def test_far_rows_give_what_near_ones_give(name: str, columns: int) -> None:
    op, count = OPS[name]
    arrays = [far(seed, columns) for seed in range(count)]
    assert flattened(op(*arrays)) == flattened(op(*(array.copy() for array in arrays)))
