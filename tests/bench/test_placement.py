"""The core that opponents share."""

from __future__ import annotations

import os

import pytest

from relu_layers.bench import placement


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system lets no process choose its core")
def test_the_idlest_core_is_one_of_ours_and_looking_changes_nothing() -> None:
    before = os.sched_getaffinity(0)
    core = placement.idlest_core()
    assert core in before
    assert os.sched_getaffinity(0) == before
    assert core is not None
    try:
        placement.stay_on({core})
        assert placement.usable_cores() == {core}
    finally:
        placement.stay_on(before)
    assert os.sched_getaffinity(0) == before


def test_without_a_choice_there_is_no_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert placement.idlest_core() is None
    assert placement.usable_cores() == set()
    placement.stay_on({0})
