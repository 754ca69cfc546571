"""The explanation as HTML without a script: for notebooks, for print, and for a page without JavaScript."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from relu_layers.explanation.blocks import Block, Step

_TAGS = {
    "text": "<p>{}</p>",
    "note": '<p class="note">{}</p>',
    "formula": '<pre class="formula">{}</pre>',
    "worked": '<pre class="worked">{}</pre>',
    "code": '<pre class="code">{}</pre>',
}


def render(steps: Sequence[Step], level: int = 2, numbered: bool = True) -> str:
    """Return all steps, each a section with a heading of the given level."""
    parts = []
    number = 0
    for step in steps:
        number += step.key != "short"
        prefix = f"{number}. " if numbered and step.key != "short" else ""
        body = "\n".join(_block(block) for block in step.blocks)
        parts.append(f"<section>\n<h{level}>{prefix}{escape(step.title)}</h{level}>\n{body}\n</section>")
    return "\n".join(parts)


def _block(block: Block) -> str:
    if block.kind != "table":
        return _TAGS[block.kind].format(escape(block.text))
    head = ""
    if block.header:
        head = "<thead><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in block.header) + "</tr></thead>"
    rows = []
    for number, row in enumerate(block.rows):
        mark = ' class="marked"' if number == block.marked else ""
        rows.append(f"<tr{mark}>" + "".join(map(_cell, row)) + "</tr>")
    return f'<div class="scroll"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'


def _cell(words: str) -> str:
    # A histogram of characters needs its blanks.
    kind = ' class="bars"' if words.startswith("|") and words.endswith("|") else ""
    return f"<td{kind}>{escape(words)}</td>"
