"""Ranks that differ, that fail, that stop, that step by themselves: one job for each number of ranks."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from mpi import HERE, run

# What each rank's error has to say; {last} is the number of the last rank, {size} how many there are.
EXPECTED = {
    "rate": r"RankError: .*learning_rate of the optimizer is .*0\.1.* on rank 0, but .*0\.2.* on rank 1",
    "seed": r"RankError: .*array of parameters.*checksum .* on rank 0, but .* on rank 1",
    "batch_size": r"RankError: .*batch_size is 4 on rank 0, but 5 on rank {last}",
    "data": r"RankError: .*x is float32 of shape \(64, 4\), checksum .* on rank 0, but .* on rank 1$",
    "validation": r"RankError: .*validation x is float32 of shape \(8, 4\).* but .*shape \(9, 4\).* on rank 1",
    "clip": r"RankError: .*clip_norm is 1\.0 on rank 0, but None on rank 1",
    "argument": r"(RankError: rank 1 of {size}: )?ValueError: Trainer\.fit: epochs is -1",
    "order": r"RankError: .*the order of epoch 1",
    "row": r"ValueError: Trainer\.fit: x\[9, 0\] is nan, expected finite numbers",
    "divergence": r"DivergenceError: .*epoch 1, batch 3: the loss is (nan|inf); the output of layer 0",
    "places": r"RankError: .*different places.*rank 0: gradient, rank 1: agreement",
    "changed": r"RankError: the parameters of rank 1.* every rank",
    "no communicator": r"TypeError: Trainer: communicator is <object .*expected an mpi4py communicator",
    "null communicator": r"ValueError: Trainer: communicator is .*no ranks",
    "group": r"ValueError: .*take 5 minibatches, which {size} ranks cannot share",
}
MOMENTS = ("fit_begin", "epoch_begin", "gradients_ready", "step_end", "epoch_end", "fit_end")


@pytest.fixture(scope="module")
def printed() -> Callable[[int], dict[str, list[str]]]:
    """Errors by what was tried, one for each rank; every number of ranks runs once."""
    known: dict[int, dict[str, list[str]]] = {}

    def of(ranks: int) -> dict[str, list[str]]:
        if ranks not in known:
            out = run(ranks, HERE / "program_behaviour.py")
            assert out.endswith("done\n"), out
            found: dict[str, list[str]] = {}
            for name, _, text in re.findall(r"^(.*?) \| (\d+) \| (.*)$", out, re.M):
                found.setdefault(name, []).append(text)
            known[ranks] = found
        return known[ranks]

    return of


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("what", EXPECTED)
def test_every_rank_says_what_is_wrong_where(
    what: str, ranks: int, printed: Callable[[int], dict[str, list[str]]]
) -> None:
    texts = printed(ranks)[what]
    assert len(texts) == ranks
    pattern = EXPECTED[what].replace("{last}", str(ranks - 1)).replace("{size}", str(ranks))
    for text in texts:
        assert re.match(pattern, text), text


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_callback_that_raises_on_one_rank_raises_on_all(
    moment: str, ranks: int, printed: Callable[[int], dict[str, list[str]]]
) -> None:
    *others, own = printed(ranks)[f"on_{moment}"]
    assert own == "OSError: the disk is full"
    assert others == [f"RankError: rank {ranks - 1} of {ranks}: OSError: the disk is full"] * (ranks - 1)
