"""The card of a model: what it was trained on, as plain values that every format of ours can hold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_DEEPEST = 8
# A card is read by people.
_MOST_VALUES = 10_000
_LARGEST = 2**63


def checked_card(card: Any) -> dict[str, Any] | None:
    """Return a card as dicts, lists, text, numbers, booleans and None, which every format gives back as they are.

    Tuples become lists, NumPy's numbers Python's. Anything else, a number that is not finite, and a card of more than
    10,000 values or nested deeper than 8 times is a ValueError: neither written nor believed in a file.
    """
    if card is None:
        return None
    if not isinstance(card, dict):
        raise ValueError(f"the card is a {type(card).__name__}, expected a dict or None")
    checked: dict[str, Any] = _plain(card, "card", [_MOST_VALUES], 0)
    return checked


def _plain(value: Any, where: str, left: list[int], depth: int) -> Any:
    """Return a value of a card that stands at ``where``; ``left`` counts the values that may follow."""
    left[0] -= 1
    if left[0] < 0 or depth > _DEEPEST:
        what = (
            f"holds more than {_MOST_VALUES:,} values"
            if left[0] < 0
            else f"is nested more than {_DEEPEST} times"
        )
        raise ValueError(f"the card {what}: keep what people read")
    if isinstance(value, dict):
        wrong = next((key for key in value if not isinstance(key, str) or key == "__array__"), None)
        if wrong is not None:
            raise ValueError(f"{where}: key {wrong!r} cannot be written to a file, use text")
        return {str(key): _plain(part, f"{where}[{key!r}]", left, depth + 1) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part, f"{where}[{index}]", left, depth + 1) for index, part in enumerate(value)]
    return _single(value.item() if isinstance(value, np.generic) else value, where)


def _single(value: Any, where: str) -> str | float | bool | None:
    """Return a text, a finite number, a truth value or None."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int) and -_LARGEST <= value < _LARGEST:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, (int, float)):
        raise ValueError(f"{where} is {str(value)[:40]}, expected a finite number below 2^63, or None")
    way = ": write a list" if isinstance(value, (np.ndarray, set, frozenset)) else ", write text"
    raise ValueError(f"{where} is a {type(value).__name__}{way}")
