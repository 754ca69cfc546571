"""The structure's rules: who may import or include whom, what a target's objects may export, how long a file may be."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "python" / "relu_layers"
CPP = ROOT / "cpp"

# Each module belongs to the ring of its first path component; a module may import its own ring and those before it.
RINGS: list[set[str]] = [
    {"_core"},
    {"ops"},
    {"_support"},
    {"preprocessing", "runtime"},
    {"layers", "losses", "optimizers", "schedules", "initializers", "_optimizer"},
    {"_engine", "_mlp", "_summary", "model"},
    {"_streaming", "callbacks", "history", "data"},
    {"_files", "_progress", "_steps", "_training", "trainer", "checkpoint"},
    {"gradient_check"},
    {"explanation", "bench", "formats", "interop", "sanity", "sklearn", "sources", "plot"},
    {"cli", "__main__"},
]
# The one seam that points outwards, imported when it is used: a model is saved by the table of formats.
LAZY_SEAM = {("model", "checkpoint")}
OUTER = RINGS[-2] | RINGS[-1]
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
CPP_ORDER = ["relu_layers", "simd", "kernels", "dispatch", "parallel", "ops", "replay", "bindings"]
CPP_MAY_INCLUDE = {
    "simd": {"relu_layers", "simd"},
    "kernels": {"relu_layers", "simd", "kernels"},
    "dispatch": {"relu_layers", "dispatch"},
    "parallel": {"relu_layers", "parallel"},
    "ops": {"relu_layers", "ops"},
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
FLAGS = {"baseline": [], "avx2": ["-mavx2", "-mfma"]}


@pytest.mark.parametrize("target", FLAGS)
@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.name)
def test_kernel_objects_share_no_symbol(path: Path, target: str, tmp_path: Path) -> None:
    """Every symbol is strong and in its target's namespace, so the linker cannot mix targets."""
    compiler, nm = shutil.which("g++"), shutil.which("nm")
    if compiler is None or nm is None:
        pytest.skip("needs g++ and nm")
    if target != "baseline" and not re.search("x86_64|amd64", " ".join(__import__("os").uname()), re.I):
        pytest.skip("x86-64 flags")
    made = tmp_path / "kernel.o"
    subprocess.run(
        [
            compiler,
            "-std=c++17",
            "-O0",
            "-fPIC",
            "-fno-exceptions",
            "-fno-rtti",
            "-c",
            str(path),
            "-o",
            str(made),
            f"-I{CPP / 'include'}",
            f"-I{CPP / 'src'}",
            f"-DRELU_LAYERS_NAMESPACE={target}::f32",
            "-DRELU_LAYERS_ELEMENT=float",
            *FLAGS[target],
        ],
        check=True,
    )
    listing = subprocess.run(
        [nm, "-C", "--defined-only", str(made)], capture_output=True, text=True, check=True
    ).stdout
    for line in listing.splitlines():
        _, kind, name = line.split(maxsplit=2)
        assert kind not in "WwVvu", f"weak symbol {name}"
        if kind.isupper():
            assert f"relu_layers::{target}::f32::" in name, f"{name} is outside the target's namespace"


def test_every_kernel_of_the_list_is_defined_in_the_file_it_names() -> None:
    listed = CPP / "include" / "relu_layers" / "kernels.def"
    current: Path | None = None
    for line in listed.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"// (cpp/src/kernels/\w+\.cpp)", line):
            current = ROOT / match[1]
        elif match := re.match(r"RELU_LAYERS_KERNEL\(\w+, (\w+),", line):
            assert current is not None
            assert re.search(rf"\b{match[1]}\(", current.read_text(encoding="utf-8")), (
                f"{match[1]} not in {current.name}"
            )


def test_nothing_installed_asks_for_the_builders_processor() -> None:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8") + (ROOT / "pyproject.toml").read_text(
        encoding="utf-8"
    )
    assert "march=" + "native" not in text
