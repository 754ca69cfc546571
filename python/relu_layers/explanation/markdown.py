"""The explanation as Markdown, formulas as LaTeX between dollars."""

from __future__ import annotations

import re
from collections.abc import Sequence

from relu_layers.explanation.blocks import Block, Step


def render(title: str, subtitle: str, steps: Sequence[Step]) -> str:
    """Return all steps as Markdown."""
    parts = [f"# {title}"]
    if subtitle:
        parts.append(_escaped(subtitle))
    number = 0
    for step in steps:
        number += step.key != "short"
        prefix = f"{number}. " if step.key != "short" else ""
        parts.append(f"## {prefix}{_escaped(step.title)}")
        parts += [_block(block) for block in step.blocks]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    if block.kind == "formula":
        return f"$$\n{block.latex}\n$$" if block.latex else f"```text\n{block.text}\n```"
    if block.kind == "worked":
        return f"```text\n{block.text}\n```"
    if block.kind == "code":
        return f"```python\n{block.text}\n```"
    if block.kind == "note":
        return f"*{_escaped(block.text)}*"
    if block.kind == "table":
        return _table(block)
    return _escaped(block.text)


def _table(block: Block) -> str:
    header = block.header or [""] * max(map(len, block.rows))
    lines = [_row(header), "|" + "---|" * len(header)]
    for number, row in enumerate(block.rows):
        cells = [_escaped(cell) for cell in row]
        lines.append(
            _row([f"**{cell}**" if cell else "" for cell in cells] if number == block.marked else cells)
        )
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escaped(words: str) -> str:
    return re.sub(r"([\\*_`|<>\[\]#])", r"\\\1", words)
