"""safetensors: whole documents bit for bit, PyTorch's names, files of other programs, damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("safetensors", reason="needs safetensors")

import safetensors.numpy

import relu_layers as rl
from relu_layers.preprocessing import Preprocessing


def network(dtype: Any = np.float32) -> rl.Sequential:
    return rl.Sequential(
        rl.Dense(4, 5), rl.PReLU(5), rl.Dropout(0.5), rl.Dense(5, 5, bias=False), rl.ELU(), rl.Dense(5, 3),
        rl.Softmax(), dtype=dtype, rng=7,
    )  # fmt: skip


def examples() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((24, 4)).astype(np.float32), rng.integers(0, 3, 24)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("names", ["relu_layers", "torch"])
def test_a_model_comes_back_bit_for_bit(tmp_path: Path, dtype: Any, names: str) -> None:
    model = network(dtype)
    model.preprocessing = Preprocessing().fit({"a": np.arange(4.0), "b": ["x", "y", "x", "z"]})
    model.save(tmp_path / "net.safetensors", names=names)
    loaded = rl.load(tmp_path / "net.safetensors")
    assert repr(loaded) == repr(model)
    assert loaded.flat_params.tobytes() == model.flat_params.tobytes()
    assert loaded.preprocessing is not None
    assert loaded.preprocessing.to_dict() == model.preprocessing.to_dict()
    assert loaded.rng.random() == model.rng.random()


def test_a_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    x, y = examples()
    trainers = [
        rl.Trainer(network(), rl.SoftmaxCrossEntropy(), rl.Adam(0.01), accumulate=2) for _ in range(2)
    ]
    for trainer in trainers:
        trainer.fit(x, y, epochs=2, batch_size=5)
    trainers[0].save_checkpoint(tmp_path / "training.safetensors")
    restored = rl.Trainer.restore(tmp_path / "training.safetensors")
    for trainer in (restored, trainers[1]):
        trainer.fit(x, y, epochs=2, batch_size=5)
    assert restored.model.flat_params.tobytes() == trainers[1].model.flat_params.tobytes()
    np.testing.assert_array_equal(restored.history["loss"], trainers[1].history["loss"])
    assert rl.load(tmp_path / "training.safetensors").flat_params.size == restored.model.flat_params.size


def test_the_library_reads_the_tensors_under_pytorchs_names(tmp_path: Path) -> None:
    model = network()
    model.save(tmp_path / "net.safetensors", names="torch")
    tensors = safetensors.numpy.load_file(tmp_path / "net.safetensors")
    assert sorted(tensors) == ["0.bias", "0.weight", "1.weight", "3.weight", "5.bias", "5.weight"]
    np.testing.assert_array_equal(tensors["0.weight"], model.params["0.weight"].T)
    np.testing.assert_array_equal(tensors["1.weight"], model.params["1.slope"])
    model.save(tmp_path / "own.safetensors")
    own = safetensors.numpy.load_file(tmp_path / "own.safetensors")
    np.testing.assert_array_equal(own["model/params/0.weight"], model.params["0.weight"])


def test_pytorch_loads_and_is_loaded(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    from safetensors.torch import load_file, save_file

    theirs = torch.nn.Sequential(
        torch.nn.Linear(4, 5), torch.nn.PReLU(5), torch.nn.Dropout(), torch.nn.Linear(5, 5, bias=False),
        torch.nn.ELU(), torch.nn.Linear(5, 3), torch.nn.Softmax(-1),
    ).eval()  # fmt: skip
    model = network()
    model.save(tmp_path / "net.safetensors", names="torch")
    theirs.load_state_dict(load_file(tmp_path / "net.safetensors"))
    x, _ = examples()
    with torch.no_grad():
        np.testing.assert_allclose(theirs(torch.from_numpy(x)).numpy(), model(x), atol=1e-6)
        for parameter in theirs.parameters():
            parameter.normal_()
        save_file(theirs.state_dict(), tmp_path / "theirs.safetensors", metadata={"format": "pt"})
        loaded = rl.load(tmp_path / "theirs.safetensors", model=network())
        np.testing.assert_allclose(theirs(torch.from_numpy(x)).numpy(), loaded(x), atol=1e-6)
        half = {name: value.to(torch.bfloat16) for name, value in theirs.state_dict().items()}
        save_file(half, tmp_path / "half.safetensors")
    loaded = rl.load(tmp_path / "half.safetensors", model=network(np.float64), names="torch")
    np.testing.assert_array_equal(loaded.params["0.weight"], half["0.weight"].double().numpy().T)


def test_files_of_other_programs_need_a_model_and_their_layout(tmp_path: Path) -> None:
    path = tmp_path / "theirs.safetensors"
    tensors = {name: array.astype(np.float16) for name, array in network().params.items()}
    safetensors.numpy.save_file(tensors, path)
    loaded = rl.load(path, model=network(np.float64), names="relu_layers")
    np.testing.assert_array_equal(loaded.params["0.weight"], tensors["0.weight"].astype(np.float64))
    with pytest.raises(ValueError, match="load it in Python with names='torch'"):
        rl.load(path, model=network())
    with pytest.raises(ValueError, match="build the model and pass it as model="):
        rl.load(path, names="torch")
    with pytest.raises(ValueError, match=r"names is 'pytorch', expected"):
        rl.load(path, names="pytorch")
    with pytest.raises(
        ValueError, match=r"parameter '1\.slope' is none of the model's: 0\.bias, 0\.weight, 1\.weight"
    ):
        rl.load(path, model=network(), names="torch")
    del tensors["5.bias"]
    safetensors.numpy.save_file(tensors, path)
    with pytest.raises(ValueError, match=r"parameter '5.bias' is missing; there are 0.bias"):
        rl.load(path, model=network(), names="relu_layers")
    safetensors.numpy.save_file({k: v.astype(np.float64) for k, v in network().params.items()}, path)
    with pytest.raises(ValueError, match=r"is float64, more than a float32 model holds"):
        rl.load(path, model=network(), names="relu_layers")
    with pytest.raises(ValueError, match="it is not from this package"):
        rl.Trainer.restore(path)


def test_names_of_pytorch_are_for_models_alone(tmp_path: Path) -> None:
    from relu_layers.formats import safetensors as own

    with pytest.raises(ValueError, match="names='torch' is for a model alone, not for a trainer"):
        own.write({"kind": "trainer"}, str(tmp_path / "t.safetensors"), names="torch")
    assert not list(tmp_path.iterdir())


def small(tmp_path: Path, **options: Any) -> bytes:
    path = tmp_path / "small.safetensors"
    rl.mlp([1, 1, 1], rng=0).save(path, **options)
    return path.read_bytes()


def unchanged(expected: bytes) -> Any:
    def check(model: rl.Sequential) -> None:
        assert model.flat_params.tobytes() == expected

    return check


def test_every_truncation_is_refused(tmp_path: Path, damage: Any) -> None:
    data = small(tmp_path, names="torch")
    refused, accepted = damage.read_all(
        damage.truncations(data), tmp_path / "damaged.safetensors", rl.load, unchanged(b"")
    )
    assert (refused, accepted) == (len(data), 0)


def test_every_changed_byte_is_refused_or_harmless(tmp_path: Path, damage: Any) -> None:
    _change_bytes(tmp_path, damage, (255,))


@pytest.mark.slow
def test_every_change_of_every_byte_is_refused_or_harmless(tmp_path: Path, damage: Any) -> None:
    _change_bytes(tmp_path, damage, None)


def _change_bytes(tmp_path: Path, damage: Any, values: Any) -> None:
    data = small(tmp_path, names="torch")
    expected = rl.load(tmp_path / "small.safetensors").flat_params.tobytes()
    refused, accepted = damage.read_all(
        damage.single_byte_changes(data, values),
        tmp_path / "damaged.safetensors",
        rl.load,
        unchanged(expected),
    )
    # Nearly every byte is under the checksum or has a meaning.
    assert accepted < 0.05 * refused


def test_random_mutations_raise_nothing_but_a_valueerror(tmp_path: Path, damage: Any) -> None:
    _mutate(tmp_path, damage, 1_000, 1)


@pytest.mark.slow
def test_a_million_mutations_raise_nothing_but_a_valueerror(tmp_path: Path, damage: Any) -> None:
    _mutate(tmp_path, damage, 1_000_000, 2)


def _mutate(tmp_path: Path, damage: Any, count: int, seed: int) -> None:
    model = rl.mlp([1, 1, 1], rng=0)
    plain = tmp_path / "plain.safetensors"
    safetensors.numpy.save_file(dict(model.params), plain, metadata={"format": "pt"})
    seeds = [small(tmp_path), small(tmp_path, names="torch"), plain.read_bytes()]

    def check(found: rl.Sequential) -> None:
        assert [array.shape for array in found.params.values()] == [a.shape for a in model.params.values()]

    into = rl.mlp([1, 1, 1], rng=1)

    def read(path: Path) -> rl.Sequential:
        return rl.load(path, model=into)

    refused, accepted = damage.read_all(
        damage.mutations(seeds, count, seed), tmp_path / "damaged.safetensors", read, check
    )
    assert refused > 0.9 * count
    assert refused + accepted == count


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["__metadata__"].update(names="[" * 100_000),
        lambda h: h["__metadata__"].update(names="3"),
        lambda h: h["__metadata__"].update(relu_layers="[" * 100_000),
        lambda h: h["__metadata__"].update(relu_layers="{}"),
        lambda h: h["__metadata__"].pop("sha256"),
    ],
)
def test_forged_headers_are_refused(tmp_path: Path, change: Any) -> None:
    data = small(tmp_path)
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path = tmp_path / "forged.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        rl.load(path)


def test_a_claimed_length_asks_for_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    for length in (2**63, 2**40, 100):
        path.write_bytes(length.to_bytes(8, "little") + b"{}")
        with pytest.raises(ValueError, match="header claims"):
            rl.load(path)
