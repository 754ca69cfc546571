"""Runtime: the instruction set in use, the number of threads, and how the extension was built."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

from relu_layers import _core
from relu_layers._support.arguments import integer, nearest

__version__: str = _core.version


def instruction_set() -> str:
    """Return the instruction set that the kernels use: ``"avx512"``, ``"avx2"``, ``"neon"`` or ``"baseline"``.

    Chosen at import as the best that the processor supports, or as the environment variable
    ``RELU_LAYERS_TARGET`` says; `use_target` changes it.
    """
    return _core.target()


def target() -> str:
    """Return `instruction_set`: its former name, which stays."""
    return instruction_set()


def use_target(name: str) -> None:
    """Run all kernels on the target ``name`` from now on, in every thread.

    Raises
    ------
    ValueError
        This build or this processor has no such target; the message lists those it has.
    """
    if not isinstance(name, str):
        raise TypeError(f"use_target: name is a {type(name).__name__}, expected a string")
    if not _core.use_target(name):
        known = _core.targets()
        raise ValueError(
            f"use_target: name is {name!r}, expected one of {', '.join(known)} on this processor"
            f"{nearest(name, known)}"
        )


def get_num_threads() -> int:
    """Return how many threads one operation may use, the calling one included.

    At first what the environment variable ``RELU_LAYERS_NUM_THREADS`` says, or else what the processor affinity, the
    cgroup's quota and ``OMP_NUM_THREADS`` allow: so processes that joblib starts side by side share the processors.
    """
    return _core.num_threads()


def set_num_threads(n: int) -> None:
    """Let one operation use up to ``n`` threads, in the whole process. Results do not depend on it.

    Raises
    ------
    TypeError, ValueError
        n is not an integer, or below 1.
    """
    _core.set_num_threads(min(integer("set_num_threads", "n", n, minimum=1), 1024))


def register_with_threadpoolctl() -> None:
    """Let ``threadpoolctl.threadpool_limits`` and its like control the number of threads here too.

    Done at import where threadpoolctl 3.2 or newer was imported before; otherwise call it once.

    Raises
    ------
    ImportError
        threadpoolctl is not installed, or is older than 3.2.
    """
    from relu_layers._support import threadpools as _threadpoolctl

    _threadpoolctl.register()


class threads:  # noqa: N801 - used like a function
    """Context manager: ``with rl.threads(1): ...`` sets the number of threads inside, then the former one.

    The number is that of the whole process, so other threads of the program see it too.
    """

    def __init__(self, n: int) -> None:
        self._n = integer("threads", "n", n, minimum=1)
        self._before: list[int] = []

    def __enter__(self) -> threads:
        self._before.append(get_num_threads())
        set_num_threads(self._n)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        set_num_threads(self._before.pop())


def build_info() -> dict[str, Any]:
    """Return how this package was built and what it runs on.

    Returns
    -------
    dict
        ``version``, ``target`` (in use), ``targets`` (those this processor supports, best first), ``compiled_targets``
        (those in this build), ``threads``, ``compiler``.
    """
    return {
        "version": __version__,
        "target": instruction_set(),
        "targets": _core.targets(),
        "compiled_targets": _core.compiled_targets(),
        "threads": get_num_threads(),
        "compiler": _core.compiler,
    }


def get_include() -> str:
    """Return the folder to put on a C++ compiler's include path: ``#include "relu_layers/relu_layers.h"``.

    Raises
    ------
    FileNotFoundError
        The package runs from a source tree, where nothing is installed.
    """
    return _installed("get_include", "include", "relu_layers/ops.h")


def get_source_dir() -> str:
    """Return the folder of the C++ library's sources, a CMake project, for builds that do not use ``find_package``.

    ``cmake -S FOLDER -B build`` and ``cmake --build build --parallel 4`` make the static library
    ``build/librelu_layers.a``. It needs the system's threads: link with ``-pthread``.

    Raises
    ------
    FileNotFoundError
        As in `get_include`.
    """
    return _installed("get_source_dir", "src", "CMakeLists.txt")


def get_cmake_dir() -> str:
    """Return the folder of the CMake package: ``cmake -Drelu_layers_DIR=...``, then ``find_package(relu_layers)``.

    Raises
    ------
    FileNotFoundError
        As in `get_include`.
    """
    return _installed("get_cmake_dir", "lib/cmake/relu_layers", "relu_layersConfig.cmake")


def _installed(owner: str, folder: str, file: str) -> str:
    """Return a folder installed beside the extension, which need not be beside this file (editable installs)."""
    # Not with pathlib, whose import takes as long as a fifth of the package's.
    found = os.path.join(os.path.dirname(os.path.realpath(_core.__file__)), *folder.split("/"))
    wanted = os.path.join(found, *file.split("/"))
    if not os.path.isfile(wanted):
        raise FileNotFoundError(
            f"{owner}: {wanted} does not exist; headers, sources and CMake package come with an installed "
            "relu_layers (pip install), not with a source tree"
        )
    return found


def _warn_if_refused() -> None:
    """Say once, at import, that RELU_LAYERS_TARGET names a target that cannot run here."""
    refused = _core.refused_target()
    if refused is not None:
        import warnings

        warnings.warn(
            f"RELU_LAYERS_TARGET is {refused!r}, which cannot run here; using {instruction_set()!r} instead of it "
            f"(there are {', '.join(_core.targets())})",
            RuntimeWarning,
            stacklevel=2,
        )


_warn_if_refused()
