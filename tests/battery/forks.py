"""Forks: before the first kernel, with idle workers, beside a kernel, beside a fit, from a thread, nested; pools.

Every child computes the same bits as its parent, with the model that another thread was using too, and none
hangs.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
from common import Part, bytes_of, in_child

import relu_layers as rl
from relu_layers import _core

a = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)
x, y = rl.data.two_moons(300, rng=0)
rows = x.astype(np.float32)
POOLS = ("fork", "spawn", "forkserver")
BACKENDS = ("loky", "threading", "multiprocessing")


def trained() -> rl.Trainer:
    trainer = rl.Trainer(rl.mlp([2, 64, 2], rng=0), rl.SoftmaxCrossEntropy(), rl.Adam(0.01), rng=1)
    trainer.fit(x, y, epochs=2, batch_size=64)
    return trainer


def job(_: Any = 0) -> bytes:
    """Kernels in parallel and a fit, as the bytes of their results."""
    _core.set_parallel_threshold(0.0)
    rl.set_num_threads(2)
    product = rl.ops.matmul(a, a)
    return bytes_of([product[::37], trained().model.flat_params])


def main() -> None:
    part = Part("forks")
    forks = part.size(12, 170)
    for figure in ("forks", "wrong"):
        part.count(figure, 0)

    def expect(body: Callable[[], object], wanted: bytes, where: str) -> None:
        part.count("forks")
        ended = in_child(body, seconds=120)
        what = {-14: "hangs"}.get(ended.code, f"ended with {ended.code}: {ended.said[:200]!r}")
        part.check(
            ended.code == 0 and ended.said == wanted, f"{where}: {what if ended.code else 'other bits'}"
        )

    wanted = in_child(job).said
    for _ in range(forks):
        expect(job, wanted, "before the first kernel")
    part.check(job() == wanted, "the parent itself: other bits")
    for _ in range(forks):
        expect(job, wanted, "with idle workers")

    shared = rl.mlp([2, 300, 300, 2], rng=0)
    shared_wanted = shared(rows).tobytes()
    fitted = rl.Trainer(rl.mlp([2, 300, 300, 2], rng=0), rl.SoftmaxCrossEntropy(), rl.SGD(0.0), rng=1)
    fitted_wanted = fitted.model(rows).tobytes()

    def same_fit() -> bytes:
        fitted.fit(x, y, epochs=1, batch_size=64)
        return fitted.model(rows).tobytes()

    busy: dict[str, tuple[Callable[[], object], Callable[[], object], bytes]] = {
        "beside a kernel": (lambda: rl.ops.matmul(a, a), job, wanted),
        "beside an inference": (lambda: shared(rows), lambda: shared(rows).tobytes(), shared_wanted),
        "beside a fit": (lambda: fitted.fit(x, y, epochs=1, batch_size=64), same_fit, fitted_wanted),
    }
    for where, (work, body, bytes_wanted) in busy.items():
        stop = threading.Event()

        def repeat(work: Callable[[], object] = work, stop: threading.Event = stop) -> None:
            while not stop.is_set():
                work()

        thread = threading.Thread(target=repeat)
        thread.start()
        for _ in range(forks):
            expect(body, bytes_wanted, where)
        stop.set()
        thread.join()

    def from_thread() -> None:
        for _ in range(forks):
            expect(job, wanted, "from a thread")

    thread = threading.Thread(target=from_thread)
    thread.start()
    thread.join()

    def nested() -> bytes:
        part.random.random()
        job()
        ended = in_child(job)
        return ended.said if ended.code == 0 else b""

    for _ in range(forks):
        expect(nested, wanted, "nested")
    part.check(job() == wanted, "the parent after all forks: other bits")

    for method in POOLS:
        with multiprocessing.get_context(method).Pool(2) as pool:
            results = pool.map_async(job, range(4)).get(300)
        part.count("pools")
        part.check(set(results) == {wanted}, f"multiprocessing.Pool, {method}: other bits")
    for executor in (ProcessPoolExecutor, ThreadPoolExecutor):
        with executor(3) as workers:
            results = list(workers.map(job, range(4)))
        part.count("pools")
        part.check(set(results) == {wanted}, f"{executor.__name__}: other bits")
    try:
        import joblib
    except ImportError:
        part.remarks.append("no joblib")
    else:
        for backend in BACKENDS:
            parallel = joblib.Parallel(n_jobs=2, backend=backend, timeout=300)
            part.count("pools")
            results = parallel(joblib.delayed(job)(i) for i in range(4))
            part.check(set(results) == {wanted}, f"joblib, {backend}: other bits")
    part.finish()


if __name__ == "__main__":
    os.environ["PYTHONWARNINGS"] = "ignore::DeprecationWarning"
    main()
