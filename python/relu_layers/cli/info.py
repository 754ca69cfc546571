"""`relu-layers info`: the installed version and the machine."""

from __future__ import annotations

import platform
import sys
from contextlib import suppress

import click
import numpy as np

from relu_layers import runtime


@click.command(short_help="Print version, target, threads and CPU.")
def info() -> None:
    """Print version, instruction sets (used and possible), threads, CPU, compiler, Python and NumPy."""
    build = runtime.build_info()
    lines = {
        "relu_layers": build["version"],
        "target": build["target"],
        "targets": ", ".join(build["targets"]),
        "threads": build["threads"],
        "CPU": cpu_name(),
        "compiler": build["compiler"],
        "Python": f"{platform.python_version()} ({sys.platform}, {platform.machine()})",
        "NumPy": np.__version__,
    }
    width = max(map(len, lines))
    for name, value in lines.items():
        click.echo(f"{name:<{width}}  {value}")


def cpu_name() -> str:
    """Return the CPU's model as the system names it, or at least its architecture."""
    # Not with pathlib, which takes longer to import than the command to run.
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as listing:
        for line in listing:
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model", "Hardware") and value.strip():
                return value.strip()
    return platform.processor() or platform.machine() or "unknown"
