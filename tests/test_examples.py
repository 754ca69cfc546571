"""Every example runs as the user would run it, and what it prints is true."""

from __future__ import annotations

import importlib.util
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
PICTURES = ROOT / "docs" / "pictures" / "gallery"
NUMBER = r"(-?\d+\.\d+)"
# Warnings are errors in the examples too, less those that the Python of the tests was asked to pass over.
STRICT = [sys.executable, *(word for rule in ("error", *sys.warnoptions) for word in ("-W", rule))]


def run_example(name: str, folder: Path) -> str:
    """Return what the example printed."""
    run = subprocess.run(
        [*STRICT, str(EXAMPLES / name)], capture_output=True, text=True, cwd=folder, timeout=120
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ""
    return run.stdout


def test_every_example_is_tested_and_listed() -> None:
    names = {path.name for path in EXAMPLES.glob("*.py")}
    own = Path(__file__).read_text(encoding="utf-8")
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert names == set(re.findall(r'run_example\("(\w+\.py)"', own))
    assert names == set(re.findall(r"`(\w+\.py)`", listed))


def test_xor_prints_the_same_losses_as_numpy(tmp_path: Path) -> None:
    output = run_example("xor.py", tmp_path)
    rows = re.findall(rf"^ +(\d+) +{NUMBER} +{NUMBER}$", output, re.M)
    assert [int(row[0]) for row in rows] == [0, 25, 50, 75, 100, 125, 150, 175, 199]
    ours, numpys = np.array([row[1:] for row in rows], dtype=np.float64).T
    np.testing.assert_allclose(ours, numpys, rtol=1e-12, atol=2e-12)  # as printed, with 12 decimals
    assert numpys[-1] < 0.05 * numpys[0]
    assert output.endswith("same losses: yes\n")
    [difference] = re.findall(r"difference of the 200 losses: (\S+)", output)
    assert float(difference) <= 1e-12
    predictions = re.findall(rf"^\((\d), (\d)\) +{NUMBER} +{NUMBER} +(\d)$", output, re.M)
    assert len(predictions) == 4
    for a, b, ours_at, numpy_at, wanted in predictions:
        assert int(wanted) == int(a) ^ int(b)
        assert float(ours_at) == pytest.approx(float(numpy_at), abs=1e-11)


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="needs matplotlib")
def test_xor_draws_its_loss(tmp_path: Path) -> None:
    assert "wrote xor_loss.png" in run_example("xor.py", tmp_path)
    assert (tmp_path / "xor_loss.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_the_first_xor_loss_is_computed_by_hand(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    w1, w2 = rng.standard_normal((2, 30)), rng.standard_normal((30, 1))
    loss = 0.0
    for a, b in ((0, 0), (0, 1), (1, 0), (1, 1)):
        prediction = sum(max(a * w1[0, j] + b * w1[1, j], 0.0) * w2[j, 0] for j in range(30))
        loss += (prediction - (a ^ b)) ** 2
    [printed] = re.findall(rf"^ +0 +{NUMBER}", run_example("xor.py", tmp_path), re.M)
    assert float(printed) == pytest.approx(loss, rel=1e-11)


def test_tanh_and_relu_both_learn_the_moons(tmp_path: Path) -> None:
    output = run_example("tanh_for_relu.py", tmp_path)
    pattern = rf"^(\w+)\(\) +loss {NUMBER} -> {NUMBER}, accuracy {NUMBER}% -> {NUMBER}%$"
    rows = re.findall(pattern, output, re.M)
    assert [row[0] for row in rows] == ["ReLU", "Tanh"]
    for _, first_loss, last_loss, first, last in rows:
        assert float(last_loss) < 0.5 * float(first_loss)
        assert float(last) >= 95.0 > float(first)
    assert rows[0][1:] != rows[1][1:]


def test_the_leaky_relu_revives_dead_units(tmp_path: Path) -> None:
    output = run_example("leaky_relu.py", tmp_path)
    plain, leaky = re.findall(
        rf"^ReLU\((.*)\) +dead units +(\d+) -> +(\d+), loss +{NUMBER} -> {NUMBER}$", output, re.M
    )
    assert (plain[0], leaky[0]) == ("", "0.01")
    assert plain[1:3] == ("16", "16")
    assert leaky[1] == "16"
    assert int(leaky[2]) < 16
    assert float(leaky[4]) < 0.1 * float(plain[4])


def test_max_e_x_is_numpys_maximum(tmp_path: Path) -> None:
    output = run_example("max_e_x.py", tmp_path)
    rows = re.findall(rf"^ +{NUMBER} +{NUMBER} +(\d) +(\d) +(\d)$", output, re.M)
    assert [float(row[0]) for row in rows] == [-3.0, 0.0, 0.4, 0.5, 0.6, 3.0]
    for x, y, gradient, left, right in rows:
        assert float(y) == max(0.5, float(x))
        assert gradient == ("1" if float(x) > 0.5 else "0")
        assert gradient == left
        assert right == ("1" if float(x) >= 0.5 else "0")
    assert "np.maximum(e, x): True" in output
    assert "equal to ReLU: True" in output


def test_the_pole_stands_longer_and_the_losses_are_pytorchs(tmp_path: Path) -> None:
    output = run_example("cartpole.py", tmp_path)
    rows = re.findall(r"^(\w+): (\d+) updates, steps that the pole stands: (\d+) -> (\d+)$", output, re.M)
    assert [row[:2] for row in rows] == [("REINFORCE", "150"), ("DQN", "4000")]
    assert all(int(later) > 4 * int(first) for _, _, first, later in rows)
    if importlib.util.find_spec("torch") is not None:
        assert output.count("same losses: yes") == 2


def test_the_kernel_works_on_numpys_own_memory(tmp_path: Path) -> None:
    output = run_example("kernel_in_pipeline.py", tmp_path)
    assert "the kernel returned NumPy's own array: True" in output
    assert "memory allocated by the call is less than one row: True" in output
    assert "smallest number left: 0.0" in output
    assert "beats begin in frames [12, 37, 62, 87]" in output


def test_the_moons_are_divided_into_flat_pieces(tmp_path: Path) -> None:
    output = run_example("decision_boundaries.py", tmp_path)
    rows = re.findall(rf"^(\w+)\(.*\) +{NUMBER}% of 1,000 new points right, (\d+|no) flat", output, re.M)
    assert [row[0] for row in rows] == ["ReLU", "ReLU", "Tanh"]
    assert all(float(right) > 95.0 for _, right, _ in rows)
    # Two layers of 4 units: 4 lines make at most 11 regions, each of which 4 further folds divide into at most 11.
    assert rows[2][2] == "no"
    assert all(4 < int(pieces) <= 121 for _, _, pieces in rows[:2])


def test_the_confusion_matrix_counts_every_digit(tmp_path: Path) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    output = run_example("digits_confusion.py", tmp_path)
    rows = re.findall(r"^ +(\d)((?: +[\d.]+){10})$", output, re.M)
    counts = np.array([[0 if count == "." else int(count) for count in row.split()] for _, row in rows])
    np.testing.assert_array_equal(counts.sum(axis=1), np.bincount(datasets.load_digits().target[1::2]))
    assert f"right: {np.trace(counts)} of 898," in output
    assert np.trace(counts) > 0.95 * 898


def size_of_png(path: Path) -> tuple[int, int]:
    """Return width and height in pixels, from the first chunk."""
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    return width, height


def test_the_gallery_shows_every_example() -> None:
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f"](../examples/{path.name})" in page
        assert f"{{literalinclude}} ../examples/{path.name}\n" in page
        assert f"](pictures/gallery/{path.stem}.png)" in page
        assert (PICTURES / f"{path.stem}.png").stat().st_size < 60_000


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="needs matplotlib")
@pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="needs scikit-learn")
def test_the_gallery_s_pictures_are_drawn_anew(tmp_path: Path) -> None:
    command = [*STRICT, str(ROOT / "docs" / "draw_gallery.py"), str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert run.returncode == 0, run.stderr
    drawn = {path.name: size_of_png(path) for path in tmp_path.glob("*.png")}
    pictures = {path.name: size_of_png(path) for path in PICTURES.glob("*.png")}
    assert drawn.keys() == pictures.keys()
    # The pictures are from this release, and those before it set text a pixel closer.
    pytest.importorskip("matplotlib", minversion="3.11")
    assert drawn == pictures
