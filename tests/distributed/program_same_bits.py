"""Trains the random configurations on all ranks, with every kind of exchange; rank 0 prints digests, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import relu_layers as rl
from relu_layers._training import ordered_sum, shared_memory
from relu_layers.data import ArraySource
from relu_layers.distributed import world

sys.path.insert(0, str(Path(__file__).resolve().parent))
from configurations import Case, file_digest, state

communicator = world()
folder, seeds = Path(sys.argv[1]), range(int(sys.argv[2]), int(sys.argv[3]))
result = {}
machine, exchanges = shared_memory._machine, set()


def use_exchange(seed: int) -> None:
    """Let the next trainers exchange as on one machine or on several, whole gradients or parts."""
    ordered_sum._WORTH_ONE_EXCHANGE = 0 if seed // 2 % 2 else 2**20
    ordered_sum._BLOCK = ordered_sum._BLOCK_ASLEEP = 256 if seed // 8 % 2 else 2**16
    shared_memory._machine = (lambda: communicator.rank) if seed // 4 % 2 else machine


for seed in seeds:
    use_exchange(seed)
    case = Case(seed)
    trainer = case.trainer(communicator.size, communicator=communicator)
    case.fit(trainer)
    states = communicator.allgather(state(trainer))
    assert len(set(states)) == 1, f"configuration {seed}: ranks differ"
    if communicator.size > 1:
        ranks = trainer._team._ranks
        exchanges.add(
            (ranks.memory is not None, ordered_sum.added_whole(ranks.size, trainer.model.flat_grads))
        )
    path = folder / f"{seed}-{communicator.size}.npz"
    trainer.save_checkpoint(path)
    communicator.Barrier()
    # The checkpoint of any number of ranks goes on with these.
    first = folder / f"{seed}-1.npz"
    restored = rl.Trainer.restore(first, communicator=communicator)
    case.fit(restored, epochs=1)
    streamed = case.trainer(communicator.size, communicator=communicator)
    arrays = (case.x, case.y) if case.weight is None else (case.x, case.y, case.weight)
    streamed.fit(
        ArraySource(*arrays, buffer_bytes=700),
        epochs=2,
        batch_size=case.batch_size,
        shuffle=case.shuffle,
        validation=ArraySource(*arrays),
    ) if not trainer.callbacks else None
    digests = [
        states[0],
        file_digest(path) if communicator.rank == 0 else "",
        state(restored),
        state(streamed),
    ]
    result[seed] = digests
# Of two ranks each adds whole gradients; memory is shared on Linux.
kinds = {1: 0, 2: 1}.get(communicator.size, 2) * (2 if sys.platform == "linux" else 1)
assert len(exchanges) == kinds, exchanges
if communicator.rank == 0:
    print(json.dumps(result))
