"""What a process shares with the extension: floating-point control, signals, threads, other interpreters.

Import and calls leave rounding mode and denormals as they are, on the calling thread of every target; workers
block every signal they may; no more of them are alive than asked for; a second interpreter refuses the import
or can use it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import Part, fresh, shim, wait_until

import relu_layers as rl
from relu_layers import _core

TASKS = Path("/proc/self/task")
MODES = (
    0x0000,
    0x8000,
    0x8040,
    0x2000,
    0x4000,
    0x6000,
)  # denormals kept or flushed; rounding to nearest, down, up, to 0
STICKY = 0x003F  # raised flags, which any arithmetic may set
MASKED = 0x1F80
part = Part("process")
x = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
labels = np.arange(64)
CALLS: dict[str, Callable[[], Any]] = {
    "relu": lambda: rl.ops.relu_forward(x),
    "matmul": lambda: rl.ops.matmul(x, x),
    "dense_backward": lambda: rl.ops.dense_backward(x, x, x),
    "softmax": lambda: rl.ops.softmax_forward(x),
    "log_softmax": lambda: rl.ops.log_softmax_forward(x),
    "cross entropy": lambda: rl.ops.softmax_cross_entropy(x, labels),
    "tanh": lambda: rl.ops.tanh_forward(x),
    "elu": lambda: rl.ops.elu_forward(x),
    "dropout": lambda: rl.ops.dropout_forward(x, 0.5, key=1, counter=2),
    "model": lambda: model(x),
    "step": lambda: trainer.step(x, labels),
}
model = rl.mlp([64, 64, 64], rng=0)
trainer = rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.SGD(0.01))


def floating_point(control: Any) -> None:
    if not control.control_known():
        part.remarks.append("no SSE control register")
        return

    def each_mode() -> None:
        for mode in MODES:
            for name, call in CALLS.items():
                control.control_set(MASKED | mode)
                call()
                found = control.control_get() & ~STICKY
                control.control_set(MASKED)
                part.check(found == MASKED | mode, f"{name} leaves {found:#x} for {MASKED | mode:#x}")
                part.count("control registers")

    for target in rl.build_info()["targets"]:
        rl.use_target(target)
        each_mode()
        thread = threading.Thread(target=each_mode)
        thread.start()
        thread.join()
    code = (
        "import ctypes, numpy; control = ctypes.PyDLL({!r}); before = control.control_get() & ~63\n"
        "import relu_layers; print(before == control.control_get() & ~63)"
    )
    ended = fresh(code.format(control._name))
    part.check(ended.stdout.strip() == "True", f"import changes the control register: {ended.stderr[-200:]}")


def workers() -> None:
    """Compare what threads there are before and after the pool has started: the new ones are its own."""
    if not TASKS.is_dir():
        part.remarks.append("no /proc")
        return
    rl.set_num_threads(1)
    before = set(os.listdir(TASKS))
    rl.set_num_threads(16)
    for _ in range(20):
        rl.ops.matmul(x, x)
    new = set(os.listdir(TASKS)) - before
    part.check(0 < len(new) <= 15, f"{len(new)} workers for 16 threads")
    # Those that no thread can block, and the two that the C library keeps for itself.
    never = {signal.SIGKILL, signal.SIGSTOP, 32, 33}
    for task in new:
        status = (TASKS / task / "status").read_text()
        blocked = int(next(line for line in status.splitlines() if line.startswith("SigBlk")).split()[1], 16)
        missing = [n for n in range(1, 65) if not blocked >> (n - 1) & 1 and n not in never]
        part.check(not missing, f"a worker takes the signals {missing}")
        part.count("workers")
    part.check(not signal.pthread_sigmask(signal.SIG_BLOCK, []), "the caller's own signals are blocked")
    caught: list[int] = []
    signal.signal(signal.SIGUSR1, lambda *_: caught.append(threading.get_ident()))
    for _ in range(200):
        rl.ops.matmul(x, x)
        os.kill(os.getpid(), signal.SIGUSR1)
    part.check(wait_until(lambda: len(caught) == 200), f"{len(caught)} of 200 signals")
    part.count("signals", len(caught))
    rl.set_num_threads(2)


def interpreters() -> None:
    code = """
try:
    import _xxsubinterpreters as interpreters
except ImportError:
    import _interpreters as interpreters
import relu_layers
body = '''
try:
    import numpy as np, relu_layers as rl
    good = rl.ops.relu_forward(np.float32([-1, 2])).tolist() == [0, 2]
    print("works" if good else "wrong")
except ImportError:
    print("refused")
'''
for _ in range(3):
    one = interpreters.create()
    interpreters.run_string(one, body)
    interpreters.destroy(one)
import numpy as np
print(relu_layers.ops.relu_forward(np.float32([-1, 2])).tolist())
"""
    ended = fresh(code)
    if "No module named" in ended.stderr and "interpreters" in ended.stderr:
        part.remarks.append("no interpreters")
        return
    lines = ended.stdout.split("\n")
    good = ended.returncode == 0 and set(lines[:3]) <= {"works", "refused"} and lines[3] == "[0.0, 2.0]"
    part.check(
        good, f"subinterpreters: ended with {ended.returncode}: {ended.stdout!r} {ended.stderr[-300:]!r}"
    )
    part.count("subinterpreters", 3)


for figure in ("control registers", "workers", "signals", "subinterpreters", "wrong"):
    part.count(figure, 0)
if not sys.platform.startswith("linux"):
    part.skip("needs Linux")
_core.set_parallel_threshold(0.0)
rl.set_num_threads(2)
workers()
floating_point(shim(part, "control"))
interpreters()
part.finish()
