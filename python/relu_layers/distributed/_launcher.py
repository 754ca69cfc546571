"""Which program started this process as one of several: found from the environment, without MPI."""

from __future__ import annotations

import os
from typing import NamedTuple

# Name of a launcher, its variable for the number of this process, and that for how many there are. The variables of
# Slurm's allocation (SLURM_NTASKS) are not among them: a batch script has them too, which is one process.
_LAUNCHERS = (
    ("mpiexec of Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("mpiexec of MVAPICH", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    ("srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ("mpiexec", "PMI_RANK", "PMI_SIZE"),
    ("mpiexec", "PALS_RANKID", "PALS_SIZE"),
    ("flux run", "FLUX_TASK_RANK", "FLUX_JOB_SIZE"),
)


class Launch(NamedTuple):
    """How this process was started: by which launcher, as which of how many."""

    launcher: str
    rank: int
    size: int


def launched() -> Launch | None:
    """Return how this process was started if a launcher started several at once, else None."""
    for launcher, rank, size in _LAUNCHERS:
        try:
            found = Launch(launcher, int(os.environ[rank]), int(os.environ[size]))
        except (KeyError, ValueError):
            continue
        if found.size > 1:
            return found
    return None
