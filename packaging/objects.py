"""The C++ sources compiled by zig for systems that this machine cannot run, as far as objects: ``nox -s objects``.

The library is compiled as other programs compile it, by its own CMake files. The bindings come to it where the headers
of this Python fit: on systems with its sizes of integers.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pybind11
from tried import record

ROOT = Path(__file__).resolve().parent.parent
# zig's name of a platform -> CMake's names of system and processor.
PLATFORMS = {
    "x86_64-macos": ("Darwin", "x86_64"),
    "aarch64-macos": ("Darwin", "arm64"),
    "x86_64-windows-gnu": ("Windows", "AMD64"),
    "x86_64-linux-musl": ("Linux", "x86_64"),
    "aarch64-linux-musl": ("Linux", "aarch64"),
}
WARNINGS = "-Wall -Wextra -Wconversion -Wshadow -Wmissing-declarations -Wno-unused-const-variable -Werror"


def program(folder: Path, name: str, words: str) -> Path:
    """Write a program that runs a part of zig and return its path."""
    path = folder / name
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ziglang {words} "$@"\n')
    path.chmod(0o755)
    return path


def run(*command: str | Path) -> None:
    """Run a command; a failure shows what it printed and ends the program."""
    words = [str(word) for word in command]
    print("+", *words, flush=True)
    ran = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if ran.returncode != 0:
        sys.exit(f"{ran.stdout[-8000:]}\nfailed: {' '.join(words)}")


def library(target: str, compiler: Path, work: Path) -> int:
    """Compile the library for one platform and return of how many objects it is."""
    system, processor = PLATFORMS[target]
    made = work / f"library-{target}"
    shutil.rmtree(made, ignore_errors=True)
    settings = {
        "CMAKE_SYSTEM_NAME": system,
        "CMAKE_SYSTEM_PROCESSOR": processor,
        "CMAKE_CXX_COMPILER": compiler,
        "CMAKE_CXX_FLAGS": WARNINGS,
        "CMAKE_AR": program(work, "ar", "ar"),
        "CMAKE_RANLIB": program(work, "ranlib", "ranlib"),
        # Nothing is linked: of other systems zig has the headers, and not every library.
        "CMAKE_TRY_COMPILE_TARGET_TYPE": "STATIC_LIBRARY",
        "CMAKE_HAVE_LIBC_PTHREAD": "1",
    }
    options = [f"-D{name}={value}" for name, value in settings.items()]
    run("cmake", "-G", "Ninja", "-S", ROOT / "cpp" / "src", "-B", made, *options)
    run("cmake", "--build", made, "--parallel", "2")
    return len([path for path in made.rglob("*.o*") if path.suffix in {".o", ".obj"} and ".cpp" in path.name])


def bindings(target: str, compiler: Path, work: Path) -> int:
    """Compile the bindings for one platform and return how many objects that made."""
    made = work / f"bindings-{target}"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    version = made / "relu_layers" / "version.h"
    version.parent.mkdir()
    version.write_text('#pragma once\n#define RELU_LAYERS_VERSION "0"\n')
    include = [ROOT / "cpp" / "include", ROOT / "cpp" / "src", made]
    system = [sysconfig.get_path("include"), pybind11.get_include()]
    places = [word for path in include for word in ("-I", path)]
    places += [word for path in system for word in ("-isystem", path)]
    flags = ["-std=c++20", "-O1", "-ffp-contract=off", "-fvisibility=hidden", *WARNINGS.split()]
    sources = sorted((ROOT / "cpp" / "src" / "bindings").glob("*.cpp"))
    for source in sources:
        out = made / f"{source.stem}.o"
        run(compiler, *flags, '-DRELU_LAYERS_COMPILER="zig"', *places, "-c", source, "-o", out)
    return len(sources)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", nargs="*", choices=sorted(PLATFORMS), default=list(PLATFORMS))
    parser.add_argument("--work", type=Path, required=True)
    asked = parser.parse_args()
    work = asked.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    for target in asked.target:
        compiler = program(work, f"c++-{target}", f"c++ -target {target}")
        start = time.monotonic()
        result = f"library without warnings, {library(target, compiler, work)} objects"
        if PLATFORMS[target][0] != "Windows":
            result += f"; bindings, {bindings(target, compiler, work)} objects"
        record("objects by zig", target, f"{result}; not linked, not run")
        print(f"{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
