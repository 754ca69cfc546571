"""Does the suite bite? Faults are seeded one at a time into a copy; the tests that should see each must fail.

``python tests/mutations.py [NAME ...]``: all mutations, or those named; ``--list`` names them. Every mutation
is a pattern that must occur exactly once in its file, so one that has gone out of date fails loudly. Those in
C++ are built in one build folder, which takes minutes the first time (CMake, Ninja and pybind11 are needed).
Ends with 0 if all were caught.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TIME_LIMIT = 900  # seconds: a hang is a fault seen
PYTEST_FAILED = 1


@dataclass(frozen=True)
class Mutation:
    """A fault: ``pattern`` in ``file`` replaced by ``new`` (as `re.sub` does), and the tests that should see it."""

    name: str
    file: str
    pattern: str
    new: str
    tests: str

    @property
    def compiled(self) -> bool:
        return self.file.startswith("cpp/")


def literal(text: str) -> str:
    return re.escape(text)


RELU, SGD, ADAM = "cpp/src/kernels/relu.cpp", "cpp/src/kernels/sgd.cpp", "cpp/src/kernels/adam.cpp"
POOL, REPLAY = "cpp/src/parallel/thread_pool.cpp", "cpp/src/replay/training.cpp"
FILES, NPZ, DOCUMENT = (
    f"python/relu_layers/{name}.py" for name in ("_support/files", "_files/npz", "_files/document")
)
BATTERY = "tests/battery/test_battery.py::test_part"
CAPTURES = f"tests/test_capture_memory.py {BATTERY}[captures]"
MUTATIONS = (
    # Kernels.
    Mutation(
        "tail off by one",
        RELU,
        r"dx, n, (streaming, \[=\]\(V v, V g\) \{ return v <= zero \? g)",
        r"dx, n - (n % 8 == 3), \1",
        "tests/ops/test_agreement.py tests/ops/test_relu_edges.py tests/ops/test_buffers.py",
    ),
    Mutation(
        "< for <=", RELU, literal("v <= zero ? zero"), "v < zero ? zero", "tests/ops/test_relu_edges.py"
    ),
    Mutation(
        "NaN lost",
        RELU,
        literal("v < zero ? zero : v"),
        "v > zero ? v : zero",
        "tests/ops/test_relu_edges.py",
    ),
    Mutation(
        "32-bit index",
        "cpp/src/kernels/gemm_rows.cpp",
        literal("get(b + u * b_row + j, lanes)"),
        "get(b + static_cast<int>(u * b_row) + j, lanes)",
        "tests/ops/test_far_rows.py",
    ),
    Mutation(
        "a last column left out",
        "cpp/src/kernels/dense_small.cpp",
        literal("if (j < n) tile<R, 1>(f, row, {n - w}"),
        "if (j + 1 < n) tile<R, 1>(f, row, {n - w}",
        "tests/ops/test_products.py",
    ),
    Mutation(
        "fma in a tail",
        SGD,
        literal("const V after = before * momentum + g * learning_rate;"),
        "const V after = sizeof(lanes) > 1 ? fma(g, broadcast(learning_rate), before * momentum)"
        " : before * momentum + g * learning_rate;",
        "tests/ops/test_definitions.py",
    ),
    Mutation(
        "decay on the wrong side",
        "cpp/src/kernels/updates.h",
        literal("grad * rule.grad_scale + penalty * rule.weight_decay"),
        "(grad + penalty * rule.weight_decay) * rule.grad_scale",
        "tests/ops/test_agreement.py tests/test_optimizers.py tests/test_trainer.py",
    ),
    Mutation(
        "decoupled decay after the update",
        ADAM,
        r"get\(param \+ i, lanes\) \* adam\.shrink;(.*?)put\(param \+ i, (.*?), lanes\);",
        r"get(param + i, lanes);\1put(param + i, (\2) * adam.shrink, lanes);",
        "tests/ops/test_agreement.py tests/test_optimizers.py",
    ),
    Mutation(
        "ELU's gradient at the kink",
        "cpp/src/kernels/elu.cpp",
        literal("v > zero ? g : g"),
        "v >= zero ? g : g",
        "tests/ops/test_definitions.py",
    ),
    Mutation(
        "weights of a loss squared",
        "cpp/src/kernels/squared_error.cpp",
        literal("w * (difference * difference * scale)"),
        "w * (w * difference * difference * scale)",
        "tests/ops/test_agreement.py tests/test_losses.py",
    ),
    Mutation(
        "Huber's gradient without its limit from below",
        "cpp/src/kernels/huber.cpp",
        literal("difference < lowest ? lowest : from_above"),
        "from_above",
        "tests/ops/test_agreement.py tests/test_columns.py",
    ),
    Mutation(
        "a dropout threshold that is not reached",
        "cpp/src/kernels/dropout.cpp",
        literal("(words) >= threshold"),
        "(words) > threshold",
        "tests/ops/test_definitions.py",
    ),
    # Ops.
    Mutation(
        "a label check gone",
        "cpp/src/ops/labels.cpp",
        literal("label(i) >= classes"),
        "label(i) > classes",
        "tests/ops tests/test_losses.py -k label",
    ),
    Mutation(
        "blocks of another length",
        "cpp/src/ops/blocked.h",
        literal("constexpr index_t block_k = 512;"),
        "constexpr index_t block_k = 256;",
        "tests/ops/test_definitions.py",
    ),
    # Threads.
    Mutation(
        "no fork handler",
        POOL,
        literal("shared_pool.store(nullptr);"),
        "",
        "tests/test_forked_pool.py",
    ),
    Mutation(
        "workers that take signals",
        POOL,
        literal("sigfillset(&all);"),
        "sigemptyset(&all);",
        f"tests/test_thread_start.py {BATTERY}[process]",
    ),
    Mutation(
        "a thread that cannot be started",
        POOL,
        literal("catch (const std::exception&)"),
        "catch (const std::bad_alloc&)",
        f"{BATTERY}[memory]",
    ),
    Mutation(
        "the GIL taken in a worker",
        POOL,
        literal("parallel::leave_cpu(job_.caller_cpu);"),
        'extern int take_gil() __asm__("PyGILState_Ensure");\n        take_gil();',
        "tests/test_threads.py",
    ),
    # Replay.
    Mutation(
        "a schedule frozen within a stretch",
        REPLAY,
        literal("stretch.rates[update]"),
        "stretch.rates[0 * update]",
        CAPTURES,
    ),
    Mutation(
        "a gathered row short",
        REPLAY,
        literal("order[i] * source.row_bytes, bytes)"),
        "order[i] * source.row_bytes, bytes - 4)",
        CAPTURES,
    ),
    Mutation("a group that is not cleared", REPLAY, literal("*t.progress.summed = 0;"), "", CAPTURES),
    Mutation("a dropout counter that stays", REPLAY, literal("++*t.counters[i];"), "(void)i;", CAPTURES),
    Mutation(
        "a group's gradient not divided",
        REPLAY,
        literal("run.grad_scale = scale / double(count);"),
        "run.grad_scale = scale;",
        CAPTURES,
    ),
    # Bindings.
    Mutation(
        "training on memory that is being written",
        "cpp/src/bindings/training_replay.cpp",
        literal("overlap(array, gradients_.array())) return true;"),
        "overlap(array, gradients_.array())) return false;",
        CAPTURES,
    ),
    Mutation(
        "Adam's step off by one",
        "cpp/src/bindings/updates.cpp",
        literal("const double steps = double(number + run.updates);"),
        "const double steps = double(number + run.updates + 1);",
        "tests/ops/test_agreement.py tests/test_optimizers.py",
    ),
    Mutation(
        "a dtype check gone",
        "cpp/src/bindings/call.cpp",
        r"\n    expect_floats\(array\);",
        "\n    if (array.item_bytes > 8) expect_floats(array);",
        "tests/ops/test_buffers.py",
    ),
    Mutation(
        "an output that may overlap",
        "cpp/src/bindings/call.cpp",
        literal("if (out.fresh || out.size == 0) return;"),
        "if (out.fresh || out.size < 4) return;",
        f"{BATTERY}[overlaps]",
    ),
    # Python.
    Mutation(
        "forcecast",
        "python/relu_layers/_support/arguments.py",
        r"if array\.dtype != dtype:\n(        #)",
        r"if array.dtype != dtype:\n        return array.astype(dtype)\n\1",
        "tests/test_model.py tests/test_trainer.py tests/test_capture.py",
    ),
    Mutation(
        "a mask from the output where the slope is negative",
        "python/relu_layers/_engine/passes.py",
        literal("return slope if slope >= 0.0 else None"),
        "return slope if slope >= -2.0 else None",
        "tests/layers/test_relu_slopes.py",
    ),
    Mutation(
        "a schedule off by one",
        "python/relu_layers/schedules.py",
        literal("_power(self.gamma, updates // self.every)"),
        "_power(self.gamma, (updates + 1) // self.every)",
        "tests/test_schedules.py",
    ),
    Mutation(
        "patience one longer",
        "python/relu_layers/callbacks.py",
        r"(self\.waited \+= 1\s+if self\.waited )>= (self\.patience:\s+trainer\.stop)",
        r"\1> \2",
        "tests/test_callbacks.py",
    ),
    # Files.
    Mutation(
        "no sync before the rename",
        FILES,
        r"os\.fsync\(file\.fileno\(\)\)",
        "file.fileno()",
        f"{BATTERY}[failing_io]",
    ),
    Mutation(
        "a folder that is not synced",
        FILES,
        r"os\.fsync\(opened\)",
        "os.fstat(opened)",
        f"{BATTERY}[failing_io]",
    ),
    Mutation(
        "a checksum that is not compared",
        NPZ,
        r"if stored\.tobytes\(\) != digest\(members\):",
        "if len(stored.tobytes()) != len(digest(members)):",
        "tests/formats/test_npz_refusals.py",
    ),
    Mutation(
        "compressed members accepted",
        NPZ,
        literal("entry.compress_type != zipfile.ZIP_STORED or "),
        "",
        "tests/formats/test_npz_refusals.py",
    ),
    Mutation(
        "JSON nested without end",
        DOCUMENT,
        literal("if depth > _DEEPEST:"),
        "if depth > 25 * _DEEPEST:",
        "tests/formats/test_npz_refusals.py",
    ),
    Mutation(
        "shapes not compared before memory is asked for",
        "python/relu_layers/checkpoint.py",
        literal("if found != parameter.shape:"),
        "if len(found) != len(parameter.shape):",
        "tests/formats/test_npz_refusals.py",
    ),
)


class Copy:
    """A scratch copy of the project with a virtual environment of its own and one build folder."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "source"
        # Where the project's own builds lie too, so that a compiler cache finds theirs.
        self.build = self.source / "build"
        self.python = folder / "venv" / "bin" / "python"
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(
            listed, cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.splitlines()
        self._write({name: (ROOT / name).read_bytes() for name in names if (ROOT / name).is_file()})
        if not self.python.exists():
            self._make_environment(folder / "venv")

    def _write(self, contents: dict[str, bytes]) -> None:
        """Give the copy these files and no others.

        What changes gets a new time, what does not keeps its own: with the times of the originals, Ninja would
        keep what it had built from the last fault.
        """
        wanted = {self.source / name for name in contents}
        for old in list(self.source.rglob("*")):
            if old.is_file() and old not in wanted and self.build not in old.parents:
                old.unlink()
        for name, content in contents.items():
            file = self.source / name
            if not file.exists() or file.read_bytes() != content:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)

    def _make_environment(self, place: Path) -> None:
        """This interpreter's packages, but the copy's own relu_layers before them."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
        paths = [os.fspath(self.source / "python")]
        paths += [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
        site = sysconfig.get_path("purelib", vars={"base": os.fspath(place), "platbase": os.fspath(place)})
        (Path(site) / "copy.pth").write_text("\n".join(paths) + "\n")

    def compile(self) -> bytes:
        """Build what changed, put the extension into the copy's package and return its bytes."""
        if not (self.build / "CMakeCache.txt").exists():
            import pybind11

            launcher = shutil.which("ccache")
            options = [f"-DCMAKE_CXX_COMPILER_LAUNCHER={launcher}"] if launcher else []
            self._run(
                "cmake",
                "-G",
                "Ninja",
                "-S",
                os.fspath(self.source),
                "-B",
                os.fspath(self.build),
                "-DCMAKE_BUILD_TYPE=Release",
                "-DCMAKE_INTERPROCEDURAL_OPTIMIZATION=OFF",
                "-DSKBUILD_PROJECT_VERSION=0",
                f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
                f"-DPython_EXECUTABLE={sys.executable}",
                *options,
            )
        self._run("cmake", "--build", os.fspath(self.build), "--parallel", "2")
        self._run("cmake", "--install", os.fspath(self.build), "--prefix", os.fspath(self.source / "python"))
        (extension,) = (self.source / "python" / "relu_layers").glob("_core*.so")
        return extension.read_bytes()

    def borrow(self) -> None:
        """Take the extension of the installed package: for mutations of Python alone."""
        code = "import relu_layers._core as core; print(core.__file__)"
        place = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd="/"
        )
        shutil.copy2(place.stdout.strip(), self.source / "python" / "relu_layers")

    def _run(self, *command: str) -> None:
        environment = {**os.environ, "CCACHE_BASEDIR": os.fspath(self.source), "CCACHE_NOHASHDIR": "1"}
        ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if ended.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{ended.stdout[-4000:]}{ended.stderr[-2000:]}")

    def failures(self, tests: str) -> str | None:
        """Run tests in the copy: what was seen, or None where all pass. What is neither is a RuntimeError."""
        command = [
            os.fspath(self.python),
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            *tests.split(),
        ]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            ended = subprocess.run(
                command,
                capture_output=True,
                text=True,
                cwd=self.source,
                timeout=TIME_LIMIT,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "hangs"
        if ended.returncode == 0:
            if "passed" not in ended.stdout.splitlines()[-1]:
                raise RuntimeError(f"pytest {tests} ran nothing\n{ended.stdout[-3000:]}")
            return None
        if ended.returncode < 0:
            return f"signal {-ended.returncode}"
        if ended.returncode != PYTEST_FAILED:
            raise RuntimeError(f"pytest {tests} ended with {ended.returncode}\n{ended.stdout[-3000:]}")
        failed = [line for line in ended.stdout.splitlines() if line.startswith("FAILED")]
        return failed[0].removeprefix("FAILED ").split(" - ")[0] if failed else "failed"


def mutated(text: str, mutation: Mutation) -> str:
    changed, count = re.subn(mutation.pattern, mutation.new, text, flags=re.DOTALL)
    if count != 1:
        raise LookupError(f"{mutation.name}: {count} places in {mutation.file} match, expected 1")
    return changed


def outdated_where(mutation: Mutation) -> str | None:
    """Return why the pattern does not fit the project, or None."""
    try:
        mutated((ROOT / mutation.file).read_text(), mutation)
    except (LookupError, OSError) as error:
        return str(error)
    return None


def caught(copy: Copy, mutation: Mutation, without: bytes | None) -> str | None:
    """Return what saw the fault, or None where it lived; ``without`` is the extension that has no fault."""
    file = copy.source / mutation.file
    original = file.read_text()
    file.write_text(mutated(original, mutation))
    try:
        if mutation.compiled and copy.compile() == without:
            raise RuntimeError(f"{mutation.name}: the extension is the one without the fault")
        return copy.failures(mutation.tests)
    finally:
        file.write_text(original)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="print the names")
    parser.add_argument(
        "--python", action="store_true", help="only the mutations of Python, which need no compiler"
    )
    parser.add_argument("--scratch", type=Path, help="a folder to be kept for the next run")
    given = parser.parse_args()
    chosen = [
        m
        for m in MUTATIONS
        if (not given.names or m.name in given.names) and not (given.python and m.compiled)
    ]
    if given.list:
        print(*(mutation.name for mutation in chosen), sep="\n")
        return 0
    if unknown := set(given.names) - {mutation.name for mutation in MUTATIONS}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    outdated = [fault for mutation in chosen if (fault := outdated_where(mutation))]
    if outdated:
        parser.error("\n".join(["mutations that no longer fit:", *outdated]))
    folder = given.scratch or Path(tempfile.mkdtemp(prefix="relu-layers-mutations-"))
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        parser.error(f"another run uses {folder}")
    copy = Copy(folder)
    try:
        without = None
        if any(mutation.compiled for mutation in chosen):
            without = copy.compile()
        else:
            copy.borrow()
        # What fails without any fault proves nothing with one.
        broken = {tests: copy.failures(tests) for tests in sorted({mutation.tests for mutation in chosen})}
        lived = 0
        for mutation in sorted(chosen, key=lambda each: each.compiled):
            if before := broken[mutation.tests]:
                lived += 1
                print(f"{mutation.name}: not judged, without it fails {before}", flush=True)
                continue
            begin = time.monotonic()
            seen = caught(copy, mutation, without)
            lived += seen is None
            print(f"{mutation.name}: {seen or 'LIVES'} ({time.monotonic() - begin:.0f} s)", flush=True)
        print(f"mutations: {len(chosen) - lived} of {len(chosen)} caught")
        return int(lived > 0)
    finally:
        if given.scratch is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
