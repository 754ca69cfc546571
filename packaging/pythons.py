"""The Python interpreters of this machine that the package supports. Run, it prints the newest other one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SUPPORTED = ("3.11", "3.12", "3.13", "3.14", "3.15")


def pythons() -> dict[str, str]:
    """Return version -> path of each supported interpreter at hand, oldest first: on the path, or pyenv's."""
    found = {}
    for version in SUPPORTED:
        places = [shutil.which(f"python{version}")]
        places += map(str, sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"), reverse=True))
        for place in filter(None, places):
            if works(place, version):
                found[version] = place
                break
    return found


def works(place: str, version: str) -> bool:
    """Return whether an interpreter is of this version, can make environments, and has its headers."""
    program = (
        "import sys, sysconfig, os, venv, ensurepip;"
        "print('%d.%d' % sys.version_info[:2],"
        " os.path.exists(os.path.join(sysconfig.get_path('include'), 'Python.h')))"
    )
    ran = subprocess.run([place, "-c", program], capture_output=True, text=True)
    return ran.returncode == 0 and ran.stdout.split() == [version, "True"]


if __name__ == "__main__":
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    print(next((place for version, place in reversed(pythons().items()) if version != running), ""))
