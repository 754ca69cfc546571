"""Steps that several ranks take together: each computes some minibatches of a group, all make the same update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from relu_layers._support.configured import Array
from relu_layers._training.meter import BatchMeasure
from relu_layers._training.ordered_sum import OrderedSum, SentSum, SharedSum
from relu_layers._training.ranks import Place, Ranks

_NOTHING = BatchMeasure(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class SharedSteps:
    """The minibatches of several ranks as those of one process.

    Rank r computes minibatches r, r + n, ... of what it is given, n being the number of ranks. Their gradients are
    added in the order of the minibatches; masks of dropout are those that one process would have drawn.

    Parameters
    ----------
    ranks : Ranks
    guard : UsageGuard
        Of the model: what looks at gradients cannot train it.
    gradients : ndarray (parameters,)
        The model's.
    progress : ndarray, int64 (2,)
        Minibatches so far, and those in the group that is not complete yet.
    counters : list of ndarray, uint64 (1,)
        Of the dropout layers.
    group_sum : callable
        ``group_sum()`` returns the array for the sum of a group that is not complete.
    """

    def __init__(
        self,
        ranks: Ranks,
        guard: Any,
        gradients: Array,
        progress: Array,
        counters: list[Array],
        group_sum: Callable[[], Array],
    ) -> None:
        self._ranks, self._guard, self._gradients = ranks, guard, gradients
        self._progress, self._counters, self._group_sum = progress, counters, group_sum
        self._sum: OrderedSum = SentSum(ranks.communicator, gradients)

    def run(
        self,
        count: int,
        compute: Callable[[int], BatchMeasure],
        update: Callable[[int], object] | None,
        watchers: Sequence[Callable[[], None]],
    ) -> list[BatchMeasure]:
        """Take ``count`` minibatches into the group and return what each gave, in their order.

        Parameters
        ----------
        compute : callable
            ``compute(i)`` fills the model's gradients from minibatch i of these.
        update : callable or None
            ``update(n)`` updates from the sum over n minibatches; None leaves the group open.
        watchers : sequence of callable
            What wants to see, or to change, the summed gradients on this rank. Where some rank has one, rank 0's sum
            is everyone's from then on.

        Notes
        -----
        What raises on one rank raises on all, and leaves parameters, optimizer, masks and sums as they were.
        """
        ranks, rank, progress = self._ranks, self._ranks.rank, self._progress
        summed = int(progress[1])
        masks = [int(counter[0]) for counter in self._counters]
        results: list[BatchMeasure] = []
        try:
            if ranks.memory is not None and not isinstance(self._sum, SharedSum):
                self._sum = SharedSum(ranks.communicator, self._gradients, ranks.memory)
            self._sum.begin(self._group_sum() if summed else None)
            for first in range(0, count, ranks.size):
                here = min(ranks.size, count - first)
                own = _NOTHING
                if rank < here:
                    self._set_masks(masks, first + rank)
                    own = compute(first + rank)
                rows = ranks.meet(Place.GRADIENT, *own, len(watchers))
                self._sum.add(here, last=first + here == count)
                results += [BatchMeasure(*row[: len(own)]) for row in rows[:here]]
            if update is None:
                np.copyto(self._group_sum(), self._gradients)
            else:
                if any(row[len(own)] for row in rows):
                    self._guard.begin_step()
                    try:
                        for watch in watchers:
                            watch()
                    finally:
                        self._guard.end_step()
                    ranks.meet(Place.UPDATE)
                    ranks.communicator.Bcast(self._gradients)
                update(summed + count)
        except BaseException:
            self._set_masks(masks, 0)
            raise
        self._set_masks(masks, count)
        progress[0] += count
        progress[1] = 0 if update is not None else summed + count
        return results

    def _set_masks(self, before: list[int], minibatches: int) -> None:
        """Set the counters to what they are after ``minibatches``."""
        for counter, value in zip(self._counters, before, strict=True):
            counter[0] = (value + minibatches) % 2**64
