"""Damaged ``.npz`` files: their checksum covers all, so each is refused with a ValueError or means the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

# A few thousand by default; the slow battery counts in hundreds of thousands.
MUTATIONS = int(os.environ.get("RELU_LAYERS_NPZ_MUTATIONS", "300000"))


def saved(path: Path, *layers: Any) -> bytes:
    model = rl.Sequential(*layers, rng=0)
    model.save(path)
    return path.read_bytes()


@pytest.fixture
def small(tmp_path: Path) -> bytes:
    return saved(tmp_path / "small.npz", rl.Dense(1, 1))


def is_equal_to(path: Path, data: bytes) -> Any:
    """Return a check that a model is the one in ``data``."""
    path.write_bytes(data)
    original = rl.load(path)

    def check(model: rl.Sequential) -> None:
        assert repr(model) == repr(original)
        np.testing.assert_array_equal(model.flat_params, original.flat_params)

    return check


def test_every_beginning_is_refused(tmp_path: Path, damage: Any, small: bytes) -> None:
    check = is_equal_to(tmp_path / "t.npz", small)
    refused, accepted = damage.read_all(damage.truncations(small), tmp_path / "t.npz", rl.load, check)
    assert (refused, accepted) == (len(small), 0)


def test_single_byte_changes(tmp_path: Path, damage: Any, small: bytes) -> None:
    """One bit at each place, and all bytes 0 and 255; all 255 values are in the slow battery."""
    check = is_equal_to(tmp_path / "t.npz", small)
    changed = (small[:at] + bytes([small[at] ^ 1 << at % 8]) + small[at + 1 :] for at in range(len(small)))
    refused, accepted = damage.read_all(changed, tmp_path / "t.npz", rl.load, check)
    assert refused > accepted
    damage.read_all(damage.single_byte_changes(small, (0, 255)), tmp_path / "t.npz", rl.load, check)


def test_mutated_files(tmp_path: Path, damage: Any, small: bytes) -> None:
    check = is_equal_to(tmp_path / "t.npz", small)
    refused, accepted = damage.read_all(damage.mutations([small], 2000), tmp_path / "t.npz", rl.load, check)
    assert refused > accepted


@pytest.mark.slow
def test_all_single_byte_changes(tmp_path: Path, damage: Any, small: bytes) -> None:
    check = is_equal_to(tmp_path / "t.npz", small)
    damage.read_all(damage.single_byte_changes(small), tmp_path / "t.npz", rl.load, check)


@pytest.mark.slow
def test_many_mutated_files(tmp_path: Path, damage: Any, small: bytes) -> None:
    check = is_equal_to(tmp_path / "t.npz", small)
    damage.read_all(damage.mutations([small], MUTATIONS, seed=1), tmp_path / "t.npz", rl.load, check)
