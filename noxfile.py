"""Development sessions: `nox` runs lint and tests, `nox -s NAME` one of the others."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nox

nox.options.sessions = ["lint", "tests"]
nox.options.default_venv_backend = "venv"


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite against an installed package, C++ warnings as errors."""
    session.install("-Ccmake.define.RELU_LAYERS_WARNINGS_AS_ERRORS=ON", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """The long batteries: many shapes, seeds and damaged files."""
    session.install(".[test]")
    session.run("pytest", "-m", "slow", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and types."""
    session.install(".[test]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    sources = sorted(str(path) for path in Path("cpp").rglob("*") if path.suffix in {".h", ".cpp"})
    session.run("clang-format", "--dry-run", "--Werror", *sources)


@nox.session
def sanitize(session: nox.Session) -> None:
    """AddressSanitizer and UndefinedBehaviorSanitizer over the test suite (GCC on Linux)."""
    session.install(
        "-Ccmake.build-type=Debug",
        "-Cinstall.strip=false",
        "-Ccmake.define.RELU_LAYERS_SANITIZE=address,undefined",
        "-Ccmake.define.CMAKE_CXX_FLAGS=-O1",
        ".[test]",
    )
    runtimes = [
        subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip()
        for name in ("libasan.so", "libubsan.so", "libstdc++.so")
    ]
    session.run(
        "python",
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        *session.posargs,
        env={
            "LD_PRELOAD": " ".join(runtimes),
            # Python's own allocations outlive it; doubled frees and overruns are what is looked for.
            "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
            "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
            "PYTHONMALLOC": "malloc",
        },
    )


@nox.session(venv_backend="none")
def thread_sanitizer(session: nox.Session) -> None:
    """ThreadSanitizer over the thread pool (GCC or Clang)."""
    program = Path(session.create_tmp()).resolve() / "thread_pool_stress"
    sources = sorted(str(path) for path in Path("cpp/src/parallel").glob("*.cpp"))
    flags = ["-std=c++17", "-O1", "-g", "-fsanitize=thread", "-Icpp/include", "-Icpp/src", "-pthread"]
    stress = "tests/cpp/thread_pool_stress.cpp"
    session.run("c++", *flags, *sources, stress, "-o", str(program), external=True)
    session.run(str(program), env={"TSAN_OPTIONS": "halt_on_error=1"}, external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation as HTML in docs/_build; every warning is an error."""
    session.install(".[docs]")
    session.run("sphinx-build", "-W", "-n", "--keep-going", "-b", "html", "docs", "docs/_build")


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the sdist and a wheel from it."""
    session.install("build")
    session.run("python", "-m", "build", "--outdir", "dist")
