"""Trains the random configurations on all ranks; rank 0 prints one JSON object of digests."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import relu_layers as rl
from relu_layers.data import ArraySource
from relu_layers.distributed import world

sys.path.insert(0, str(Path(__file__).resolve().parent))
from configurations import Case, file_digest, state

communicator = world()
folder, seeds = Path(sys.argv[1]), range(int(sys.argv[2]), int(sys.argv[3]))
result = {}
for seed in seeds:
    case = Case(seed)
    trainer = case.trainer(communicator.size, communicator=communicator)
    case.fit(trainer)
    states = communicator.allgather(state(trainer))
    assert len(set(states)) == 1, f"configuration {seed}: ranks differ"
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
if communicator.rank == 0:
    print(json.dumps(result))
