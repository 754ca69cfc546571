"""NumPy generators in a forked child, where their locks may belong to threads that the child does not have."""

from __future__ import annotations

import copy
import os
import weakref
from typing import Any

import numpy as np

_owners: dict[int, weakref.ref[Any]] = {}


def renew_after_fork(owner: Any) -> None:
    """Let ``owner.rng`` be usable in every forked child, for as long as ``owner`` lives.

    A generator whose lock another thread held at the fork is replaced in the child by one in the same state: nothing
    would ever release it there. Owners that shared one share its successor.
    """
    key = id(owner)
    _owners[key] = weakref.ref(owner, lambda _: _owners.pop(key, None))


def _renew() -> None:
    renewed: dict[int, np.random.Generator] = {}
    for reference in list(_owners.values()):
        owner = reference()
        if owner is None:
            continue
        rng = owner.rng
        if rng.bit_generator.lock.acquire(blocking=False):
            rng.bit_generator.lock.release()
            continue
        if id(rng) not in renewed:
            renewed[id(rng)] = np.random.Generator(copy.deepcopy(rng.bit_generator))
        owner.rng = renewed[id(rng)]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
