"""Wheels for old systems and other processors, made on one Linux machine without containers: ``nox -s wheels``.

The compiler is zig's (a Clang with the C libraries of many systems, from PyPI). Each wheel is looked at by auditwheel;
those that this machine can run are installed into a fresh environment, from wheels only, and tested there.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import zopfli
from pythons import pythons
from tried import record

ROOT = Path(__file__).resolve().parent.parent
LARGEST = 1_600_000
# zig's name of a platform -> what auditwheel must find in its wheels.
PLATFORMS = {
    "x86_64-linux-gnu.2.17": "manylinux_2_17_x86_64",
    "aarch64-linux-gnu.2.17": "manylinux_2_17_aarch64",
    "x86_64-linux-musl": "musllinux_1_2_x86_64",
    "aarch64-linux-musl": "musllinux_1_2_aarch64",
}
SMOKE = [
    "tests/ops/test_definitions.py",
    "tests/test_digests.py",
    "tests/test_model.py",
    "tests/test_trainer.py",
]


def run(*command: str | Path, **options: object) -> str:
    """Run a command and return what it printed; a failure shows it and ends the program."""
    words = [str(word) for word in command]
    print("+", *words, flush=True)
    ran = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)  # type: ignore[call-overload]
    if ran.returncode != 0:
        sys.exit(f"{ran.stdout}\nfailed: {' '.join(words)}")
    return str(ran.stdout)


def compiler(folder: Path, target: str) -> Path:
    """Write a program that compiles for ``target`` and return its path."""
    path = folder / f"c++-{target}"
    dynamic = " -dynamic" if "musl" in target else ""
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ziglang c++ -target {target}{dynamic} "$@"\n')
    path.chmod(0o755)
    return path


def build(python: Path, target: str, work: Path, out: Path) -> Path:
    """Return a wheel for one interpreter and platform. Kernels are compiled once a platform: the folder is shared."""
    processor, _, library = target.split("-", 2)
    system = "musl" if library.startswith("musl") else "gnu"
    version = run(python, "-c", "import sys; print('%d%d' % sys.version_info[:2])").strip()
    made = work / f"wheel-{target}-{version}"
    shutil.rmtree(made, ignore_errors=True)
    suffix = f".cpython-{version}-{processor}-linux-{system}.so"
    program = compiler(work, target)
    no_demangler = work / f"no_demangler-{target}.o"
    run(program, "-O2", "-fPIC", "-c", ROOT / "packaging" / "no_demangler.cpp", "-o", no_demangler)
    defines = {
        # pybind11 would ask the interpreter that builds, which runs on another platform.
        "PYTHON_MODULE_EXTENSION": suffix,
        "CMAKE_SYSTEM_NAME": "Linux",
        "CMAKE_SYSTEM_PROCESSOR": processor,
        "CMAKE_CXX_COMPILER": str(program),
        # Exceptions pass through no kernel: what debuggers would need to walk through them is 20 kB of a wheel.
        "CMAKE_CXX_FLAGS": "-fno-asynchronous-unwind-tables",
        # zig links and has no program that strips; symbols are left out as the module is linked.
        "CMAKE_MODULE_LINKER_FLAGS": f"-s {no_demangler}",
        # pybind11 asks for these, which nothing uses; zig would compile its C++ library again for each.
        **dict.fromkeys(("HAS_FLTO_AUTO", "HAS_FLTO", "HAS_FLTO_THIN"), "OFF"),
    }
    options = [f"-Ccmake.define.{name}={value}" for name, value in defines.items()]
    environment = {
        **os.environ,
        "SETUPTOOLS_EXT_SUFFIX": suffix,
        "_PYTHON_HOST_PLATFORM": f"linux-{processor}",
    }
    folder = f"-Cbuild-dir={work / f'build-{target}'}"
    pip = ("-m", "pip", "wheel", "-q", "--no-deps", folder, "-Cinstall.strip=false", *options, "-w", made)
    run(python, *pip, ROOT, env=environment)
    (wheel,) = made.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        if f"relu_layers/_core{suffix}" not in archive.namelist():
            sys.exit(f"{wheel.name} has no module that ends with {suffix}")
    return tagged(wheel, PLATFORMS[target], out)


def tagged(wheel: Path, tag: str, out: Path) -> Path:
    """Return the wheel under the platform's tag, once auditwheel has found that it may bear it."""
    out.mkdir(exist_ok=True)
    named = run(sys.executable, "-m", "wheel", "tags", "--remove", f"--platform-tag={tag}", wheel)
    wheel = wheel.with_name(named.split()[-1])
    shown = " ".join(run(sys.executable, "-m", "auditwheel", "show", wheel).split())
    if tag not in shown:
        sys.exit(f"auditwheel finds that {wheel.name} is no {tag}:\n{shown}")
    return squeezed(wheel, out / wheel.name)


def squeezed(wheel: Path, to: Path) -> Path:
    """Write the same archive with each file deflated as well as can be, which saves 3 %; return its path."""
    with zipfile.ZipFile(wheel) as given, zopfli.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as made:
        for entry in given.infolist():
            made.writestr(entry, given.read(entry))
    return to


def check_size(wheel: Path) -> str:
    """Return the size in MB, or end the program where a wheel is too large."""
    size = wheel.stat().st_size
    if size > LARGEST:
        with zipfile.ZipFile(wheel) as archive:
            largest = sorted(archive.infolist(), key=lambda entry: -entry.compress_size)[:8]
        parts = "\n".join(f"{entry.compress_size:9,d}  {entry.filename}" for entry in largest)
        sys.exit(f"{wheel.name} has {size:,} bytes, more than {LARGEST:,}:\n{parts}")
    return f"{size / 1e6:.2f} MB"


def try_out(python: Path, wheel: Path, work: Path, tests: list[str]) -> str:
    """Install a wheel into a fresh environment and return what its tests say and how long the installation took."""
    place = work / f"fresh-{wheel.stem}"
    run(python, "-m", "venv", "--clear", place)
    fresh = place / "bin" / "python"
    only = ("-m", "pip", "install", "-q", "--only-binary=:all:")
    run(fresh, *only, "numpy", "pytest", "hypothesis")
    start = time.monotonic()
    run(fresh, *only, wheel)
    took = time.monotonic() - start
    printed = run(fresh, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, cwd=ROOT)
    counted = re.search(r"(\d+ passed)[^\n]*\n?\Z", printed)
    if counted is None:
        sys.exit(f"no test ran:\n{printed}")
    return f"{counted[1]}; installed in {took:.1f} s beside NumPy"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", nargs="*", choices=sorted(PLATFORMS), default=list(PLATFORMS))
    parser.add_argument("--python", nargs="*", help="versions, such as 3.11; without it all at hand")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=ROOT / "wheelhouse")
    asked = parser.parse_args()
    work = asked.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    at_hand = pythons()
    missing = [version for version in asked.python or () if version not in at_hand]
    if missing:
        sys.exit(f"no Python {', '.join(missing)} here; there are {', '.join(at_hand)}")
    for target in asked.target:
        for version in asked.python or at_hand:
            maker = work / f"python-{version}"
            run(at_hand[version], "-m", "venv", maker)
            wheel = build(maker / "bin" / "python", target, work, asked.out)
            result = [PLATFORMS[target], check_size(wheel)]
            if target.startswith(f"{platform.machine()}-linux-gnu"):
                result.append(try_out(Path(at_hand[version]), wheel, work, SMOKE))
            else:
                result.append("built, not run")
            record("wheel by zig", f"{target}, Python {version}", "; ".join(result))


if __name__ == "__main__":
    main()
