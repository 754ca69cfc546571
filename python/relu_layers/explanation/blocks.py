"""The input of the renderers: steps made of blocks, all numbers already in words; and the format of numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from relu_layers._support.configured import Array

# Terms of a sum that are written out, and numbers of a row.
TERMS, SHOWN = 6, 8
BARS = " .:-=+*#@"


@dataclass(frozen=True)
class Block:
    """A piece of a step.

    ``kind`` is text, formula (with ``latex``), worked (a formula with numbers), note, or table (with ``header``
    and ``rows``; ``marked`` is the row to look at).
    """

    kind: str
    text: str = ""
    latex: str = ""
    header: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    marked: int = -1


@dataclass(frozen=True)
class Step:
    """One step of the explanation: a key that stays the same in every language, a title, blocks."""

    key: str
    title: str
    blocks: list[Block]


def text(words: str) -> Block:
    """Return a paragraph."""
    return Block("text", words)


def note(words: str) -> Block:
    """Return a remark."""
    return Block("note", words)


def worked(words: str) -> Block:
    """Return a formula with numbers."""
    return Block("worked", words)


def formula_block(plain: str, latex: str = "") -> Block:
    """Return a formula in symbols."""
    return Block("formula", plain, latex)


def table(header: str, rows: list[list[str]], marked: int = -1) -> Block:
    """Return a table; the names of its columns are separated by bars."""
    return Block("table", header=header.split("|"), rows=rows, marked=marked)


def number(value: Any) -> str:
    """Return a number with at most six digits that count, and a point."""
    value = float(value)
    if value == 0.0:
        return "0.0"
    shown = f"{value:.6g}"
    return shown if any(sign in shown for sign in ".eni") else shown + ".0"


def latex_symbol(symbol: str) -> str:
    """Return ``z1`` as ``z_{1}``."""
    return f"{symbol[0]}_{{{symbol[1:]}}}" if len(symbol) > 1 else symbol


def factor(value: Any) -> str:
    """Return a number as a factor or a summand: negative ones in brackets."""
    shown = number(value)
    return f"({shown})" if shown.startswith("-") else shown


def numbers(values: Array, limit: int = SHOWN) -> str:
    """Return a row of numbers, the rest of a long one counted."""
    flat = np.ravel(values)
    shown = ", ".join(map(number, flat[:limit]))
    return f"[{shown}]" if len(flat) <= limit else f"[{shown}, ... +{len(flat) - limit:,}]"


def named_numbers(values: Array, names: Sequence[str], limit: int = SHOWN) -> str:
    """Return a row of numbers, each behind the name of its column, the rest of a long one counted."""
    shown = ", ".join(f"{name} {number(v)}" for name, v in zip(names[:limit], values, strict=False))
    return shown if len(values) <= limit else f"{shown}, ... +{len(values) - limit:,}"


def product_sum(a: Sequence[Any] | Array, b: Sequence[Any] | Array, more: Callable[[int], str]) -> str:
    """Return ``a0*b0 + a1*b1 + ...``: of many terms the largest, and the sum of the others."""
    first, second = np.asarray(a), np.asarray(b)
    chosen = np.arange(len(first))
    if len(first) > TERMS:
        chosen = np.sort(np.argsort(-np.abs(first * second), kind="stable")[: TERMS - 1])
    terms = [f"{factor(first[i])}*{factor(second[i])}" for i in chosen]
    if terms and terms[0].startswith("("):
        terms[0] = terms[0].replace("(", "", 1).replace(")", "", 1)
    if len(chosen) < len(first):
        rest = float(np.sum(np.delete(first * second, chosen)))
        terms.append(f"{factor(rest)} ({more(len(first) - len(chosen))})")
    return " + ".join(terms)


def plain_sum(values: Array, more: Callable[[int], str]) -> str:
    """Return ``a0 + a1 + ...``: of many terms the largest, and the sum of the others."""
    chosen = np.arange(len(values))
    if len(values) > TERMS:
        chosen = np.sort(np.argsort(-np.abs(values), kind="stable")[: TERMS - 1])
    terms = [number(values[i]) if k == 0 else factor(values[i]) for k, i in enumerate(chosen)]
    if len(chosen) < len(values):
        rest = float(np.sum(np.delete(values, chosen)))
        terms.append(f"{factor(rest)} ({more(len(values) - len(chosen))})")
    return " + ".join(terms)


def signs(values: Array, limit: int = 64) -> str:
    """Return the pattern of signs: + above 0, - below, 0 exactly 0."""
    marks = "".join("+" if v > 0 else "-" if v < 0 else "0" if v == 0 else "?" for v in values[:limit])
    return marks if len(values) <= limit else marks + "..."


def histogram(values: Array, bins: int = 16) -> str:
    """Return how the values are spread from the smallest to the largest, a character per bin."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return "-"
    counts = np.histogram(finite, bins=bins)[0]
    scaled = np.ceil(counts / counts.max() * (len(BARS) - 1)).astype(int)
    return "".join(BARS[i] for i in scaled)
