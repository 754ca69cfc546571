"""The thread pool in the child of a fork: its own workers, none of the parent's."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs fork and /proc")

CODE = """
import os
import numpy as np
import relu_layers as rl
from relu_layers import _core

def tasks():
    return len(os.listdir("/proc/self/task"))

_core.set_parallel_threshold(0.0)
a = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)
rl.set_num_threads(1)
expected = rl.ops.matmul(a, a).tobytes()
alone = tasks()
rl.set_num_threads(4)
rl.ops.matmul(a, a)
assert tasks() == alone + 3, tasks()
read, write = os.pipe()
if os.fork() == 0:
    before = tasks()
    same = rl.ops.matmul(a, a).tobytes() == expected
    os.write(write, f"{before} {tasks()} {same}".encode())
    os._exit(0)
os.wait()
print(os.read(read, 100).decode())
"""


def test_a_child_starts_workers_of_its_own() -> None:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(CODE)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == ["1", "4", "True"]
