"""Files made to do harm: right checksums, wrong contents. A ValueError, before memory is asked for."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers._files import document as documents
from relu_layers._files import npz


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), version=(1, 0))
    return stream.getvalue()


def with_text(path: Path, text: bytes, arrays: dict[str, Any] | None = None) -> None:
    """Write a file of this format around any text, its checksum right."""
    members = {"document.json": np.frombuffer(text, np.uint8), **(arrays or {})}
    members["checksum"] = np.frombuffer(documents.digest(members), np.uint8)
    write_members(path, {f"{name}.npy": npy(array) for name, array in members.items()})


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Write the document of a small model or training after ``change``."""
    found = npz.read(str(path))
    change(found)
    npz.write(found, str(path))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.npz"
    rl.Sequential(rl.Dense(4, 8), rl.ReLU(), rl.PReLU(8), rl.Dropout(0.5), rl.Dense(8, 3), rng=0).save(path)
    return path


@pytest.fixture
def training(tmp_path: Path) -> Path:
    path = tmp_path / "training.npz"
    trainer = rl.Trainer(rl.mlp([4, 8, 3], rng=0), rl.SoftmaxCrossEntropy(), rl.Adam(0.01))
    trainer.fit(np.ones((8, 4), np.float32), np.zeros(8, int), epochs=2, batch_size=4)
    trainer.save_checkpoint(path)
    return path


def test_a_changed_number_is_found_by_the_checksum_of_the_file_not_of_the_archive(model: Path) -> None:
    members = members_of(model)
    name = next(name for name in members if "weight" in name)
    members[name] = members[name][:-1] + bytes([members[name][-1] ^ 1])
    write_members(model, members)
    with zipfile.ZipFile(model) as archive:
        assert archive.testzip() is None
    with pytest.raises(ValueError, match="checksum does not match"):
        rl.load(model)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_members_are_refused(model: Path, compression: int) -> None:
    write_members(model, members_of(model), compression)
    with pytest.raises(ValueError, match="compressed"):
        rl.load(model)


def test_a_member_that_claims_more_than_the_file_has_is_refused(model: Path) -> None:
    content = bytearray(model.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 20 : at + 28] = struct.pack("<LL", 2**31, 2**31)
    model.write_bytes(content)
    with pytest.raises(ValueError, match="claim more bytes"):
        rl.load(model)


@pytest.mark.parametrize("shape", [(2**40,), (2**60, 2**60), (2**87,)])
def test_a_shape_that_its_member_does_not_have_is_refused(model: Path, shape: tuple[int, ...]) -> None:
    members = members_of(model)
    name = next(name for name in members if "weight" in name)
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    members[name] = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header.encode().ljust(117) + b"\n"
    write_members(model, members)
    with pytest.raises(ValueError, match="shape does not agree"):
        rl.load(model)


def test_a_directory_without_end_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "many.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(2000):
            archive.writestr(zipfile.ZipInfo("x" * 4000 + str(index)), b"")
    monkeypatch.setattr(zipfile.ZipFile, "__init__", lambda *_: pytest.fail("its directory was read"))
    with pytest.raises(ValueError, match="directory"):
        rl.load(path)


@pytest.mark.parametrize("depth", [41, 300, 100_000])
@pytest.mark.parametrize("kind", ["list", "mapping"])
def test_nesting_is_bounded(tmp_path: Path, depth: int, kind: str) -> None:
    opening, closing = (b"[", b"]") if kind == "list" else (b'{"a":', b"}")
    deep = opening * depth + (b"" if kind == "list" else b"1") + closing * depth
    with_text(
        tmp_path / "deep.npz", b'{"format":"relu_layers","version":1,"kind":"model","model":' + deep + b"}"
    )
    with pytest.raises(ValueError, match="nested too deeply"):
        rl.load(tmp_path / "deep.npz")


def test_values_are_counted_before_they_become_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {"objects": b"{}", "lists": b"[]", "numbers": b"1"}.items():
        with_text(tmp_path / f"{name}.npz", b"[" + b",".join([text] * (2**20 + 2)) + b"]")
    monkeypatch.setattr(json, "loads", lambda text: pytest.fail("it was parsed"))
    for name in ("objects", "lists", "numbers"):
        with pytest.raises(ValueError, match="too long"):
            rl.load(tmp_path / f"{name}.npz")


def test_what_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="more than fit"):
        npz.write({"a": [0] * (2**20 + 2)}, str(tmp_path / "a.npz"))
    model = rl.Sequential(*(rl.ReLU() for _ in range(2**14 + 1)))
    with pytest.raises(ValueError, match="layers cannot be saved"):
        model.save(tmp_path / "a.npz")
    assert os.listdir(tmp_path) == []


def test_layers_are_counted_before_they_are_built(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    relu = {"name": "ReLU", "config": {"negative_slope": 0.0}}
    changed(model, lambda found: found["model"].update(layers=[relu] * (2**14 + 1)))
    monkeypatch.setattr(rl.ReLU, "__init__", lambda *_: pytest.fail("one was built"))
    with pytest.raises(ValueError, match="layers, more than"):
        rl.load(model)


def test_an_array_is_named_once(tmp_path: Path) -> None:
    """One megabyte, named a hundred thousand times, would be a hundred gigabytes."""
    text = b'{"a":[' + b",".join([b'{"__array__":"x"}'] * 1000) + b"]}"
    with_text(tmp_path / "often.npz", text, {"x": np.zeros(2**17)})
    with pytest.raises(ValueError, match="names an array 'x'"):
        rl.load(tmp_path / "often.npz")


@pytest.mark.parametrize(
    "layer",
    [
        {"name": "Dense", "config": {"in_features": 2**40, "out_features": 2**20}},
        {"name": "PReLU", "config": {"features": 2**33}},
    ],
    ids=["Dense", "PReLU"],
)
def test_shapes_are_compared_before_memory_is_asked_for(
    model: Path, layer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    index = 0 if layer["name"] == "Dense" else 2
    changed(model, lambda found: found["model"]["layers"].__setitem__(index, layer))
    monkeypatch.setattr(
        "relu_layers.layers.ParameterLayer.initialize", lambda *_, **__: pytest.fail("memory was asked for")
    )
    with pytest.raises(ValueError, match=r"has shape .* needs|has shape|missing|unexpected"):
        rl.load(model)


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "no model": lambda v: v.pop("model"),
    "a model that is a list": lambda v: v.update(model=[]),
    "a model that is a text": lambda v: v.update(model="x"),
    "no layers": lambda v: v["model"].pop("layers"),
    "layers that are a mapping": lambda v: v["model"].update(layers={}),
    "a layer that is a number": lambda v: v["model"]["layers"].__setitem__(0, 1),
    "a layer without a name": lambda v: v["model"]["layers"][0].pop("name"),
    "a layer whose name is a list": lambda v: v["model"]["layers"][0].update(name=[]),
    "a layer of another kind": lambda v: v["model"]["layers"][0].update(name="system"),
    "no params": lambda v: v["model"].pop("params"),
    "params that are a list": lambda v: v["model"].update(params=[]),
    "a parameter that is a number": lambda v: v["model"]["params"].update({"0.weight": 1}),
    "a generator of another kind": lambda v: v["model"].update(generator={"bit_generator": "os.system"}),
    "a generator that is None": lambda v: v["model"].update(generator=None),
    "a dtype that is none": lambda v: v["model"].update(dtype="O"),
    "a preprocessing that is a list": lambda v: v["model"].update(preprocessing=[]),
    "no kind": lambda v: v.pop("kind"),
    "a version that is a list": lambda v: v.update(version=[]),
}
OF_A_TRAINING: dict[str, Callable[[dict[str, Any]], object]] = {
    "no loss": lambda v: v.pop("loss"),
    "an optimizer that is a list": lambda v: v.update(optimizer=[]),
    "no state": lambda v: v.pop("state"),
    "a state that is a text": lambda v: v.update(state="x"),
    "callbacks that are a number": lambda v: v.update(callbacks=1),
    "a callback that is None": lambda v: v.update(callbacks=[None]),
    "an unknown option": lambda v: v["options"].update(shell="x"),
    "updates that are a text": lambda v: v["optimizer"]["state"].update(updates="x"),
    "slots that are None": lambda v: v["optimizer"]["state"].update(slots=None),
    "a history without end": lambda v: v["state"].update(history={"loss": np.zeros((2**59, 0))}),
    "a history of one number": lambda v: v["state"].update(history={"loss": 1.0}),
}


def ends_in_a_value_error(path: Path, read: Callable[[Path], Any]) -> None:
    with pytest.raises(ValueError) as caught:
        read(path)
    assert str(path) in str(caught.value) or path.name in str(caught.value)


@pytest.mark.parametrize("name", CHANGES)
def test_a_wrong_model_document_is_a_value_error(name: str, model: Path) -> None:
    changed(model, CHANGES[name])
    ends_in_a_value_error(model, rl.load)


@pytest.mark.parametrize("name", {**CHANGES, **OF_A_TRAINING})
def test_a_wrong_training_document_is_a_value_error(name: str, training: Path) -> None:
    changed(training, {**CHANGES, **OF_A_TRAINING}[name])
    ends_in_a_value_error(training, rl.Trainer.restore)


@pytest.mark.parametrize("name", {**CHANGES, **OF_A_TRAINING})
def test_inspect_and_convert_say_it_in_a_line(name: str, training: Path) -> None:
    from click.testing import CliRunner

    from relu_layers.cli import program

    changed(training, {**CHANGES, **OF_A_TRAINING}[name])
    for command in (["inspect"], ["inspect", "--json"], ["convert"]):
        given = [
            *command,
            str(training),
            *([str(training.with_name("o.npz"))] if command == ["convert"] else []),
        ]
        result = CliRunner().invoke(program, given)
        # A training that a file describes wrongly may hold a model that is right.
        assert result.exit_code in (0, 1), (command, result.output)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception


BOUNDED = """
import resource, sys
import relu_layers as rl
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (512 << 20),) * 2)
try:
    rl.load(sys.argv[1])
except ValueError:
    print("refused")
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's limits")
@pytest.mark.parametrize("suffix", [".caffemodel", ".prototxt", ".npz"])
def test_a_file_of_three_bytes_does_not_ask_for_gigabytes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"tiny{suffix}"
    path.write_bytes(b"\x0a\x01n")
    done = subprocess.run([sys.executable, "-c", BOUNDED, str(path)], capture_output=True, text=True)
    assert done.stdout == "refused\n", done.stderr
