"""Checks of the installation: target, kernels, threads, NumPy; and possible improvements."""

from __future__ import annotations

import os

import numpy as np

from relu_layers import ops, runtime
from relu_layers._core import cpu_quota
from relu_layers.cli.info import cpu_name
from relu_layers.cli.machine import numpy_blas, threads_granted, usable_processors
from relu_layers.sanity import Check


def examine() -> list[Check]:
    """Return the checks of the installation, with possible improvements."""
    build = runtime.build_info()
    return [
        Check("relu_layers", "ok", f"{build['version']}, compiled by {build['compiler']}"),
        Check("processor", "ok", cpu_name()),
        target_check(build["target"], build["targets"]),
        kernel_check(),
        thread_check(build["threads"]),
        Check("NumPy", "ok", f"{np.__version__}, BLAS {numpy_blas()}"),
    ]


def target_check(used: str, possible: list[str]) -> Check:
    """Report the instruction set in use, and whether a better one could be."""
    finding = f"{used}; this processor can run {', '.join(possible)}"
    if used == possible[0]:
        return Check("target", "ok", finding)
    forced = os.environ.get("RELU_LAYERS_TARGET")
    advice = f"RELU_LAYERS_TARGET is {forced}: without it {possible[0]} would be used" if forced else ""
    return Check("target", "warn", finding, advice or f"relu_layers.use_target({possible[0]!r}) is faster")


def kernel_check() -> Check:
    """Compare a few kernels with the same formulas in plain NumPy."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for dtype in (np.float32, np.float64):
        x, w, b = (rng.standard_normal(shape).astype(dtype) for shape in ((37, 41), (41, 29), (29,)))
        with np.errstate(all="ignore"):
            for name, arguments in (
                ("dense_forward", (x, w, b)),
                ("relu_forward", (x, 0.01)),
                ("relu_backward", (x, x[::-1].copy(), 0.01)),
                ("softmax_forward", (x,)),
            ):
                ours = getattr(ops, name)(*arguments)
                expected = getattr(ops.reference, name)(*arguments)
                size = np.abs(expected).max() * np.finfo(dtype).eps * x.shape[1]
                worst = max(worst, float(np.abs(ours - expected).max() / size))
    finding = f"dense, relu and softmax are within {worst:.1%} of the rounding error that is allowed"
    if worst <= 1.0:
        return Check("kernels", "ok", finding)
    return Check("kernels", "fail", finding, "rebuild the package on this machine, or try another target")


def thread_check(used: int) -> Check:
    """Compare the threads in use with those that the machine grants."""
    quota, granted = cpu_quota(), threads_granted()
    limit = "no CPU quota" if quota is None else f"a CPU quota of {quota:g}"
    finding = f"{used} in use; {usable_processors()} processors, {limit}"
    if used > granted:
        advice = f"more threads than can run at once: RELU_LAYERS_NUM_THREADS={granted}, or leave it unset"
        return Check("threads", "warn", finding, advice)
    if used < granted:
        return Check("threads", "ok", finding, f"up to {granted} could be used (RELU_LAYERS_NUM_THREADS)")
    return Check("threads", "ok", finding)
