"""The explanation as HTML without a script: for notebooks, for print, and for a page without JavaScript."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from relu_layers.explanation.blocks import BARS, Block, Step

_TAGS = {
    "text": "<p>{}</p>",
    "note": '<p class="note">{}</p>',
    "formula": '<pre class="formula"{style}>{}</pre>',
    "worked": '<pre class="worked"{style}>{}</pre>',
    "code": '<pre class="code"{style}>{}</pre>',
}


def render(steps: Sequence[Step], level: int = 2, numbered: bool = True, styled: bool = False) -> str:
    """Return all steps, each a section with a heading of the given level.

    ``styled`` is for notebooks, which have no stylesheet of ours and set a ``pre`` in the font of the text.
    """
    parts = []
    number = 0
    for step in steps:
        number += step.key != "short"
        prefix = f"{number}. " if numbered and step.key != "short" else ""
        body = "\n".join(_block(block, styled) for block in step.blocks)
        parts.append(f"<section>\n<h{level}>{prefix}{escape(step.title)}</h{level}>\n{body}\n</section>")
    return "\n".join(parts)


def _block(block: Block, styled: bool) -> str:
    if block.kind != "table":
        style = ' style="font-family:monospace"' if styled else ""
        return _TAGS[block.kind].format(escape(block.text), style=style)
    head = ""
    if block.header:
        head = "<thead><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in block.header) + "</tr></thead>"
    rows = []
    for number, row in enumerate(block.rows):
        bold = ' style="font-weight:bold"' if styled else ""
        mark = f' class="marked"{bold}' if number == block.marked else ""
        rows.append(f"<tr{mark}>" + "".join(map(_cell, row)) + "</tr>")
    return f'<div class="scroll"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'


def _cell(words: str) -> str:
    if words.startswith("|") and words.endswith("|"):
        return f'<td class="bars">{_bars(words[1:-1])}</td>'
    # HTML draws blanks together; here they keep a formula apart from the shape behind it.
    return f"<td>{escape(words).replace('  ', '&nbsp; ')}</td>"


def _bars(histogram: str) -> str:
    """Return a histogram of characters as a drawing: the higher the bar, the later its character in the list."""
    highest = len(BARS) - 1
    bars = "".join(
        f'<rect x="{10 * place + 1}" y="{highest - height}" width="8" height="{height}"/>'
        for place, character in enumerate(histogram)
        if (height := BARS.find(character)) > 0
    )
    shape = f'viewBox="0 0 {10 * len(histogram)} {highest}" preserveAspectRatio="none"'
    return f'<svg {shape} width="144" height="24" role="img" aria-label="{escape(histogram)}">{bars}</svg>'
