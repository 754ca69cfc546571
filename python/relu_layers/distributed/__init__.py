"""Training on several processes and machines over MPI: what joins them, and what goes wrong between them.

``Trainer(..., communicator=relu_layers.distributed.world())`` under ``mpiexec -n 4`` gives the bits of one process with
``accumulate=4``. The trainer itself takes any communicator of mpi4py; this module knows the program that started the
processes, and is the only one that imports mpi4py.
"""

from __future__ import annotations

from relu_layers._training.communicator import Communicator
from relu_layers._training.ranks import RankError
from relu_layers.distributed._launcher import Launch, launched
from relu_layers.distributed._world import world

__all__ = ["Communicator", "Launch", "RankError", "launched", "world"]
