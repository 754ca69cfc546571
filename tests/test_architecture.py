"""The structure's rules: who may import or include whom, what a target's objects may export, how long a file may be."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import relu_layers as rl
from relu_layers import _core

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "python" / "relu_layers"
CPP = ROOT / "cpp"

# Each module belongs to the ring of its first path component; a module may import its own ring and those before it.
RINGS: list[set[str]] = [
    {"_core"},
    {"_atomic", "_checks", "preprocessing"},
    {"ops", "runtime", "_threadpoolctl"},
    {"_configured", "_inputs", "_memory", "_params"},
    {"layers", "losses", "optimizers", "schedules", "initializers", "_optimizer"},
    {"_binding", "_capture", "_mlp", "_passes", "_summary", "_workspace", "model"},
    {"_streaming", "callbacks", "history", "data"},
    {
        "_divergence",
        "_document",
        "_parameter_names",
        "_epoch",
        "_fit",
        "_formats",
        "_generator",
        "_interrupt",
        "_progress",
        "_replay",
        "_steps",
        "_npz",
        "trainer",
        "checkpoint",
    },
    {"_gradcheck"},
    {"_explain", "bench", "formats", "interop", "sanity", "sklearn", "sources", "plot"},
    {"cli", "__main__"},
]
# The one seam that points outwards, imported when it is used: a model is saved by the table of formats.
LAZY_SEAM = {("model", "checkpoint")}
OUTER = RINGS[-2] | RINGS[-1]
# Third-party packages and the only module that may import each.
ONLY_IN = {
    "sklearn": {"sklearn", "bench"},
    "threadpoolctl": {"_threadpoolctl", "bench"},
    "matplotlib": {"plot", "bench"},
    "click": {"cli"},
    "rich": {"cli"},
    "polars": {"cli", "sources"},
    "pyarrow": {"cli", "sources"},
    "h5py": {"sources"},
    "safetensors": {"formats"},
    "scipy": {"sklearn"},
    "torch": {"bench", "interop"},
    "jax": {"bench"},
    "numba": {"bench"},
    "onnx": {"bench", "formats"},
    "onnxruntime": {"bench", "cli"},
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


def ring_of(name: str) -> int | None:
    for index, ring in enumerate(RINGS):
        if name in ring:
            return index
    return None


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def part_of(path: Path) -> str:
    """The first component inside the package: `layers` for layers/relu.py, `model` for model.py."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(path: Path, *, top_level_only: bool = False) -> list[str]:
    """Dotted names that a file imports, those for type checkers alone left out."""
    names: list[str] = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if top_level_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            if node.module == "relu_layers":
                names.extend(f"relu_layers.{alias.name}" for alias in node.names)
            else:
                names.append(node.module)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return names


def test_every_module_has_a_ring() -> None:
    unknown = {part_of(path) for path in modules()} - {"__init__"} - set().union(*RINGS)
    assert not unknown, f"give {sorted(unknown)} a ring in test_architecture.py"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_inwards(path: Path) -> None:
    own = ring_of(part_of(path))
    if own is None:
        pytest.skip("the package's own __init__ names every ring")
    for name in imports(path):
        if not name.startswith("relu_layers."):
            continue
        other = name.split(".")[1]
        ring = ring_of(other)
        assert ring is not None, f"{path.name} imports {name}, which no ring holds"
        if (part_of(path), other) in LAZY_SEAM:
            assert name not in imports(path, top_level_only=True)
            continue
        assert ring <= own, f"{path.name} (ring {own}) imports {name} (ring {ring})"
        if part_of(path) in OUTER - {"cli", "__main__"}:
            assert other not in OUTER - {part_of(path)}, (
                f"outer modules do not import each other: {path.name}, {name}"
            )


def test_the_reference_needs_numpy_alone() -> None:
    for path in PACKAGE.glob("ops/*reference*.py"):
        for name in imports(path):
            assert name.split(".")[0] in {"__future__", "numpy", "relu_layers", *sys.stdlib_module_names}, (
                name
            )
            if name.startswith("relu_layers"):
                assert name.startswith("relu_layers.ops._reference"), f"{path.name} imports {name}"


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
        "'relu_layers._gradcheck','relu_layers.sanity','numpy.testing')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


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


LONG_BUT_ONE_IDEA: dict[str, str] = {}


@pytest.mark.parametrize("path", [*modules(), *cpp_files()], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_longer_than_300_lines(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    reason = LONG_BUT_ONE_IDEA.get(path.name)
    assert lines <= 300 or reason, f"{path.name} has {lines} lines: is it two files?"


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


def test_every_target_of_the_library_has_both_element_types_to_itself() -> None:
    """As built, with optimisation: each compiled target defines the same names for float and double, none weak."""
    try:
        library = rl.get_library()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    found: dict[str, set[str]] = {}
    for kind, name in symbols(library):
        if match := re.match(r"(?:\S+ )?relu_layers::(\w+::f(?:32|64))::(\w+)\b", name):
            assert kind not in "WwVvu", f"weak symbol {name}"
            if kind.isupper():
                found.setdefault(match[1], set()).add(match[2])
    assert set(found) == {f"{target}::{t}" for target in _core.compiled_targets() for t in ("f32", "f64")}
    assert len(set(map(frozenset, found.values()))) == 1


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
