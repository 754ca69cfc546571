"""The thread pool as a user meets it: the same bits for any number of threads, forks, signals, exits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers import _core

FUSED_TARGETS = [name for name in _core.targets() if name != "baseline"]
posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    threads, target = rl.get_num_threads(), rl.target()
    _core.set_parallel_threshold(0.0)
    yield
    _core.set_parallel_threshold(-1.0)
    rl.set_num_threads(threads)
    rl.use_target(target)


def random_network(seed: int) -> tuple[list[int], Any, Any, np.random.Generator]:
    rng = np.random.default_rng(seed)
    sizes = [int(n) for n in rng.integers(1, 70, size=rng.integers(2, 5))]
    sizes[-1] = max(sizes[-1], 2)
    if seed % 8 == 0:
        sizes[0] = 1100  # more than two blocks of k
    rows = int(rng.integers(2, 150))
    x = rng.standard_normal((rows, sizes[0])).astype(np.float32 if seed % 2 else np.float64)
    return sizes, x, rng.integers(0, sizes[-1], rows), rng


def everything(sizes: list[int], x: Any, labels: Any) -> tuple[bytes, ...]:
    """Forward, backward and three epochs, as bytes."""
    model = rl.mlp(sizes, negative_slope=0.01, dtype=x.dtype, rng=3)
    y = model.forward(x, training=True)
    dx = model.backward(np.cos(y))
    grads = model.flat_grads.tobytes()
    trainer = rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.Adam(0.01), clip_norm=1.0, rng=1)
    history = trainer.fit(x, labels, epochs=3, batch_size=17)
    losses = history["loss"].tobytes()
    return y.tobytes(), dx.tobytes(), grads, losses, model.flat_params.tobytes(), model(x).tobytes()


def test_the_instruction_set_has_two_names() -> None:
    for name in _core.targets():
        rl.use_target(name)
        assert rl.instruction_set() == rl.target() == rl.build_info()["target"] == name


@pytest.mark.parametrize("seed", range(40))
def test_threads_and_targets_do_not_change_a_bit(seed: int) -> None:
    sizes, x, labels, _ = random_network(seed)
    found = set()
    for target in FUSED_TARGETS or ["baseline"]:
        rl.use_target(target)
        for threads in (1, 2, 3, 7):
            rl.set_num_threads(threads)
            found.add(everything(sizes, x, labels))
    assert len(found) == 1


@pytest.mark.parametrize("seed", range(40))
def test_a_row_alone_is_the_row_in_its_batch(seed: int) -> None:
    sizes, x, _, rng = random_network(seed)
    model = rl.mlp(sizes, negative_slope=0.2, dtype=x.dtype, rng=3)
    for threads in (1, 2):
        rl.set_num_threads(threads)
        y = model(x)
        for row in rng.integers(0, len(x), size=5):
            assert model(x[row : row + 1]).tobytes() == y[row].tobytes()
            part = slice(row, row + 7)
            assert model(x[part]).tobytes() == y[part].tobytes()


def run(code: str, timeout: float = 120.0, **environment: str) -> str:
    """Return what a fresh interpreter prints; a hang is a failure."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "RELU_LAYERS_NUM_THREADS": "2", **environment},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


SETUP = """
import os, sys, threading, time
import numpy as np
import relu_layers as rl
from relu_layers import _core
_core.set_parallel_threshold(0.0)
rl.set_num_threads(2)
a = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)
expected = rl.ops.matmul(a, a).tobytes()
"""


@posix
def test_two_hundred_forks_beside_a_running_kernel() -> None:
    """Another thread computes while the process forks; every child computes too, and everybody comes home."""
    code = SETUP + textwrap.dedent("""
        stop = False
        def busy():
            while not stop:
                assert rl.ops.matmul(a, a).tobytes() == expected
        thread = threading.Thread(target=busy)
        thread.start()
        good = 0
        for i in range(200):
            child = os.fork()
            if child == 0:
                os._exit(0 if rl.ops.matmul(a, a).tobytes() == expected else 1)
            good += os.waitpid(child, 0)[1] == 0
        stop = True
        thread.join()
        print(good)
    """)
    assert run(code) == "200"


def test_exit_while_the_pool_is_busy() -> None:
    """A daemon thread is in the middle of a long product when the interpreter ends."""
    code = SETUP + textwrap.dedent("""
        big = np.zeros((3000, 3000), dtype=np.float32)
        thread = threading.Thread(target=lambda: [rl.ops.matmul(big, big) for _ in range(100)], daemon=True)
        thread.start()
        time.sleep(0.1)
        print("leaving")
    """)
    assert run(code) == "leaving"


def test_spawned_processes_compute() -> None:
    code = SETUP + textwrap.dedent("""
        import multiprocessing
        context = multiprocessing.get_context("spawn")
        with context.Pool(2) as pool:
            found = pool.starmap(np.linalg.norm, [(a,), (a,)])
        print(len(found), rl.ops.matmul(a, a).tobytes() == expected)
    """)
    assert run(code) == "2 True"


@posix
def test_workers_leave_signals_to_python() -> None:
    """Every signal reaches the interpreter's own thread, however busy the workers are."""
    code = SETUP + textwrap.dedent("""
        import signal
        caught = []
        signal.signal(signal.SIGUSR1, lambda *_: caught.append(threading.get_ident()))
        for i in range(50):
            rl.ops.matmul(a, a)
            os.kill(os.getpid(), signal.SIGUSR1)
        print(len(caught), set(caught) == {threading.main_thread().ident})
    """)
    assert run(code) == "50 True"


def test_the_number_of_threads_may_change_under_way() -> None:
    code = SETUP + textwrap.dedent("""
        def change():
            for i in range(300):
                rl.set_num_threads(1 + i % 5)
        thread = threading.Thread(target=change)
        thread.start()
        wrong = sum(rl.ops.matmul(a, a).tobytes() != expected for _ in range(100))
        thread.join()
        print(wrong)
    """)
    assert run(code) == "0"


def test_the_environment_sets_the_number_of_threads() -> None:
    code = "import relu_layers as rl; print(rl.get_num_threads())"
    assert run(code, RELU_LAYERS_NUM_THREADS="3") == "3"
    assert run(code, RELU_LAYERS_NUM_THREADS="3", OMP_NUM_THREADS="1") == "3"
    usable = run(code, RELU_LAYERS_NUM_THREADS="")
    for shared, expected in {
        "1": "1",
        "1,2": "1",
        "1000": usable,
        "": usable,
        "many": usable,
        "0": usable,
    }.items():
        assert run(code, RELU_LAYERS_NUM_THREADS="", OMP_NUM_THREADS=shared) == expected
    if hasattr(os, "sched_setaffinity"):
        pinned = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); " + code
        assert run(pinned, RELU_LAYERS_NUM_THREADS="") == "1"


def test_threadpoolctl_passes_over_libraries_of_the_same_name() -> None:
    """SciPy has an extension called _core too, which was asked for our symbols."""
    pytest.importorskip("threadpoolctl", minversion="3.2", reason="needs threadpoolctl 3.2")
    pytest.importorskip("scipy.optimize._highspy._core", reason="this SciPy has no library called _core")
    code = "import scipy.optimize._highspy._core, threadpoolctl, relu_layers\n"
    code += "print(sum(info['user_api'] == 'relu_layers' for info in threadpoolctl.threadpool_info()))"
    assert run(code) == "1"


@posix
def test_ctrl_c_in_a_long_product_ends_after_it() -> None:
    code = SETUP + textwrap.dedent("""
        import signal
        big = np.zeros((1500, 1500), dtype=np.float32)
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        try:
            for i in range(10**6):
                rl.ops.matmul(big, big)
        except KeyboardInterrupt:
            print("stopped")
    """)
    assert run(code) == "stopped"
    assert signal.getsignal(signal.SIGINT) is not None


@pytest.mark.parametrize("first", ["threadpoolctl", "relu_layers"])
def test_threadpoolctl_limits_the_pool(first: str) -> None:
    pytest.importorskip("threadpoolctl", minversion="3.2", reason="needs threadpoolctl 3.2")
    second = {"threadpoolctl": "relu_layers", "relu_layers": "threadpoolctl"}[first]
    code = f"import {first}, {second}; import relu_layers as rl\n" + textwrap.dedent("""
        if not any(info["user_api"] == "relu_layers" for info in threadpoolctl.threadpool_info()):
            rl.register_with_threadpoolctl()
        (info,) = [i for i in threadpoolctl.threadpool_info() if i["user_api"] == "relu_layers"]
        rl.set_num_threads(5)
        with threadpoolctl.threadpool_limits(1):
            inside = rl.get_num_threads()
        with threadpoolctl.threadpool_limits({"relu_layers": 3}):
            chosen = rl.get_num_threads()
        print(info["version"] == rl.__version__, inside, chosen, rl.get_num_threads())
    """)
    assert run(code) == "True 1 3 5"


@pytest.mark.parametrize("version", ["2.2.0", "3.1.0"])
def test_an_older_threadpoolctl_is_left_alone_and_named_where_it_is_asked_for(version: str) -> None:
    """scikit-learn takes threadpoolctl 3.1, which has no function that registers a library."""
    code = textwrap.dedent(f"""
        import sys, types
        sys.modules["threadpoolctl"] = old = types.ModuleType("threadpoolctl")
        old.__version__ = {version!r}
        import relu_layers as rl
        try:
            rl.register_with_threadpoolctl()
        except ImportError as error:
            print(error)
    """)
    assert run(code) == f"threadpoolctl {version} takes no other libraries; 3.2 and newer do"
