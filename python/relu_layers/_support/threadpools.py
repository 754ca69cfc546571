"""The thread pool as `threadpoolctl` sees it, beside those of BLAS and OpenMP."""

from __future__ import annotations

import ctypes
from typing import Any

import threadpoolctl

if not hasattr(threadpoolctl, "register"):
    raise ImportError(f"threadpoolctl {threadpoolctl.__version__} takes no other libraries; 3.2 and newer do")


class ReluLayersController(threadpoolctl.LibController):  # type: ignore[misc]  # threadpoolctl has no types
    """Reads and limits the number of threads of the loaded extension.

    Other packages have libraries of the same file name. threadpoolctl asks each of them for version and threads
    before it looks for the symbols, so a library without them has to answer None.
    """

    user_api = "relu_layers"
    internal_api = "relu_layers"
    filename_prefixes = ("_core",)
    check_symbols = ("relu_layers_get_num_threads", "relu_layers_set_num_threads", "relu_layers_get_version")

    def get_num_threads(self) -> int | None:
        """Return the number of threads."""
        get = getattr(self.dynlib, "relu_layers_get_num_threads", None)
        return None if get is None else int(get())

    def set_num_threads(self, num_threads: int) -> Any:
        """Set the number of threads."""
        set_threads = getattr(self.dynlib, "relu_layers_set_num_threads", None)
        return None if set_threads is None else set_threads(num_threads)

    def get_version(self) -> str | None:
        """Return the version of the package."""
        get_version = getattr(self.dynlib, "relu_layers_get_version", None)
        if get_version is None:
            return None
        get_version.restype = ctypes.c_char_p
        version: bytes = get_version()
        return version.decode("utf-8")


def register() -> None:
    """Make the controller known; once is enough, more do no harm."""
    threadpoolctl.register(ReluLayersController)
