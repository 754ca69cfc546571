"""Development sessions: `nox` runs lint and tests, `nox -s NAME` one of the others."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nox

nox.options.sessions = ["lint", "tests"]
nox.options.default_venv_backend = "venv"

# What the sanitizers cannot watch: programs with an allocator or a memory limit of their own, and figures of memory.
SANITIZED = [
    "--deselect=tests/battery/test_battery.py::test_part[memory]",
    "--deselect=tests/battery/test_battery.py::test_part[damaged]",
    "--deselect=tests/battery/test_battery.py::test_part[leaks]",
]


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
def battery(session: nox.Session) -> None:
    """The long form of tests/battery: kills, forks, failing calls, interrupts, damaged files, by the thousand."""
    session.install(".[test]")
    session.run("pytest", "-m", "battery", *session.posargs, env={"RELU_LAYERS_BATTERY": "long"})


@nox.session
def mutations(session: nox.Session) -> None:
    """Faults seeded into a copy of the project one at a time: the tests that should see each must fail."""
    session.install(".[test]", "ninja")
    session.run("python", "tests/mutations.py", *session.posargs)


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
        *SANITIZED,
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
    """ThreadSanitizer over the thread pool, and over ops and replayed training on many threads (GCC or Clang)."""
    folder = Path(session.create_tmp()).resolve()
    flags = [
        "-std=c++17",
        "-O1",
        "-g",
        "-fsanitize=thread",
        "-ffp-contract=off",
        "-Icpp/include",
        "-Icpp/src",
        "-pthread",
    ]
    sources = sorted(
        str(path)
        for part in ("dispatch", "parallel", "ops", "replay")
        for path in Path("cpp/src", part).glob("*.cpp")
    )
    objects = []
    for suffix, element in (("f32", "float"), ("f64", "double")):
        names = [
            f"-DRELU_LAYERS_NAMESPACE=baseline::{suffix}",
            f"-DRELU_LAYERS_ELEMENT={element}",
        ]
        for kernel in sorted(Path("cpp/src/kernels").glob("*.cpp")):
            objects.append(str(folder / f"{kernel.stem}_{suffix}.o"))
            session.run(
                "c++", *flags, *names, "-c", str(kernel), "-o", objects[-1], external=True, silent=True
            )
    for stress in ("thread_pool_stress", "replay_stress"):
        program = str(folder / stress)
        session.run(
            "c++", *flags, *sources, f"tests/cpp/{stress}.cpp", *objects, "-o", program, external=True
        )
        session.run(program, env={"TSAN_OPTIONS": "halt_on_error=1"}, external=True)


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
