"""Ends of the interpreter while kernels run, fits run, callbacks, exit functions and garbage are under way.

The exit code is the one asked for, nothing is on standard error, and nothing hangs or aborts.
"""

from __future__ import annotations

import signal
import subprocess

from common import Part, fresh

SETUP = """
import atexit, os, signal, sys, threading, time
import numpy as np
import relu_layers as rl
from relu_layers import _core
rl.set_num_threads(4)
_core.set_parallel_threshold(0.0)
a = np.ones((400, 400), np.float32)
big = np.ones((1500, 1500), np.float32)
x, y = rl.data.two_moons(500, rng=0)
def trainer():
    return rl.Trainer(rl.mlp([2, 64, 2], rng=0), rl.SoftmaxCrossEntropy(), rl.Adam(0.01))
def fit(epochs=10**6, **options):
    trainer().fit(x, y, epochs=epochs, batch_size=32, **options)
def for_ever(work):
    while True:
        work()
def daemon(work):
    threading.Thread(target=work, daemon=True).start()
def leave_soon():
    time.sleep(rest)
rl.ops.matmul(a, a)
"""
KERNEL = "daemon(lambda: for_ever(lambda: rl.ops.matmul(a, a)))\n"
LONG_KERNEL = "daemon(lambda: for_ever(lambda: rl.ops.matmul(big, big)))\n"
FIT = "daemon(fit)\n"
FORKED = """
pid = os.fork()
if pid == 0:
    rl.ops.matmul(a, a)
    sys.exit(5)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
EXITS: dict[str, tuple[str, int]] = {
    "idle": ("", 0),
    "code": ("sys.exit(7)", 7),
    "daemon, short kernels": (KERNEL + "leave_soon()", 0),
    "daemon, long kernels": (LONG_KERNEL + "leave_soon()", 0),
    "daemons of all kinds": (KERNEL + LONG_KERNEL + FIT + FIT + "leave_soon()", 0),
    "daemon, fit": (FIT + "leave_soon()", 0),
    "daemons, threads changing": (
        KERNEL + "daemon(lambda: for_ever(lambda: rl.set_num_threads(1 + time.time_ns() % 7)))\nleave_soon()",
        0,
    ),
    "exit function, kernel": (KERNEL + "atexit.register(lambda: rl.ops.matmul(a, a))", 0),
    "exit function, fit": ("atexit.register(lambda: fit(2))", 0),
    "exit function, fit, daemon": (FIT + "atexit.register(lambda: fit(2))\nleave_soon()", 0),
    "exit function, threads": ("atexit.register(lambda: (rl.set_num_threads(7), rl.ops.matmul(a, a)))", 0),
    "at once": (FIT + KERNEL + "leave_soon()\nos._exit(9)", 9),
    "forked": (FORKED, 5),
    "forked beside a fit": (FIT + "leave_soon()" + FORKED, 5),
    "forked beside kernels": (KERNEL + "leave_soon()" + FORKED, 5),
    "in a callback": ("fit(callbacks=[lambda trainer, record: sys.exit(3)])", 3),
    "in a callback, daemon": (KERNEL + "fit(callbacks=[lambda trainer, record: sys.exit(3)])", 3),
    "signal in a fit": (
        "threading.Timer(rest, os.kill, (os.getpid(), signal.SIGTERM)).start()\nfit()",
        -signal.SIGTERM,
    ),
    "circles": (
        "t = trainer()\nt.model._itself = t.model\nt._itself = t\nt.fit(x, y, epochs=1, batch_size=32)\n"
        "sys.modules['__main__'].frozen = t",
        0,
    ),
    "a thread that outlives the main one": (
        "threading.Thread(target=lambda: (leave_soon(), [rl.ops.matmul(a, a) for _ in range(20)])).start()",
        0,
    ),
}

part = Part("exits")
rounds = part.size(1, 25)
for figure in ("exits", "wrong", "hung"):
    part.count(figure, 0)
for name, (body, code) in EXITS.items():
    for _ in range(rounds):
        rest = part.random.uniform(0, 0.15)
        part.count("exits")
        try:
            ended = fresh(f"rest = {rest}\n{SETUP}{body}")
        except subprocess.TimeoutExpired:
            part.check(False, f"{name}: hangs", figure="hung")
            continue
        part.check(
            ended.returncode == code and not ended.stderr,
            f"{name}: ended with {ended.returncode}: {ended.stderr[-300:]!r}",
        )
part.finish()
