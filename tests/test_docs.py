"""Every code block in the README and the docs runs, and prints what stands below it.

A ``python`` block prints exactly the ``text`` block that follows it, or nothing if none follows. The blocks
of one page share their names and a folder, from top to bottom. A ``console`` block holds ``$ relu-layers``
commands, with lines of their output below them or none. A page whose first line is ``<!-- needs: torch jax -->``
runs where these packages are, and so does a block after such a line.

``python tests/test_docs.py`` writes the output of the blocks into the pages again; read the difference
before you commit it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "README.ja.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(
    r"(?:^<!-- needs: (?P<needs>[\w ]+) -->\n)?"
    r"^```(?P<kind>python|console)\n(?P<code>.*?)^```$(?:\n+^```text\n(?P<output>.*?)^```$)?",
    re.M | re.S,
)
NEEDS = re.compile(r"\A<!-- needs: ([\w ]+) -->$", re.M)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
FENCED = re.compile(r"^```.*?^```$", re.M | re.S)


def needed(text: str) -> list[str]:
    """Return the packages that a page's first line asks for."""
    marker = NEEDS.match(text)
    return marker[1].split() if marker else []


def run_page(text: str, folder: Path) -> list[tuple[re.Match[str], str]]:
    """Run the blocks of a page in ``folder``; return each python block with what it printed."""
    names: dict[str, object] = {"__name__": "__main__"}
    results = []
    with contextlib.chdir(folder):
        for block in BLOCK.finditer(text):
            if not all(importlib.util.find_spec(package) for package in (block["needs"] or "").split()):
                continue
            if block["kind"] == "console":
                run_commands(block["code"])
                continue
            line = text.count("\n", 0, block.start("code"))
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile("\n" * line + block["code"], "page", "exec", dont_inherit=True), names)
            results.append((block, printed.getvalue()))
    return results


def run_commands(code: str) -> None:
    """Run the lines that begin with ``$ relu-layers``; the others are their output, shortened.

    Every line of an output is printed by its command, but for ``...`` where lines are left out. A command whose
    output begins with ``Error:`` fails.
    """
    for command, output in re.findall(r"^\$ relu-layers (.*)\n((?:(?!\$ ).*\n)*)", code, re.M):
        arguments = [sys.executable, "-m", "relu_layers", *shlex.split(command)]
        run = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
        printed = f"{run.stdout}{run.stderr}"
        assert (run.returncode != 0) == output.startswith("Error:"), f"relu-layers {command}\n{printed}"
        missing = set(comparable(output)) - {"", "..."} - set(comparable(printed))
        assert not missing, f"relu-layers {command} prints\n{printed}"


def comparable(printed: str) -> list[str]:
    """Lines without blanks at their ends, which editors strip."""
    return [line.rstrip() for line in printed.splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_print_what_the_page_says(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if "sklearn" in "".join(block["code"] for block in BLOCK.finditer(text)):
        pytest.importorskip("sklearn")
    for package in needed(text):
        pytest.importorskip(package, reason=f"{page.name} needs {package}, which is not installed")
    for block, printed in run_page(text, tmp_path):
        line = text.count("\n", 0, block.start()) + 1
        expected = comparable(block["output"] or "")
        assert comparable(printed) == expected, f"{page.name}, block in line {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_files_that_contributors_are_sent_to_exist() -> None:
    """All but those of the recipe's activation, which is made up."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = {path for path in re.findall(r"`([\w.]*/[\w./]+)`", text) if "square" not in path}
    assert len(named) > 20
    for path in named:
        assert (ROOT / path).exists() or (ROOT / "python" / "relu_layers" / path).exists(), path


def test_the_first_line_names_what_a_page_needs() -> None:
    assert needed("<!-- needs: torch jax -->\n# Title\n") == ["torch", "jax"]
    assert needed("# Title\n<!-- needs: torch -->\n") == []


def test_a_block_that_prints_something_else_is_noticed(tmp_path: Path) -> None:
    page = "```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n"
    [(block, printed)] = run_page(page, tmp_path)
    assert (block["output"], printed) == ("3\n", "2\n")


def rewrite(page: Path) -> None:
    """Put the real output of every block below it."""
    text = page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        results = run_page(text, Path(folder))
    for block, printed in reversed(results):
        shown = "\n".join(comparable(printed))
        below = f"\n\n```text\n{shown}\n```" if shown else ""
        text = text[: block.end("code")] + "```" + below + text[block.end() :]
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "agg")
    for each in PAGES:
        if all(importlib.util.find_spec(package) for package in needed(each.read_text(encoding="utf-8"))):
            rewrite(each)
