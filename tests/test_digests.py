"""The bits of every build: other compilers, processors and systems compute what tests/data/digests.json holds."""

from __future__ import annotations

import importlib.util
import json
import platform
import sys
from pathlib import Path
from types import ModuleType

import pytest

import relu_layers as rl


def program() -> ModuleType:
    path = Path(__file__).parent / "digests.py"
    spec = importlib.util.spec_from_file_location("digests", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["digests"] = module
    spec.loader.exec_module(module)
    return module


DIGESTS = program()
# Adam's correction of the bias is a power, which the C library of Python computes.
POWERS = ("training Adam", "training AdamW")


@pytest.mark.parametrize("target", rl.build_info()["targets"])
def test_every_build_computes_the_same_bits(target: str) -> None:
    wanted = json.loads(DIGESTS.FILE.read_text())[DIGESTS.kind(target)]
    found = DIGESTS.digests(target)
    assert found.keys() == wanted.keys()
    different = [name for name in wanted if found[name] != wanted[name]]
    if platform.libc_ver()[0] != "glibc":
        different = [name for name in different if not name.startswith(POWERS)]
    assert different == []


def test_a_digest_sees_a_single_bit() -> None:
    numbers = DIGESTS.Numbers("float32")
    x = numbers(5, 7)
    changed = x.copy()
    changed.view("uint32")[2, 3] ^= 1
    assert DIGESTS.digest([x]) == DIGESTS.digest([x.copy()]) != DIGESTS.digest([changed])
