"""Splits: sizes, classes spread evenly, no row twice."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("click")

from relu_layers.cli.splitting import split_rows


@pytest.mark.parametrize("rows", [10, 101, 1797])
@pytest.mark.parametrize("fractions", [(0.0, 0.0), (0.1, 0.2), (0.33, 0.33), (0.0, 0.5)])
def test_every_row_is_in_one_part_and_sizes_fit(rows: int, fractions: tuple[float, float]) -> None:
    parts = split_rows(rows, None, *fractions, np.random.default_rng(0))
    together = np.concatenate([parts.train, parts.validation, parts.test])
    assert np.array_equal(np.sort(together), np.arange(rows))
    assert abs(len(parts.test) - rows * fractions[1]) <= 1
    assert abs(len(parts.validation) - rows * fractions[0]) <= 2


@pytest.mark.parametrize("seed", range(10))
def test_classes_are_spread_evenly(seed: int) -> None:
    labels = np.repeat([0, 1, 2], [500, 100, 20])
    parts = split_rows(len(labels), labels, 0.1, 0.2, np.random.default_rng(seed))
    for part, fraction in ((parts.test, 0.2), (parts.validation, 0.1), (parts.train, 0.7)):
        counts = np.bincount(labels[part], minlength=3)
        assert np.all(np.abs(counts - fraction * np.array([500, 100, 20])) <= 2)


@pytest.mark.parametrize("seed", range(20))
def test_every_class_is_in_training(seed: int) -> None:
    labels = np.concatenate([np.zeros(50, dtype=int), [1, 2, 3]])
    parts = split_rows(len(labels), labels, 0.3, 0.4, np.random.default_rng(seed))
    assert set(labels[parts.train]) == {0, 1, 2, 3}


def test_the_seed_decides() -> None:
    first, again, other = (split_rows(100, None, 0.1, 0.2, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.test, again.test)
    assert not np.array_equal(first.test, other.test)


def test_too_few_rows_say_so() -> None:
    with pytest.raises(ValueError, match="2 rows are too few"):
        split_rows(2, None, 0.1, 0.1, np.random.default_rng(0))
