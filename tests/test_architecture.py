"""The structure's rules: who may import or include whom, what a target's objects may export, how long a file may be."""

from __future__ import annotations

import ast
import gc
import io
import itertools
import os
import re
import shutil
import subprocess
import sys
import tokenize
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy as np
import pytest

import relu_layers as rl

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "python" / "relu_layers"
CPP = ROOT / "cpp"

# Who may import whom: a module imports its own part of the package, and parts that stand before it. A part is the
# first component of a module's name. Imports inside functions and for type checkers count. The one thing that leads
# upwards is the table of formats in `_files`, which names functions as text.
ORDER = [
    "_core",
    "ops",
    "_support",
    "preprocessing",
    "plot",
    "initializers",
    "schedules",
    "layers",
    "losses",
    "optimizers",
    "callbacks",
    "data",
    "history",
    "runtime",
    "_engine",
    "_files",
    "_training",
    "model",
    "checkpoint",
    "trainer",
    "gradient_check",
    "sanity",
    "explanation",
    "sklearn",
    "formats",
    "interop",
    "sources",
    "distributed",
    "bench",
    "cli",
    "__main__",
]
# The outer ring: its parts do not import each other, and the core none of them.
OUTER = ORDER[ORDER.index("sanity") : ORDER.index("cli")]
# Modules that import by a name held as text: the table of formats and its reader on the command line, what packages
# reach lazily (layers by their files), the ops namespace in a model's pickle, the benchmark's opponents.
IMPORT_BY_NAME = {
    "sources/_reading_process.py",  # in the process beside this one, what it was started for
    "__init__.py",
    "_files/formats.py",
    "bench/opponents/__init__.py",
    "cli/__init__.py",
    "cli/inspect.py",
    "interop/__init__.py",
    "layers/built_in.py",
    "model.py",
    "sklearn/__init__.py",
}
# Third-party packages and the only module that may import each.
ONLY_IN = {
    "sklearn": {"sklearn", "bench"},
    "threadpoolctl": {"_support", "bench"},
    "matplotlib": {"plot", "bench"},
    "click": {"cli"},
    "rich": {"cli"},
    "polars": {"cli", "sources"},
    "pyarrow": {"cli", "sources"},
    "h5py": {"sources"},
    "safetensors": {"formats"},
    "scipy": {"sklearn"},
    "skl2onnx": {"sklearn"},
    "torch": {"bench", "interop"},
    "jax": {"bench"},
    "numba": {"bench"},
    "onnx": {"bench", "formats"},
    "onnxruntime": {"bench", "cli"},
    "mpi4py": {"distributed"},
    "openvino": {"bench"},
    "ai_edge_litert": {"bench"},
    "flatbuffers": {"bench"},
}
# Inside the benchmark each opponent's library stays with its opponent.
OPPONENT_FILES = {
    "threadpoolctl": {"with_numpy.py"},
    "torch": {"with_torch.py"},
    "jax": {"with_jax.py"},
    "numba": {"with_numba.py", "numba_kernels.py"},
    "sklearn": {"with_sklearn.py"},
    "onnx": {"with_onnxruntime.py"},
    "onnxruntime": {"with_onnxruntime.py"},
    "openvino": {"with_openvino.py"},
    "ai_edge_litert": {"with_litert.py"},
    "flatbuffers": {"with_litert.py"},
}
# Private helpers of the trainer ring are recognised by what uses them; everything named here must exist.
CPP_ORDER = ["relu_layers", "table", "simd", "kernels", "dispatch", "parallel", "ops", "replay", "bindings"]
CPP_MAY_INCLUDE = {
    "table": {"relu_layers", "table"},
    "simd": {"relu_layers", "simd"},
    "kernels": {"relu_layers", "table", "simd", "kernels"},
    "dispatch": {"relu_layers", "table", "dispatch"},
    "parallel": {"relu_layers", "parallel"},
    "ops": {"relu_layers", "table", "dispatch", "ops"},
    "replay": {"relu_layers", "ops", "replay"},
    "bindings": {"relu_layers", "replay", "bindings"},
}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def part_of(path: Path) -> str:
    """The first component inside the package: `layers` for layers/relu.py, `model` for model.py."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


OWN_MODULES = {*map(module_name, modules()), "relu_layers._core"}


def imports(path: Path) -> list[str]:
    """Modules that a file imports anywhere; ``from package import name`` is ``package.name`` if that is a module."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{path.name}: imports are absolute"
            within = [f"{node.module}.{alias.name}" for alias in node.names]
            names.extend(name if name in OWN_MODULES else node.module for name in within)
    return names


def test_every_module_has_a_place_in_the_order() -> None:
    assert {part_of(path) for path in modules()} - {"__init__"} == set(ORDER) - {"_core"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path: Path) -> None:
    own = part_of(path)
    if own == "__init__":
        pytest.skip("the package's own __init__ names every part")
    for name in imports(path):
        if name.split(".")[0] != "relu_layers":
            continue
        assert name != "relu_layers", f"{path.name} imports the package that imports it: name the module"
        other = name.split(".")[1]
        assert other in ORDER, f"{path.name} imports {name}, which stands nowhere in the order"
        assert ORDER.index(other) <= ORDER.index(own), f"{own} imports {name}, which stands above it"
        if own in OUTER:
            assert other == own or other not in OUTER, f"the outer ring: {path.name} imports {name}"


def test_no_circle_of_imports() -> None:
    """Not inside a part either, and not a lazy one."""
    edges = {
        module_name(path): OWN_MODULES.intersection(imports(path)) - {"relu_layers._core"}
        for path in modules()
    }
    finished: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module not in finished:
            for other in sorted(edges[module]):
                visit(other, (*trail, module))
            finished.add(module)

    for module in sorted(edges):
        visit(module, ())


def test_only_the_tables_import_by_name() -> None:
    found = set()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "import_module",
                "importlib.import_module",
                "__import__",
            ):
                found.add(str(path.relative_to(PACKAGE)))
    assert found == IMPORT_BY_NAME


def test_the_package_s_top_level_is_a_page() -> None:
    entries = [path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    private = {name for name in entries if re.match(r"_[a-z]\w*\.py$", name)}
    assert not private, "private modules belong in the private folders"
    assert len(entries) <= 33, sorted(entries)


def test_the_reference_needs_numpy_alone() -> None:
    for path in PACKAGE.glob("ops/reference/*.py"):
        for name in imports(path):
            assert name.split(".")[0] in {"__future__", "numpy", "relu_layers", *sys.stdlib_module_names}, (
                name
            )
            if name.startswith("relu_layers"):
                assert name.startswith("relu_layers.ops.reference"), f"{path.name} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_third_party_packages_stay_in_their_place(path: Path) -> None:
    allowed = {"__future__", "numpy", "relu_layers", *sys.stdlib_module_names}
    for name in imports(path):
        package = name.split(".")[0]
        if package in allowed:
            continue
        assert part_of(path) in ONLY_IN.get(package, set()), f"{path.name} imports {package}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "bench").rglob("*.py")), ids=lambda path: path.name)
def test_each_opponents_library_is_imported_by_its_opponent_alone(path: Path) -> None:
    for name in imports(path):
        package = name.split(".")[0]
        assert path.name in OPPONENT_FILES.get(package, {path.name}), f"{path.name} imports {package}"
        # Opponents are reached by name, when their worker creates them.
        if name.startswith("relu_layers.bench.opponents."):
            assert path.parent.name == "opponents" or name.endswith(".base"), f"{path.name} imports {name}"


def test_importing_the_package_loads_no_outer_module() -> None:
    code = (
        "import sys, relu_layers;"
        "outer = ('sklearn', 'matplotlib', 'click', 'rich', 'polars', 'pyarrow', 'torch', 'jax', 'numba');"
        "print([m for m in sys.modules if m.split('.')[0] in outer"
        " or m in ('relu_layers.cli','relu_layers.bench','relu_layers.plot','relu_layers.sklearn',"
        "'relu_layers.gradient_check','relu_layers.sanity','numpy.testing')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_public_modules_are_attributes_of_the_package() -> None:
    """In a new process: here other tests have imported them."""
    public = {part for part in ORDER if not part.startswith("_")} - {"bench", "cli"}
    code = (
        "import relu_layers as rl;"
        "listed = dir(rl);"
        f"print(sorted(name for name in {sorted(public)} if name not in listed));"
        f"print(sorted(name for name in {sorted(public - {'sklearn'})} if not hasattr(rl, name)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["[]", "[]"]


def cpp_files() -> list[Path]:
    return sorted([*CPP.rglob("*.h"), *CPP.rglob("*.cpp"), *CPP.rglob("*.def")])


@pytest.mark.parametrize("path", cpp_files(), ids=lambda path: str(path.relative_to(CPP)))
def test_includes_point_inwards(path: Path) -> None:
    folder = path.relative_to(CPP / "src").parts[0] if path.is_relative_to(CPP / "src") else "relu_layers"
    for quoted, angled in re.findall(r'#include (?:"([^"]+)"|<([^>]+)>)', path.read_text(encoding="utf-8")):
        if quoted:
            assert quoted.split("/")[0] in CPP_MAY_INCLUDE.get(folder, {"relu_layers"}), (
                f"{path.name} includes {quoted}"
            )
        elif folder == "kernels":
            assert angled in {"cstddef", "cstdint"}, f"{path.name} includes <{angled}>"
        if folder != "bindings":
            assert "pybind11" not in (quoted or angled), f"{path.name} names pybind11"
            assert "Python.h" not in (quoted or angled), f"{path.name} names Python"


def test_of_pybind11_the_bindings_take_the_handles_alone() -> None:
    """Its other headers compile the machinery of functions and classes into every file: seconds for each."""
    sources = [path for path in cpp_files() if path.parent.name == "bindings"]
    included = {
        name for path in sources for name in re.findall(r"<(pybind11/[^>]+)>", path.read_text("utf-8"))
    }
    assert included == {"pybind11/pytypes.h"}


@pytest.mark.parametrize("path", cpp_files(), ids=lambda path: str(path.relative_to(CPP)))
def test_intrinsics_and_threads_stay_in_their_place(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    folder = path.parent.name
    if folder != "simd":
        assert not re.search(r"\b_mm\d*_|__m\d{3}|immintrin|arm_neon|vector_size", text), path.name
    if path.name != "thread_pool.cpp":
        assert "std::thread" not in text or path.name == "cpu_count.cpp", path.name
    if folder == "kernels":
        assert not re.search(
            r"\b(new|malloc|throw)\b|std::(?!u?int\d+_t|size_t)", re.sub(r"//.*", "", text)
        ), path.name


def lines_of_code(path: Path) -> int:
    """Lines that are code: not docstrings, comments, blanks or imports."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        return sum(not re.match(r"\s*(//|#include|$)", line) for line in text.splitlines())
    code = {
        number
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in NOT_CODE
        for number in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(text)):
        docstring = (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        )
        if docstring or isinstance(node, ast.Import | ast.ImportFrom):
            code -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(code)


@pytest.mark.parametrize("path", [*modules(), *cpp_files()], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_has_more_than_300_lines_of_code(path: Path) -> None:
    assert lines_of_code(path) <= 300, f"{path.name} has {lines_of_code(path)}: is it two files?"


def test_lines_of_code_leaves_out_what_is_none(tmp_path: Path) -> None:
    example = tmp_path / "example.py"
    parts = [
        '"""Two\nlines."""\n\n',
        "from os import (\n    path,\n)\n\n",
        "# A comment.\n",
        'x = """a\nb"""\n\n\n',
        'def f():\n    """Return 1."""\n    return 1  # one\n',
    ]
    example.write_text("".join(parts))
    assert lines_of_code(example) == 4


KERNELS = sorted((CPP / "src" / "kernels").glob("*.cpp"))
AVX2 = ["-mavx2", "-mfma"]
FLAGS = {
    "baseline::f32": [],
    "avx2::f64": AVX2,
    "avx512::f32": [*AVX2, "-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq"],
}


def symbols(file: str) -> list[tuple[str, str]]:
    """Kind and name of every symbol that an object file or a library defines."""
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("needs nm")
    printed = subprocess.run([nm, "-C", "--defined-only", file], capture_output=True, text=True, check=True)
    listed = (line.split(maxsplit=2) for line in printed.stdout.splitlines() if " " in line)
    return [(kind, name) for _, kind, name in listed]


@pytest.mark.parametrize("place", FLAGS)
@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.name)
def test_kernel_objects_share_no_symbol(path: Path, place: str, tmp_path: Path) -> None:
    """Every symbol is strong and in its target's namespace, so the linker cannot mix targets."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++")
    if FLAGS[place] and not re.search("x86_64|amd64", " ".join(__import__("os").uname()), re.I):
        pytest.skip("x86-64 flags")
    made = tmp_path / "kernel.o"
    element = {"f32": "float", "f64": "double"}[place.split("::")[1]]
    definitions = [f"-DRELU_LAYERS_NAMESPACE={place}", f"-DRELU_LAYERS_ELEMENT={element}"]
    includes = [f"-I{CPP / 'include'}", f"-I{CPP / 'src'}"]
    flags = ["-std=c++17", "-O0", "-fPIC", "-fno-exceptions", "-fno-rtti", *definitions, *includes]
    subprocess.run([compiler, *flags, *FLAGS[place], "-c", str(path), "-o", str(made)], check=True)
    for kind, name in symbols(str(made)):
        assert kind not in "WwVvu", f"weak symbol {name}"
        if kind.isupper():
            assert f"relu_layers::{place}::" in name, f"{name} is outside the target's namespace"


TABLE = CPP / "src" / "table"


def test_every_kernel_of_the_lists_is_defined_in_the_file_it_names() -> None:
    lists = sorted(TABLE.glob("*.def"))
    for path in lists:
        current: Path | None = None
        for line in path.read_text(encoding="utf-8").splitlines():
            if match := re.match(r"// (cpp/src/kernels/\w+\.cpp)", line):
                current = ROOT / match[1]
            elif match := re.match(r"RELU_LAYERS_KERNEL\(\w+, (\w+),", line):
                assert current is not None
                assert re.search(rf"\b{match[1]}\(", current.read_text(encoding="utf-8")), (
                    f"{match[1]} not in {current.name}"
                )
    everything = (TABLE / "kernels.def").read_text(encoding="utf-8")
    for path in lists:
        assert path.name == "kernels.def" or f'#include "table/{path.name}"' in everything


def test_the_public_headers_do_not_carry_the_kernels() -> None:
    """A new kernel changes nothing for programs that embed the library: no line of the lists reaches them."""
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("needs c++")
    for header in sorted((CPP / "include" / "relu_layers").glob("*.h")):
        if header.name == "relu_layers.h":
            continue
        read = subprocess.run(
            [compiler, "-std=c++17", "-M", f"-I{CPP / 'include'}", "-x", "c++", str(header)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "table/" not in read, header.name
        assert str(CPP / "src") not in read, header.name


def test_nothing_installed_asks_for_the_builders_processor() -> None:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8") + (ROOT / "pyproject.toml").read_text(
        encoding="utf-8"
    )
    assert "march=" + "native" not in text


def crossings(call: Callable[[], object]) -> tuple[int, int]:
    """Return how many files of the package one call runs through, and how often the file changes on the way."""
    files: list[str] = []
    package = os.path.dirname(rl.__file__)

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(package):
            files.append(frame.f_code.co_filename)

    gc.collect()  # what other tests left behind is not part of the call
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return len(set(files)), sum(a != b for a, b in itertools.pairwise(files))


def test_a_call_can_be_followed() -> None:
    """What a reader of the code goes through for a step, an inference and a fit: few files, few jumps."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((32, 20)).astype(np.float32), rng.integers(0, 3, 32)
    rows, labels = rng.standard_normal((320, 20)).astype(np.float32), rng.integers(0, 3, 320)

    def trainer() -> rl.Trainer:
        return rl.Trainer(rl.mlp([20, 64, 3], rng=0), rl.SoftmaxCrossEntropy(), rl.SGD(0.1, momentum=0.9))

    one, other, third = trainer(), trainer().model, trainer()
    seen = {
        "step": crossings(lambda: one.step(x, y)),
        "model": crossings(lambda: other(x)),
        "fit": crossings(lambda: third.fit(rows, labels, epochs=2, batch_size=32)),
    }
    most = {"step": (9, 40), "model": (6, 16), "fit": (14, 90)}
    assert all(
        count <= limit for name in most for count, limit in zip(seen[name], most[name], strict=True)
    ), seen
    one.step(x, y)
    other(x)
    assert crossings(lambda: one.step(x, y)) == (0, 0)  # the extension alone
    assert crossings(lambda: other(x)) == (1, 0)
