"""Archives that are whole as zip files, with right checksums where that matters, and must not be read all the same."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

DOCUMENT, CHECKSUM = "document.json", "checksum"


def members_of(path: Path) -> dict[str, Any]:
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def checksum_of(members: dict[str, Any]) -> Any:
    """The SHA-256 that the format asks for."""
    total = hashlib.sha256()
    for name in sorted(set(members) - {CHECKSUM}):
        array = members[name]
        total.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode() + array.tobytes())
    return np.frombuffer(total.digest(), np.uint8)


def write(path: Path, members: dict[str, Any], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, array in members.items():
            stream = io.BytesIO()
            np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
            archive.writestr(f"{name}.npy", stream.getvalue())


def with_document(members: dict[str, Any], document: Any) -> dict[str, Any]:
    changed = {**members, DOCUMENT: np.frombuffer(json.dumps(document).encode(), np.uint8)}
    return {**changed, CHECKSUM: checksum_of(changed)}


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """A path, and the members and the document of a good file there."""
    path = tmp_path / "model.npz"
    rl.mlp([3, 4, 2], rng=0).save(path)
    members = members_of(path)
    return path, members, json.loads(members[DOCUMENT].tobytes())


def test_written_in_another_way_the_same_members_are_read(saved: Any) -> None:
    path, members, document = saved
    expected = rl.load(path).flat_params
    write(path, with_document(members, document))
    assert rl.load(path).flat_params.tobytes() == expected.tobytes()


def test_a_wrong_checksum_is_refused_where_zip_finds_nothing_wrong(saved: Any) -> None:
    """Every bit that differs counts, in arrays, in the description and in the checksum itself."""
    path, members, _ = saved
    for name, array in members.items():
        changed = array.copy()
        changed.view(np.uint8).reshape(-1)[-1] ^= 1
        write(path, {**members, name: changed})
        with pytest.raises(ValueError, match=r"does not match|not a readable"):
            rl.load(path)


def test_compressed_members_are_refused(saved: Any) -> None:
    """Also where the file is as long as all that they claim."""
    path, members, _ = saved
    write(path, members, zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = bytes(8000)
    with pytest.raises(ValueError, match="compressed or encrypted members"):
        rl.load(path)


@pytest.mark.parametrize("levels", [60, 400])
def test_a_description_is_not_nested_without_end(saved: Any, levels: int) -> None:
    path, members, document = saved
    nested: Any = []
    for _ in range(levels):
        nested = [nested]
    write(path, with_document(members, {**document, "unknown": nested}))
    with pytest.raises(ValueError, match="nested too deeply"):
        rl.load(path)


@pytest.mark.parametrize("features", [2**20, 2**40])
def test_a_layer_larger_than_its_parameters_gets_no_memory(
    saved: Any, features: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file decides nothing: the shape is compared before an array of it is asked for."""
    path, members, document = saved
    document = copy.deepcopy(document)
    document["model"]["layers"][0]["config"].update(in_features=features, out_features=features)
    write(path, with_document(members, document))
    asked: list[Any] = []
    for function in ("empty", "zeros"):
        original = getattr(np, function)

        def noted(shape: Any, *rest: Any, original: Any = original, **options: Any) -> Any:
            asked.append(shape)
            return original(shape, *rest, **options)

        monkeypatch.setattr(np, function, noted)
    with pytest.raises(ValueError, match=r"0\.weight"):
        rl.load(path)
    assert all(np.prod(shape, dtype=float) < 10**6 for shape in asked)
