"""The doors open when they are asked for, and not before."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from relu_layers import interop


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_package_and_its_doors_import_no_library() -> None:
    code = "import sys, relu_layers, relu_layers.interop; print({'torch', 'jax'} & set(sys.modules))"
    assert run(code) == "set()"


def test_without_pytorch_the_message_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from relu_layers import interop\n"
        "try: interop.torch\n"
        "except ImportError as error: print(error)"
    )
    assert re.match(r"relu_layers\.interop\.torch needs PyTorch: pip install .*\[torch\]", run(code))


def test_doors_are_listed_and_others_are_an_attribute_error() -> None:
    assert "torch" in dir(interop)
    with pytest.raises(AttributeError, match="no attribute 'tensorflow'"):
        _ = interop.tensorflow


def test_a_door_is_reached_as_an_attribute() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    assert callable(interop.torch.from_torch)
