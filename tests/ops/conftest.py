"""The fixture `ops`: the reference, and the native ops on every target of this CPU with one and two threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import relu_layers as rl
from relu_layers import _core

NATIVE = [f"{target}-{threads}" for target in rl.build_info()["targets"] for threads in (1, 2)]


@contextmanager
def running_on(name: str) -> Iterator[Any]:
    """Select one of `NATIVE` and yield the native ops; with two threads even the smallest work is split."""
    target, threads = name.split("-")
    before = rl.target()
    rl.use_target(target)
    try:
        with rl.threads(int(threads)):
            _core.set_parallel_threshold(0.0)
            yield rl.ops
    finally:
        _core.set_parallel_threshold(-1.0)
        rl.use_target(before)


@pytest.fixture(params=NATIVE)
def native(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The native ops on each target and number of threads."""
    with running_on(request.param) as ops:
        yield ops


@pytest.fixture(params=["reference", *NATIVE])
def ops(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The reference, then the native ops as in `native`."""
    if request.param == "reference":
        yield rl.ops.reference
        return
    with running_on(request.param) as native_ops:
        yield native_ops
