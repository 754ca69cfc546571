#!/usr/bin/env -S python3
# /// script
# dependencies = ["nox>=2025.2.9"]
# ///
"""Development sessions: `nox` runs lint and tests, `nox -s NAME` one of the others."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"

# What the sanitizers cannot watch: programs with an allocator or a memory limit of their own, and figures of memory.
SANITIZED = [
    "--deselect=tests/battery/test_battery.py::test_part[memory]",
    "--deselect=tests/battery/test_battery.py::test_part[damaged]",
    "--deselect=tests/battery/test_battery.py::test_part[leaks]",
]
# Tests of text and pictures, of files and of other packages: they take most of the time, and come to the extension
# by the ways that the others go as well.
OUTER = [
    *("bench", "cli", "distributed", "explain", "formats", "interop", "sklearn"),
    *(
        f"test_{name}.py"
        for name in (
            *("architecture", "caffe_solvers", "csv_blocks", "damaged_tables", "docs", "docstring_examples"),
            *("embed_cpp", "examples", "extras", "five_minutes", "keras_page", "notebook", "plot"),
            *("preprocessing", "printed_fixes", "readable_files", "recipes", "reference_pages", "sources"),
            *("spelling", "stubs"),
        )
    ),
]

LINTERS = ["check-jsonschema", "check-manifest", "py-rattler-build", "scikit-build-core>=1.1", "zizmor"]
# For each Python, without a channel: what could not be read or rendered raises.
RENDER_CONDA_RECIPE = """
from rattler_build import Stage0Recipe, VariantConfig
variants = {"python": ["3.11", "3.12", "3.13", "3.14"], "cxx_compiler": ["gxx"], "c_stdlib": ["sysroot"]}
rendered = Stage0Recipe.from_file("packaging/conda/recipe.yaml").render(VariantConfig(variants))
assert len(rendered) == 4, rendered
"""


def requirements(*extras: str) -> list[str]:
    """Return what the package needs with these extras and those that they name, an extra's own entries first."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    found = []
    for extra in extras:
        entries = project["optional-dependencies"][extra]
        found += [entry for entry in entries if not entry.startswith("relu_layers[")]
        for entry in entries:
            if match := re.match(r"relu_layers\[(.*)\]", entry):
                found += requirements(*match[1].split(","))
    return found + [entry for entry in project["dependencies"] if entry not in found]


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite against an installed package, C++ warnings as errors."""
    session.install("-Ccmake.define.RELU_LAYERS_WARNINGS_AS_ERRORS=ON", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session(default=False)
def peers(session: nox.Session) -> None:
    """The tests that compare with PyTorch and JAX, which the test extra does not bring."""
    session.install(".[test,torch]", "jax")
    session.run(
        "pytest",
        "tests/interop",
        "tests/formats/test_onnx_torch.py",
        "tests/formats/test_safetensors.py",
        "tests/ops/test_buffers.py",
        "tests/ops/test_dlpack.py",
        "tests/ops/test_reference_torch.py",
        "tests/test_keras_page.py",
        "tests/test_optimizers.py",
        "tests/test_docs.py::test_blocks_print_what_the_page_says[docs/pytorch.md]",
        *session.posargs,
    )


@nox.session(python=["3.12", "3.13", "3.14", "3.15"], default=False)
def pythons(session: nox.Session) -> None:
    """A short run of the suite on other Pythons; without one of them nox skips it."""
    session.install(".[sklearn]", "pytest", "hypothesis")
    session.run(
        "pytest", "tests/ops", "tests/sklearn", "tests/test_capture.py", "tests/test_digests.py",
        "tests/test_model.py", "tests/test_trainer.py", *session.posargs,
    )  # fmt: skip


@nox.session(default=False)
def slow(session: nox.Session) -> None:
    """The long batteries: many shapes, seeds and damaged files."""
    session.install(".[test]")
    session.run("pytest", "-m", "slow", *session.posargs)


@nox.session(default=False)
def battery(session: nox.Session) -> None:
    """The long form of tests/battery: kills, forks, failing calls, interrupts, damaged files, by the thousand."""
    session.install(".[test]")
    session.run("pytest", "-m", "battery", *session.posargs, env={"RELU_LAYERS_BATTERY": "long"})


@nox.session(default=False)
def mutations(session: nox.Session) -> None:
    """Faults seeded into a copy of the project one at a time: the tests that should see each must fail."""
    session.install(".[test]", "ninja")
    session.run("python", "tests/mutations.py", *session.posargs)


@nox.session(default=False)
def recipe(session: nox.Session) -> None:
    """CONTRIBUTING's "Add an activation", followed in a copy: it builds without warnings, and its tests pass."""
    session.install("pip")
    session.run("python", "tests/recipe.py", "--work", session.create_tmp(), *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and types; workflows and other files for machines, by tools that work offline."""
    # What the tests need, for mypy to read, and what builds the sdist; the package itself is not compiled.
    session.install(*requirements("test"), *LINTERS)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    sources = sorted(str(path) for path in Path("cpp").rglob("*") if path.suffix in {".h", ".cpp"})
    session.run("clang-format", "--dry-run", "--Werror", *sources)
    github = Path(".github")
    for schema, files in {
        "github-workflows": github.glob("workflows/*.yml"),
        "dependabot": github.glob("dependabot.yml"),
        "github-issue-forms": github.glob("ISSUE_TEMPLATE/[!c]*.yml"),
        "citation-file-format": Path().glob("CITATION.cff"),
    }.items():
        session.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, files))
    session.run("zizmor", "--offline", str(github))
    session.run("check-manifest", "--no-build-isolation", silent=True)
    session.run("python", "-c", RENDER_CONDA_RECIPE)


@nox.session(default=False)
def sanitize(session: nox.Session) -> None:
    """AddressSanitizer and UndefinedBehaviorSanitizer over the tests of the core, or those named (GCC on Linux)."""
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
        *(session.posargs or [f"--ignore=tests/{name}" for name in OUTER]),
        env={
            "LD_PRELOAD": " ".join(runtimes),
            # Python's own allocations outlive it; doubled frees and overruns are what is looked for.
            "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
            "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
            "PYTHONMALLOC": "malloc",
        },
    )


@nox.session(venv_backend="none", default=False)
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


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """The documentation as HTML in docs/_build; every warning is an error."""
    session.install(".[docs]")
    session.run("sphinx-build", "-W", "-n", "--keep-going", "-b", "html", "docs", "docs/_build")


@nox.session(default=False)
def wheel(session: nox.Session) -> None:
    """Build the sdist and a wheel from it."""
    session.install("build")
    session.run("python", "-m", "build", "--outdir", "dist")


@nox.session(venv_backend="none", default=False)
def compilers(session: nox.Session) -> None:
    """Each compiler at hand, or those named: warnings as errors; ops, layers, captures, and the bits of each."""
    known = [f"g++-{n}" for n in range(11, 17)] + [f"clang++-{n}" for n in range(14, 24)]
    asked = session.posargs or [name for name in known if shutil.which(name)]
    if not asked:
        session.skip(f"needs one of {', '.join(known)}: apt-get install g++-11 clang-14")
    session.run("python3", "packaging/compilers.py", "--work", session.create_tmp(), *asked, external=True)


@nox.session(default=False)
def wheels(session: nox.Session) -> None:
    """Wheels for old systems and other processors by zig, without containers; those for this machine are tried out."""
    session.install("auditwheel", "wheel", "ziglang", "zopflipy")
    session.run("python", "packaging/wheels.py", "--work", session.create_tmp(), *session.posargs)


@nox.session(default=False)
def objects(session: nox.Session) -> None:
    """The C++ sources compiled for macOS, Windows and musl by zig, warnings as errors; nothing is linked."""
    session.install("cmake", "ninja", "pybind11>=3.0", "ziglang")
    session.run("python", "packaging/objects.py", "--work", session.create_tmp(), *session.posargs)


@nox.session(default=False)
def aarch64(session: nox.Session) -> None:
    """The wheel for 64-bit ARM under qemu-user: ops, model, capture and trainer, and the bits of x86-64."""
    root = os.environ.get("RELU_LAYERS_ARM64_ROOT", "")
    if shutil.which("qemu-aarch64-static") is None or not root:
        session.skip(
            "needs qemu-aarch64-static (apt-get install qemu-user-static) and RELU_LAYERS_ARM64_ROOT, a folder that "
            "packaging/arm64_root.sh fills with Debian's Python for arm64"
        )
    session.install("auditwheel", "wheel", "ziglang", "zopflipy")
    session.run("python", "packaging/aarch64.py", "--root", root, "--work", session.create_tmp())


@nox.session(default=False)
def oldest(session: nox.Session) -> None:
    """The lowest versions that pyproject.toml names, and the suite."""
    lowest = {
        match[1].lower(): f"{match[1]}=={match[2]}{match[3] or '.0'}.*"
        for entry in reversed(requirements("test"))
        if (match := re.match(r"([\w.-]+)>=(\d+)((?:\.\d+)*)", entry))
    }
    # Of their time too, for newer ones break the oldest scikit-learn and matplotlib.
    session.install(".", *lowest.values(), "scipy<1.15", "pyparsing<3.3")
    # Old packages use what is deprecated in the newest ones that they need.
    old = "ignore::DeprecationWarning"
    session.run("python", "-W", old, "-m", "pytest", "-W", old, *session.posargs)


@nox.session(default=False)
def newest(session: nox.Session) -> None:
    """The newest versions of everything, pre-releases included, and the suite."""
    session.install("--pre", "--upgrade", "--upgrade-strategy=eager", ".[test]")
    session.run("pytest", *session.posargs)


if __name__ == "__main__":
    nox.main()
