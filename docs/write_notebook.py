"""Write examples/tour.ipynb, executed, and docs/notebook.md from it: ``python docs/write_notebook.py``.

The cells stand below. The page shows them with what a kernel gave for each; a test compares the code of the three,
so run this after a change here. It needs nbformat, nbclient and ipykernel.
"""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
NOTEBOOK = DOCS.parent / "examples" / "tour.ipynb"
PAGE = DOCS / "notebook.md"
PICTURES = DOCS / "pictures" / "notebook"

# A cell that begins with "#" and a blank, or "##", is text.
CELLS = (
    """# In a notebook

For people who work in Jupyter: what each object shows when it is the last line of a cell. Nothing has to be switched
on, not even `%matplotlib inline`. The notebook is `examples/tour.ipynb`; it needs `pip install ".[plot]"`.""",
    """import relu_layers as rl

x, y = rl.data.two_moons(400, noise=0.15, rng=0)
model = rl.mlp([2, 16, 16, 2], negative_slope=0.01, rng=0)
print(model.summary())""",
    """## Before the training

`sanity_check` runs what is worth running before a long training, on copies, and says what to do about a finding.""",
    """rl.sanity_check(model, x, y, optimizer=rl.Adam(0.01))""",
    """## Training

The progress is one line, overwritten until it is done; the history shows itself.""",
    """trainer = rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.Adam(0.01))
train, held_out = (x[:300], y[:300]), (x[300:], y[300:])
history = trainer.fit(*train, epochs=40, batch_size=20, validation=held_out, progress=True)
history""",
    """history.plot()""",
    """## Are the gradients right?

Every number of a small network is compared with differences of its loss.""",
    """rl.gradcheck(rl.mlp([2, 3, 2], rng=0), x[:6], y[:6], rl.SoftmaxCrossEntropy())""",
    """## One step, explained

`save_html` writes the same as a page to click through.""",
    """rl.explain(rl.mlp([2, 3, 2], rng=0), x[:4], y[:4], lang="en")""",
)


def is_text(cell: str) -> bool:
    """Return whether a cell is Markdown."""
    return re.match(r"##? ", cell) is not None


def executed() -> Any:
    """Return the notebook with the outputs of a kernel, and nothing that changes from run to run without need."""
    import nbformat
    from nbclient import NotebookClient

    made = nbformat.v4.new_notebook()
    for number, cell in enumerate(CELLS):
        new = nbformat.v4.new_markdown_cell if is_text(cell) else nbformat.v4.new_code_cell
        made.cells.append(new(cell, id=f"cell-{number}"))
    # As Jupyter shows it: what follows a carriage return is written over the line.
    client = NotebookClient(made, timeout=120, record_timing=False, coalesce_streams=True)
    client.execute()
    made.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return made


def shown(output: Any, number: int) -> str:
    """Return an output as Markdown: prints as text, HTML as it is, a picture as a file beside the page."""
    if output.output_type == "stream":
        if output.name == "stdout":
            return f"```text\n{output.text.rstrip()}\n```\n"
        return raw(f"<pre>{output.text.strip()}</pre>")
    assert output.output_type in {"execute_result", "display_data"}, output
    if "image/png" in output.data:
        from PIL import Image  # comes with matplotlib

        PICTURES.mkdir(parents=True, exist_ok=True)
        path = PICTURES / f"cell_{number}.png"
        with Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))) as picture:
            small = picture.convert("RGB").quantize(64, dither=Image.Dither.NONE)
        small.save(path, optimize=True)
        return f"![What the cell above draws](pictures/notebook/{path.name})\n"
    return raw(output.data["text/html"])


def raw(html: str) -> str:
    """Return HTML as an output of a cell."""
    return f'```{{raw}} html\n<div class="notebook-output">\n{html.strip()}\n</div>\n```\n'


def page(notebook: Any) -> str:
    """Return the page: the cells, and below each what it shows."""
    parts = ["<!-- needs: matplotlib -->"]
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            parts.append(f"{cell.source}\n")
            continue
        parts.append(f"```python\n{cell.source}\n```\n")
        parts += [shown(output, number) for output in cell.outputs]
    return "\n".join(parts)


if __name__ == "__main__":
    import nbformat

    made = executed()
    nbformat.write(made, NOTEBOOK)
    PAGE.write_text(page(made), encoding="utf-8")
