"""The explanation for a terminal: plain text, or with the markup that rich understands."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Callable, Sequence

from relu_layers.explanation.blocks import Block, Step

_STYLES = {"title": "bold", "head": "bold cyan", "worked": "green", "formula": "bold", "note": "dim"}
Style = Callable[[str, str], str]


def plain(_style: str, words: str) -> str:
    """Return the words as they are."""
    return words.rstrip()


def marked_up(style: str, words: str) -> str:
    """Return the words with rich's markup."""
    words = words.rstrip()
    escaped = words.replace("\\", "\\\\").replace("[", "\\[")
    return f"[{_STYLES[style]}]{escaped}[/]" if style in _STYLES else escaped


def render(title: str, subtitle: str, steps: Sequence[Step], width: int, style: Style, closing: str) -> str:
    """Return all steps, no line wider than ``width``."""
    lines = [style("title", title)]
    lines += [style("note", line) for line in wrapped(subtitle, width)] if subtitle else []
    number = 0
    for step in steps:
        lines.append("")
        prefix = ""
        if step.key != "short":
            number += 1
            prefix = f"{number}. "
        head = wrapped(prefix + step.title, width)
        lines += [style("head", line) for line in head]
        lines.append(style("note", "-" * min(width, max(map(columns, head)))))
        for block in step.blocks:
            lines += _block(block, width, style)
    if closing:
        lines += ["", *(style("note", line) for line in wrapped(closing, width))]
    return "\n".join(lines)


def _block(block: Block, width: int, style: Style) -> list[str]:
    if block.kind == "table":
        return _table(block, width, style)
    if block.kind == "code":
        return [
            style("code", "    " + line) for part in block.text.splitlines() for line in _cut(part, width - 4)
        ]
    indents = {"formula": ("    ", "      "), "worked": ("    ", "      ")}
    first, rest = indents.get(block.kind, ("  ", "  "))
    return [style(block.kind, line) for line in wrapped(block.text, width, first, rest)]


def _cut(line: str, width: int) -> list[str]:
    """Return a line of code in pieces that fit, broken at blanks."""
    return textwrap.wrap(line, width, subsequent_indent="        ", drop_whitespace=False) or [""]


def _table(block: Block, width: int, style: Style) -> list[str]:
    rows = [block.header, *block.rows] if block.header else block.rows
    count = max(map(len, rows))
    widths = [max(columns(row[i]) for row in rows if i < len(row)) for i in range(count)]
    room = width - 4 - 2 * (count - 1)
    while sum(widths) > room and max(widths) > 8:
        widest = widths.index(max(widths))
        widths[widest] -= 1
    lines = []
    numeric = [
        bool(block.header) and i > 0 and all(_is_number(row[i]) for row in block.rows) for i in range(count)
    ]
    for number, row in enumerate(rows):
        cells = [wrapped(cell, w) or [""] for cell, w in zip(row, widths, strict=False)]
        head = bool(block.header) and number == 0
        mark = ">" if number - bool(block.header) == block.marked and not head else " "
        for k in range(max(map(len, cells))):
            parts = []
            for i, cell in enumerate(cells):
                part = cell[k] if k < len(cell) else ""
                gap = " " * max(widths[i] - columns(part), 0)
                parts.append(gap + part if numeric[i] else part + gap)
            line = f"  {mark if k == 0 else ' '} " + "  ".join(parts)
            lines.append(style("formula" if head or mark == ">" else "cell", line.rstrip()))
    return lines


def _is_number(cell: str) -> bool:
    return cell[:1] in "-0123456789" or cell in ("nan", "inf")


def columns(words: str) -> int:
    """Return how many columns of a terminal the words take: East Asian characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in words)


def wrapped(words: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """Return the words in lines of at most ``width`` columns; East Asian text breaks anywhere."""
    lines, line = [], first
    empty = True
    for piece in _pieces(words):
        if columns(line) + columns(piece.rstrip()) > width and not empty:
            lines.append(line)
            line, empty = rest, True
        if empty:
            piece = piece.lstrip()
        while columns(line) + columns(piece.rstrip()) > width and columns(line) < width - 1:
            room = width - columns(line)
            taken = 0
            while taken < len(piece) and columns(piece[: taken + 1]) <= room:
                taken += 1
            lines.append(line + piece[:taken])
            line, piece = rest, piece[taken:]
        line += piece
        empty = empty and not piece
    return [*lines, line] if line.strip() else lines


def _pieces(words: str) -> list[str]:
    """Return words with the blank behind them; each East Asian character by itself, closing marks attached."""
    pieces: list[str] = []
    current = ""
    for c in words:
        wide = unicodedata.east_asian_width(c) in "WF"
        if wide and c in "。、)」:":
            if current:
                current += c
            elif pieces:
                pieces[-1] += c
            continue
        if wide:
            pieces += [current] if current else []
            current = ""
            pieces.append(c)
        else:
            current += c
            if c == " ":
                pieces.append(current)
                current = ""
    return [*pieces, current] if current else pieces
