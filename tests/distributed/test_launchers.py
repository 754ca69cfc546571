"""What started the process, and what is missing where several were started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mpi import environment, finish, run, start

from relu_layers.distributed import Launch, launched

VARIABLES = (
    "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_SIZE",
    "PMI_RANK",
    "PMI_SIZE",
    "SLURM_PROCID",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_NTASKS",
)


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"PMI_RANK": "3", "PMI_SIZE": "4"}, Launch("mpiexec", 3, 4)),
        ({"PMI_RANK": "0", "PMI_SIZE": "1"}, None),
        (
            {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"},
            Launch("mpiexec of Open MPI", 1, 2),
        ),
        ({"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8"}, Launch("srun", 5, 8)),
        # A batch script is one process of an allocation.
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, None),
        ({"PMI_RANK": "nonsense", "PMI_SIZE": "4"}, None),
    ],
)
def test_launchers_are_known_by_their_variables(
    variables: dict[str, str], expected: Launch | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launched() == expected


def test_without_mpi4py_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['mpi4py'] = None\n"
        "from relu_layers.distributed import world\n"
        "try: world()\n"
        "except ImportError as error: print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment(PMI_RANK="0", PMI_SIZE="4"),
    )
    assert "mpiexec started 4 processes" in result.stdout, result.stderr
    assert "[mpi]" in result.stdout
    assert "mpi-local" in result.stdout


def test_the_launcher_of_another_mpi_is_refused() -> None:
    pytest.importorskip("mpi4py")
    code = (
        "from relu_layers.distributed import world\n"
        "try: world()\n"
        "except RuntimeError as error: print(error)\n"
        "except ImportError: print('no MPI')\n"
    )
    variables = {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "4"}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(**variables)
    )
    if result.stdout == "no MPI\n":
        pytest.skip("needs an MPI library")
    assert "Open MPI started 4 processes" in result.stdout, result.stderr
    assert "knows of 1" in result.stdout


def test_an_exception_that_no_one_catches_ends_all_ranks(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from relu_layers.distributed import world\n"
        "communicator = world()\n"
        "if communicator.rank == 1: raise ValueError('one rank leaves')\n"
        "communicator.Barrier()\n"
    )
    status, _, err = finish(start(2, program), 60.0)
    assert status != 0
    assert "ValueError: one rank leaves" in err


def test_ranks_share_the_processors_that_they_may_use(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import relu_layers as rl\n"
        "from relu_layers.distributed import world\n"
        "alone = rl.get_num_threads()\n"
        "communicator = world()\n"
        "own = rl.get_num_threads() == max(alone // communicator.size, 1)\n"
        # One rank prints: lines of several can run into each other.
        "found = communicator.gather(own)\n"
        "if communicator.rank == 0: print(*found)\n"
    )
    plain = {
        name: value
        for name, value in environment().items()
        if name not in ("RELU_LAYERS_NUM_THREADS", "OMP_NUM_THREADS")
    }
    assert run(2, program, env=plain).split() == ["True", "True"]


def test_a_long_report_reaches_the_launcher_whole(tmp_path: Path) -> None:
    # More than a pipe holds, and the abort comes right after it.
    program = tmp_path / "program.py"
    program.write_text(
        "from relu_layers.distributed import world\n"
        "communicator = world()\n"
        "if communicator.rank == 1: raise ValueError('x' * 300_000 + ' the end')\n"
        "communicator.Barrier()\n"
    )
    status, _, err = finish(start(2, program), 60.0)
    assert status != 0
    assert "x the end" in err
