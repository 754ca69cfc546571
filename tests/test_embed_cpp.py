"""Headers, sources and CMake package of an installed package: other projects build on them, as their README says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import relu_layers as rl

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "embed_cpp"
# The tools of the test environment come first, as in an activated one.
TOOLS = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
WARNINGS = "-Wall -Wextra -Wconversion -Werror"


def package() -> Path:
    """The folder that is the prefix of the CMake package, or a skip where nothing is installed."""
    try:
        return Path(rl.get_cmake_dir()).parents[2]
    except FileNotFoundError as error:
        pytest.skip(str(error))


def needs(*tools: str) -> None:
    for tool in tools:
        if shutil.which(tool, path=TOOLS) is None:
            pytest.skip(f"needs {tool}")


def run(command: list[str], folder: Path, **environment: str) -> str:
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": TOOLS, **environment},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    return result.stdout


def commands(section: str) -> list[str]:
    """The commands of a section of the README, those left out that install."""
    text = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    body = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert body is not None
    lines = re.findall(r"^    (cmake .*|\./.*|cd .*|python .*)$", body[1], re.M)
    assert len(lines) >= 3
    return lines


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The example's folder after the README's commands, and what they printed."""
    package()
    needs("cmake", "make", "c++", "bash")
    pytest.importorskip("pybind11", reason="needs pybind11")
    folder = tmp_path_factory.mktemp("embed") / "embed_cpp"
    shutil.copytree(EXAMPLE, folder)
    script = "\n".join(["set -e", *commands("The program and the pybind11 module")])
    # Library and headers are searched for warnings like the program; nothing of the source tree can be found. Optimised
    # a little only: it takes half as long to compile, and bits do not depend on it.
    configure = f'cmake -S . -B build -DCMAKE_CXX_FLAGS_RELEASE=-O1 -DCMAKE_CXX_FLAGS="{WARNINGS}" '
    assert script.count("cmake -S . -B build ") == 1
    script = script.replace("cmake -S . -B build ", f"{configure} -DPython_EXECUTABLE={sys.executable} ")
    return folder / "build", run(["bash", "-c", script], folder)


def library(built: tuple[Path, str]) -> Path:
    """The static library that was built as a part of the example."""
    return built[0] / "relu_layers" / "librelu_layers.a"


def test_the_readme_works_word_for_word(built: tuple[Path, str]) -> None:
    _, printed = built
    assert len(re.findall(r"^step +\d+  loss \d\.\d{4}$", printed, re.M)) == 4
    assert re.search(
        rf"^relu_layers {re.escape(rl.__version__)} on \w+: loss 0\.00\d\d, 4 of 4", printed, re.M
    )
    assert "[1. 1. 1.]" in printed


@pytest.mark.parametrize("target", rl.build_info()["targets"])
def test_the_program_learns_on_every_target(built: tuple[Path, str], target: str) -> None:
    assert f"on {target}: " in run([str(built[0] / "xor")], built[0], RELU_LAYERS_TARGET=target)


TWO_POOLS = """
import os, sys, threading
import numpy as np
import mean_relu, relu_layers as rl

rng = np.random.default_rng(0)
x = rng.standard_normal((700, 300)).astype("f4")
w = rng.standard_normal((200, 300)).astype("f4").T
b = rng.standard_normal(200).astype("f4")
assert not w.flags.c_contiguous
share = np.full((1, 700), np.float32(1) / np.float32(700), "f4")

def by_package():
    return rl.ops.matmul(share, rl.ops.relu_forward(rl.ops.dense_forward(x, w, b)))[0]

def both_right(times):
    for _ in range(times):
        assert np.array_equal(mean_relu.mean_relu(x, w, b), expected)
        assert np.array_equal(by_package(), expected)

rl.set_num_threads(1)
mean_relu.set_num_threads(1)
expected = by_package()
both_right(1)
rl.set_num_threads(3)
assert mean_relu.get_num_threads() == 1  # each copy of the library has threads of its own
mean_relu.set_num_threads(4)
both_right(20)
failures = []
def checked():
    try:
        both_right(20)
    except BaseException as error:
        failures.append(error)
crowd = [threading.Thread(target=checked) for _ in range(4)]
for one in crowd: one.start()
for one in crowd: one.join()
assert not failures, failures
for _ in range(5):
    child = os.fork()
    if child == 0:
        try:
            both_right(5)
        except BaseException:
            os._exit(1)
        os._exit(0)
    both_right(2)
    assert os.waitpid(child, 0)[1] == 0
for bad in ((x.astype("f8"), w, b), (x[:, :-1], w, b), (x, w, b[:-1]), (x[:0], w, b)):
    try:
        mean_relu.mean_relu(*bad)
    except (TypeError, ValueError):
        continue
    raise AssertionError(bad)
print("fine")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_two_copies_of_the_library_in_one_process_do_not_meet(built: tuple[Path, str]) -> None:
    """The extension of the package and one of a user: the same bits, from threads and after forks too."""
    paths = os.pathsep.join([str(built[0]), str(Path(rl.__file__).parent.parent)])
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", TWO_POOLS]
    assert run(command, built[0], PYTHONPATH=paths).strip() == "fine"


def test_the_cython_example(tmp_path: Path) -> None:
    package()
    needs("c++", "bash")
    pytest.importorskip("Cython", reason="needs Cython")
    pytest.importorskip("setuptools", reason="needs setuptools")
    shutil.copytree(EXAMPLE / "with_cython", tmp_path / "with_cython")
    script = "\n".join(["set -e", *commands("The Cython module")])
    paths = str(Path(rl.__file__).parent.parent)
    assert "[-0.5  2. ]" in run(["bash", "-c", script], tmp_path, PYTHONPATH=paths)


def test_the_package_may_be_moved_and_knows_its_version(tmp_path: Path) -> None:
    """CMake finds it by its prefix, as scikit-build-core passes it, wherever the files are, and as often as asked."""
    moved = tmp_path / "elsewhere" / "relu_layers"
    for part in ("include", "lib", "src"):
        shutil.copytree(package() / part, moved / part)
    needs("cmake", "make", "c++")
    major, minor = rl.__version__.split(".")[:2]
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18)\nproject(moved LANGUAGES CXX)\n"
        f"find_package(relu_layers {major}.{int(minor) + 1} CONFIG QUIET)\n"
        "if(relu_layers_FOUND)\n  message(FATAL_ERROR another minor version was taken)\nendif()\n"
        f"find_package(relu_layers {major}.{minor} CONFIG REQUIRED)\n"
        f"find_package(relu_layers {major}.{minor} CONFIG REQUIRED)\n"
        "get_target_property(library relu_layers::relu_layers ALIASED_TARGET)\n"
        "get_target_property(sources ${library} SOURCE_DIR)\n"
        "get_target_property(headers ${library} INTERFACE_INCLUDE_DIRECTORIES)\n"
        'message(STATUS "found ${sources} ${headers}")\n'
    )
    printed = run(["cmake", "-B", "build", f"-DCMAKE_PREFIX_PATH={moved}"], tmp_path)
    assert f"found {moved / 'src'} {moved / 'include'}" in printed


def test_the_sources_are_a_project_of_their_own_that_optimises(tmp_path: Path) -> None:
    """As for builds without CMake: no build type is named, and kernels are compiled for speed all the same."""
    package()
    needs("cmake", "make", "c++")
    options = ["-G", "Unix Makefiles", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", "-DCMAKE_CXX_FLAGS=-ffast-math"]
    run(["cmake", "-S", rl.get_source_dir(), "-B", "library", *options], tmp_path)
    commands = json.loads((tmp_path / "library" / "compile_commands.json").read_text())
    assert len(commands) > 100
    for one in commands:
        words = one["command"].split()
        assert "-O3" in words or "-O2" in words, one["command"]
        assert words.index("-fno-fast-math") > words.index("-ffast-math")
        assert words.index("-ffp-contract=off") > words.index("-fno-fast-math")


def test_a_configuration_is_asked_for_alone() -> None:
    """CMake 3.18, the oldest that is served, knows $<CONFIG:name> with one name only."""
    written = (Path(rl.get_source_dir()) / "CMakeLists.txt").read_text()
    assert "$<CONFIG:" in written
    assert not re.search(r"\$<CONFIG:[^>]*,", written)


def test_what_is_installed_is_small_and_has_no_archive() -> None:
    """A wheel serves every compiler, and is small: the library comes as sources, without the bindings."""
    files = [
        path for part in ("include", "lib", "src") for path in (package() / part).rglob("*") if path.is_file()
    ]
    assert {path.suffix for path in files} == {".h", ".cpp", ".def", ".cmake", ".txt"}
    assert not (package() / "src" / "bindings").exists()
    assert sum(path.stat().st_size for path in files) < 600_000


def test_builds_with_scikit_build_core_find_the_prefix() -> None:
    package()
    found = [one for one in metadata.entry_points(group="cmake.prefix") if one.name == "relu_layers"]
    if not found:
        pytest.skip("the package was installed without its metadata")
    assert found[0].load() is rl


def test_the_library_has_no_symbol_that_could_meet_anothers(built: tuple[Path, str]) -> None:
    """Everything a user's program could clash with is in our namespace."""
    needs("nm")
    listing = run(["nm", "-C", "--defined-only", "--extern-only", str(library(built))], Path.cwd())
    # Weak ones are instances of standard templates.
    names = [match[1] for match in re.finditer(r"^[0-9a-f]+ [A-TX-Z] (.+)$", listing, re.M)]
    assert len(names) > 100
    ours = re.compile(r"(?:\w[\w ]*[ *&] ?)?relu_layers::")
    assert [name for name in names if not ours.match(name)] == []


def test_every_target_of_the_library_has_both_element_types_to_itself(built: tuple[Path, str]) -> None:
    """As built, with optimisation: each compiled target defines the same names for float and double, none weak."""
    needs("nm")
    found: dict[str, set[str]] = {}
    for line in run(["nm", "-C", "--defined-only", str(library(built))], Path.cwd()).splitlines():
        if match := re.match(r"[0-9a-f]+ (\w) (?:\S+ )?relu_layers::(\w+::f(?:32|64))::(\w+)\b", line):
            assert match[1] not in "WwVvu", f"weak symbol {line}"
            if match[1].isupper():
                found.setdefault(match[2], set()).add(match[3])
    assert set(found) == {
        f"{target}::{t}" for target in rl.build_info()["compiled_targets"] for t in ("f32", "f64")
    }
    assert len(set(map(frozenset, found.values()))) == 1


@pytest.mark.parametrize(
    ("option", "function"),
    [("--include", rl.get_include), ("--sourcedir", rl.get_source_dir), ("--cmakedir", rl.get_cmake_dir)],
)
def test_paths_are_printed_for_build_scripts(option: str, function: object) -> None:
    result = subprocess.run([sys.executable, "-m", "relu_layers", option], capture_output=True, text=True)
    try:
        expected = (0, f"{function()}\n", "")  # type: ignore[operator]
    except FileNotFoundError as error:
        expected = (1, "", f"Error: {error}\n")
    assert (result.returncode, result.stdout, result.stderr) == expected
    path = Path(result.stdout.strip())
    assert "pip install" in result.stderr or (path.is_absolute() and path.exists())
