"""Several ranks train to the bits of one process whose updates take as many minibatches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mpi import HERE, run

PROGRAM = HERE / "program_same_bits.py"
CONFIGURATIONS = 24
PARTS = (
    "weights, optimizer, history",
    "checkpoint file",
    "the checkpoint of one process goes on",
    "a source",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the checkpoints of one process are, which the other numbers of ranks go on with."""
    return tmp_path_factory.mktemp("same_bits")


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, list[str]]:
    """Digests of one process."""
    digests: dict[str, list[str]] = json.loads(run(1, PROGRAM, folder, "0", str(CONFIGURATIONS)))
    return digests


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_random_configurations(ranks: int, folder: Path, alone: dict[str, list[str]]) -> None:
    together = json.loads(run(ranks, PROGRAM, folder, "0", str(CONFIGURATIONS)))
    assert len(together) == CONFIGURATIONS
    different = [
        f"configuration {seed}: {part}"
        for seed in alone
        for part, one, several in zip(PARTS, alone[seed], together[seed], strict=True)
        if one != several
    ]
    assert not different
