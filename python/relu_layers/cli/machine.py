"""The machine's side of a run: processors, a quota of their time, and NumPy's BLAS."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from relu_layers._core import cpu_quota

_BLAS = re.compile(r"openblas|mkl_rt|mkl_core|libblis|libcblas|libblas|accelerate|libatlas", re.I)


def usable_processors() -> int:
    """Return how many processors this program may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def threads_granted() -> int:
    """Return how many threads can run at the same time: processors, or the quota rounded up."""
    quota = cpu_quota()
    return usable_processors() if quota is None else min(usable_processors(), max(math.ceil(quota), 1))


def numpy_blas() -> str:
    """Return the BLAS that NumPy was built with, and on Linux, the library that is loaded."""
    config: Any = np.show_config(mode="dicts")
    blas = config.get("Build Dependencies", {}).get("blas", {}) if isinstance(config, dict) else {}
    built = " ".join(str(blas[key]) for key in ("name", "version") if blas.get(key)) or "unknown"
    libraries = {
        Path(line.split()[-1]).name
        for line in _lines(Path("/proc/self/maps"))
        if len(line.split()) > 5 and _BLAS.search(Path(line.split()[-1]).name)
    }
    return f"{built} ({', '.join(sorted(libraries))})" if libraries else built
