"""The five-minute version of docs/backprop.md, read as by someone who has nothing else: line by line, with a pencil."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

import relu_layers as rl

DOCS = Path(__file__).resolve().parent.parent / "docs"
VERSIONS = {
    "backprop.md": ("## In five minutes", "## The long version"),
    "backprop.ja.md": ("# 5 分で読む", None),
}
NUMBER = r"\d+(?:\.\d+)?"
# `z1[0] = 1*0.5 + 2*1 + (-0.5) = 2`; several stand in a line, with blanks between them.
CHAIN = re.compile(r"([A-Za-z]\w*\[[\d,]+\]|loss|損失) = (.+?)(?= {3,}|$)")
MATRIX = re.compile(r"^(\w+)\s*=\s*((?:\(.*\)[^\n]*\n\s*)+)", re.M)


def section(name: str) -> str:
    """Return the five-minute version of a page."""
    text = (DOCS / name).read_text(encoding="utf-8")
    start, end = VERSIONS[name]
    text = text[text.index(start) :]
    return text if end is None else text[: text.index(end)]


def blocks(name: str) -> list[str]:
    """Return its blocks of numbers, in order."""
    return re.findall(r"^```\n(.*?)^```$", section(name), re.M | re.S)


def given(name: str) -> dict[str, np.ndarray]:
    """Return the arrays that the reader is given."""
    found: dict[str, np.ndarray] = {}
    last = ""
    for line in blocks(name)[0].splitlines():
        head = re.match(r"\s*(?:(\w+)\s*=\s*)?\(([^)]*)\)", line)
        if head is None:
            continue
        row = [float(number) for number in head[2].split()]
        if head[1]:
            last = head[1]
            found[last] = np.array([row])
        else:
            found[last] = np.vstack([found[last], row])
    return found


def value(expression: str) -> float:
    """Return what an expression of numbers, ``exp`` and ``log`` is."""
    assert re.fullmatch(r"[-+*/().\d ]*", re.sub(r"\b(?:exp|log)\b", "", expression)), expression
    return float(eval(expression, {"__builtins__": {}, "exp": math.exp, "log": math.log}))


@pytest.mark.parametrize("name", VERSIONS)
def test_every_line_is_right(name: str) -> None:
    chains = [
        chain for block in blocks(name)[1:] for line in block.splitlines() for chain in CHAIN.findall(line)
    ]
    assert len(chains) > 20
    for symbol, chain in chains:
        parts = [part.strip() for part in chain.split(" = ")]
        for part in parts[1:]:
            assert value(part) == pytest.approx(value(parts[0]), abs=5e-7), (symbol, chain)


@pytest.mark.parametrize("name", VERSIONS)
def test_every_number_that_a_line_needs_stands_before_it(name: str) -> None:
    # What the text gives beside the arrays: gates and wanted values of 0 and 1, and the rate.
    known = {0.0, 1.0, 0.1} | {abs(float(v)) for array in given(name).values() for v in array.ravel()}
    for block in blocks(name)[1:]:
        results = set()
        for line in block.splitlines():
            for symbol, chain in CHAIN.findall(line):
                parts = [part.strip() for part in chain.split(" = ")]
                for part in parts[:-1]:
                    needed = {float(number) for number in re.findall(NUMBER, part)}
                    assert needed <= known, (symbol, chain, needed - known)
                results.add(abs(value(parts[-1])))
        known |= results


@pytest.mark.parametrize("name", VERSIONS)
def test_the_reader_arrives_at_the_gradient_of_the_kernels(name: str) -> None:
    arrays = given(name)
    assert {key: array.shape for key, array in arrays.items()} == {
        "x": (1, 2),
        "W1": (2, 3),
        "b1": (1, 3),
        "W2": (3, 2),
        "b2": (1, 2),
    }
    model = rl.Sequential(rl.Dense(2, 3), rl.ReLU(), rl.Dense(3, 2), dtype=np.float64)
    model.load_params(
        {
            "0.weight": arrays["W1"],
            "0.bias": arrays["b1"][0],
            "2.weight": arrays["W2"],
            "2.bias": arrays["b2"][0],
        }
    )
    trainer = rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.SGD(0.1))
    trainer.step(arrays["x"], np.array([1]))
    wanted = model.grads["0.weight"]
    found = np.full((2, 3), np.nan)
    for i, j, chain in re.findall(r"dW1\[(\d),(\d)\] = (.+?)(?= {3,}|$)", "\n".join(blocks(name)), re.M):
        found[int(i), int(j)] = value(chain.split(" = ")[-1])
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_both_languages_hold_the_same_numbers() -> None:
    english, japanese = ([re.findall(NUMBER, block) for block in blocks(name)] for name in VERSIONS)
    assert [sorted(numbers) for numbers in english] == [sorted(numbers) for numbers in japanese]


def test_japanese_punctuation_is_full_width() -> None:
    kana = "ぁ-んァ-ヶ一-龠ー"
    for path in (DOCS / "backprop.ja.md", DOCS.parent / "README.ja.md"):
        text = re.sub(
            r"^```.*?^```$|`[^`]*`|\]\([^)]*\)|\[\w+\]\([^)]*\)",
            "",
            path.read_text(encoding="utf-8"),
            flags=re.M | re.S,
        )
        wrong = re.search(rf"[{kana}」）] ?[:;!?,.]|[:;!?,.] ?[{kana}「（]|[{kana}]\(|\)[{kana}]", text)
        assert wrong is None, (path.name, wrong)


def test_it_takes_five_minutes() -> None:
    # The numbers are read slowly, the words at 200 a minute.
    text = re.sub(r"^```.*?^```$", "", section("backprop.md"), flags=re.M | re.S)
    assert len(text.split()) < 600
