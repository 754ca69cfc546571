"""The workers' start: where threads or memory run out, what they block, and who has them after a fork."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

# Preloaded: lets the n-th call of pthread_create or of operator new fail, once or from then on, after it is armed.
SHIM = r"""
#include <cerrno>
#include <cstdlib>
#include <dlfcn.h>
#include <new>
#include <pthread.h>

namespace {
long left[2] = {0, 0};
bool lasting = false;

bool fails(int kind) {
    if (left[kind] == 0 || --left[kind] > 0) return false;
    if (lasting) left[kind] = 1;
    return true;
}
}  // namespace

extern "C" void arm(int kind, long n, int from_then_on) {
    left[0] = left[1] = 0;
    left[kind] = n;
    lasting = from_then_on != 0;
}

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                              void* argument) {
    using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
    static const auto create = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
    return fails(0) ? EAGAIN : create(thread, attributes, run, argument);
}

void* operator new(std::size_t size) {
    void* memory = fails(1) ? nullptr : std::malloc(size);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return fails(1) ? nullptr : std::malloc(size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
"""

SETUP = """
import ctypes, os, signal, sys, threading
import numpy as np
import relu_layers as rl
from relu_layers import _core
_core.set_parallel_threshold(0.0)
x = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)
y = np.empty_like(x)
rl.set_num_threads(1)
expected = np.array(rl.ops.relu_forward(x, 0.1, out=y))

def tasks():
    return set(os.listdir("/proc/self/task"))

def right():
    y[:] = np.nan
    rl.ops.relu_forward(x, 0.1, out=y)
    return y.tobytes() == expected.tobytes()
"""


def run(code: str, **environment: str) -> str:
    """Return what a fresh interpreter prints; a hang is a failure."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", SETUP + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "RELU_LAYERS_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **environment},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("needs a C++ compiler named c++")
    if "LD_PRELOAD" in os.environ:
        pytest.skip("another library replaces the allocator already")
    folder: Path = tmp_path_factory.mktemp("shim")
    (folder / "shim.cpp").write_text(SHIM, encoding="utf-8")
    made = str(folder / "shim.so")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", made, str(folder / "shim.cpp"), "-ldl"], check=True)
    return made


@linux
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("kind", ["pthread_create", "operator new"])
def test_an_op_goes_on_with_the_threads_it_has(shim: str, kind: str, lasting: bool) -> None:
    """The n-th thread, or the memory for it, cannot be had: the result is right, no signal stays blocked."""
    code = f"""
        shim = ctypes.CDLL({shim!r})
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        for threads, n in ((2, 1), (3, 2), (5, 1), (6, 3)):
            child = os.fork()
            if child == 0:
                rl.set_num_threads(threads)
                shim.arm({["pthread_create", "operator new"].index(kind)}, n, {int(lasting)})
                good = right()
                good &= signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
                failed = len(tasks()) < threads
                shim.arm(0, 0, 0)
                good &= right() and right()
                good &= signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
                good &= len(tasks()) == threads
                os._exit(0 if good and failed else 1)
            print(os.waitpid(child, 0)[1])
    """
    assert run(code, LD_PRELOAD=shim).split() == ["0"] * 4


@linux
def test_workers_block_every_signal_and_their_caller_none() -> None:
    code = """
        def blocked(task):
            with open(f"/proc/self/task/{task}/status") as status:
                line = next(line for line in status if line.startswith("SigBlk"))
            return int(line.split()[1], 16)
        before = tasks()
        rl.set_num_threads(4)
        assert right()
        print(*(blocked(task) for task in tasks() - before))
        print(blocked(os.getpid()))
    """
    workers, caller = run(code).splitlines()
    assert len(workers.split()) == 3
    for mask in workers.split():
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            assert int(mask) >> (number - 1) & 1, f"a worker takes signal {number}"
    assert int(caller) == 0


@linux
def test_a_forked_child_has_workers_of_its_own() -> None:
    """Those of the parent do not exist there: without new ones every op would stay on one thread."""
    code = """
        rl.set_num_threads(3)
        assert right() and len(tasks()) == 3
        child = os.fork()
        if child == 0:
            os._exit(0 if right() and len(tasks()) == 3 and right() else 1)
        print(os.waitpid(child, 0)[1], right())
    """
    assert run(code) == "0 True"
