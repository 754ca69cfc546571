"""Builds by several compilers, warnings as errors: their tests, and the bits of each: ``nox -s compilers``."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tried import record

ROOT = Path(__file__).resolve().parent.parent
TESTS = ["tests/ops", "tests/layers", "tests/test_capture.py", "tests/test_digests.py"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("compiler", nargs="+")
    asked = parser.parse_args()
    failed = []
    for compiler in asked.compiler:
        place = asked.work.resolve() / compiler
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        result = of_one(compiler, place)
        record("compiler", compiler, result)
        if "passed" not in result or "failed" in result:
            failed.append(compiler)
    if failed:
        sys.exit(f"not clean: {', '.join(failed)}")


def of_one(compiler: str, place: Path) -> str:
    """Return what came of building with one compiler, and of the tests on what it built."""
    subprocess.run([sys.executable, "-m", "venv", place / "venv"], check=True)
    python = place / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "-q"]
    warnings = ["-Ccmake.define.RELU_LAYERS_WARNINGS_AS_ERRORS=ON", f"-Cbuild-dir={place / 'build'}"]
    subprocess.run([*pip, "pytest", "hypothesis"], check=True)
    built = subprocess.run([*pip, *warnings, str(ROOT)], env={**os.environ, "CXX": compiler})
    if built.returncode != 0:
        return "does not build without warnings"
    ran = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
    )
    print(ran.stdout)
    counted = re.findall(r"\d+ (?:passed|failed|errors?)\b", ran.stdout.splitlines()[-1])
    return "without warnings; " + ", ".join(counted)


if __name__ == "__main__":
    main()
