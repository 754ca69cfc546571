"""The wheel for 64-bit ARM, run by qemu-user: ``nox -s aarch64``."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from tried import record
from wheels import ROOT, build, check_size, run

TARGET = "aarch64-linux-gnu.2.17"
TESTS = [
    *("tests/test_digests.py", "tests/ops/test_definitions.py", "tests/ops/test_agreement.py"),
    *("tests/test_model.py", "tests/test_capture.py", "tests/test_trainer.py"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="what arm64_root.sh filled")
    parser.add_argument("--work", type=Path, required=True)
    asked = parser.parse_args()
    work = asked.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    (arm,) = asked.root.resolve().glob("usr/bin/python3.??")
    version = arm.name.removeprefix("python")
    maker = work / "maker"
    run(f"python{version}", "-m", "venv", maker)
    wheel = build(maker / "bin" / "python", TARGET, work, work / "out")
    site = work / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    arm_wheels = (
        "--only-binary=:all:",
        "--platform=manylinux_2_17_aarch64",
        "--platform=manylinux_2_28_aarch64",
    )
    pip = (sys.executable, "-m", "pip", "install", "-q", "--target", site, "--python-version", version)
    run(*pip, *arm_wheels, "numpy", "pytest", "hypothesis")
    ran = subprocess.run(
        [
            "qemu-aarch64-static",
            "-L",
            asked.root,
            arm,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *TESTS,
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(site), "PYTHONHOME": str(asked.root.resolve() / "usr")},
        text=True,
        stdout=subprocess.PIPE,
    )
    print(ran.stdout)
    counted = re.findall(
        r"\d+ (?:passed|failed|errors?)\b", ran.stdout.splitlines()[-1] if ran.stdout else ""
    )
    if not counted:
        sys.exit("no test ran")
    record(
        "aarch64 by zig, under qemu-user", f"Python {version}", f"{check_size(wheel)}; {', '.join(counted)}"
    )
    sys.exit(ran.returncode)


if __name__ == "__main__":
    main()
