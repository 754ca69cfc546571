"""Files: what comes back, bit for bit; what is refused, and that a refused file costs nothing."""

from __future__ import annotations

import os
import re
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers import checkpoint, schedules
from relu_layers.callbacks import Callback, EarlyStopping
from relu_layers.data import two_moons
from relu_layers.layers import Dense, Dropout, PReLU, ReLU, Softmax
from relu_layers.losses import SoftmaxCrossEntropy, SquaredError
from relu_layers.model import Sequential
from relu_layers.ops import reference
from relu_layers.optimizers import SGD, Adam, AdamW
from relu_layers.preprocessing import Preprocessing
from relu_layers.trainer import Trainer


def make_model(seed: int = 0, dtype: Any = np.float32, **options: Any) -> Sequential:
    layers = Dense(2, 6), ReLU(0.01), Dropout(0.25), Dense(6, 3), PReLU(3), Dense(3, 2), Softmax()
    return Sequential(*layers, dtype=dtype, rng=seed, ops=reference, **options)


def make_trainer(seed: int = 0, **options: Any) -> Trainer:
    schedule = schedules.Warmup(schedules.Cosine(0.05, 200), 10)
    optimizer = Adam(schedule, weight_decay=1e-3, multipliers={"0.bias": (2.0, 0.0), "4.slope": (0.0, 1.0)})
    loss = SoftmaxCrossEntropy(label_smoothing=0.1, class_weight=[1.0, 2.0])
    settings = {"clip_norm": 1.0, "accumulate": 3, "rng": 5} | options
    return Trainer(make_model(seed), loss, optimizer, **settings)


def state(trainer: Trainer) -> dict[str, np.ndarray[Any, Any]]:
    """Everything that later steps depend on or that was recorded, as arrays."""
    history = {f"history {name}": trainer.history[name] for name in trainer.history.names}
    counts = trainer.steps, trainer.optimizer.updates, trainer.history.epochs
    return {"params": trainer.model.flat_params.copy(), "counts": np.array(counts)} | {
        **{f"slot {name}": slot.copy() for name, slot in trainer.optimizer.slots.items()},
        **history,
    }


def assert_same(first: Trainer, second: Trainer) -> None:
    a, b = state(first), state(second)
    assert a.keys() == b.keys()
    for name, values in a.items():
        np.testing.assert_array_equal(values, b[name], err_msg=name)


# --- the whole training comes back ---


def test_a_subclass_restores_itself(tmp_path: Path) -> None:
    class Watchful(Trainer):
        pass

    make_trainer().save_checkpoint(tmp_path / "a.npz")
    assert type(Watchful.restore(tmp_path / "a.npz")) is Watchful
    assert type(Trainer.restore(tmp_path / "a.npz")) is Trainer


@pytest.mark.parametrize("shared_generator", [False, True])
def test_resuming_is_bit_exact(tmp_path: Path, shared_generator: bool) -> None:
    """Six epochs at once equal three, a file, and three more: shuffling, dropout, Adam, schedule, clipping."""
    x, y = two_moons(50, 0.1, rng=0)
    rng = None if shared_generator else 5
    whole, part = make_trainer(rng=rng), make_trainer(rng=rng)
    for trainer in (whole, part):
        trainer.fit(x, y, epochs=3, batch_size=8)
    part.save_checkpoint(tmp_path / "part.npz")
    restored = Trainer.restore(tmp_path / "part.npz", model=make_model(seed=99))
    for trainer in (whole, restored):
        trainer.fit(x, y, epochs=3, batch_size=8, validation=(x, y))
    assert_same(whole, restored)
    assert restored.history.epochs == 6
    assert (restored.rng is restored.model.rng) == shared_generator


def test_a_group_of_minibatches_survives_in_the_middle(tmp_path: Path) -> None:
    x, y = two_moons(40, 0.1, rng=1)
    x = x.astype(np.float32)
    whole, part = make_trainer(), make_trainer()
    for i in range(4):
        for trainer in (whole, part):
            trainer.step(x[8 * i : 8 * i + 8], y[8 * i : 8 * i + 8])
    part.save_checkpoint(tmp_path / "part.npz")
    restored = Trainer.restore(tmp_path / "part.npz", model=make_model(seed=99))
    assert (restored.steps, restored.optimizer.updates) == (4, 1)
    for i in range(4):
        rows = slice(8 * i, 8 * i + 8)
        assert whole.step(x[rows], y[rows]) == restored.step(x[rows], y[rows])
    assert_same(whole, restored)


def test_early_stopping_comes_back_with_its_best_weights(tmp_path: Path) -> None:
    x, y = two_moons(40, 0.3, rng=2)
    saved: list[Path] = []

    def save(trainer: Trainer, record: dict[str, Any]) -> None:
        if record["epoch"] == 4:
            saved.append(tmp_path / "mid.npz")
            trainer.save_checkpoint(saved[-1])

    callbacks = [EarlyStopping(patience=3, monitor="loss", min_delta=0.05), save]
    whole = make_trainer(callbacks=callbacks)
    whole.fit(x, y, epochs=30, batch_size=8)
    stopped = whole.history.epochs
    assert 4 < stopped < 30
    restored = Trainer.restore(saved[0], model=make_model(), callbacks=[save])
    assert isinstance(restored.callbacks[0], EarlyStopping)
    assert restored.callbacks[0].min_delta == 0.05
    restored.fit(x, y, epochs=26, batch_size=8)
    assert_same(whole, restored)


def test_what_the_package_defines_is_rebuilt(tmp_path: Path) -> None:
    trainer = make_trainer(capture=False)
    trainer.save_checkpoint(tmp_path / "t.npz")
    restored = Trainer.restore(tmp_path / "t.npz")
    assert repr(restored.model) == repr(trainer.model)
    assert repr(restored.optimizer) == repr(trainer.optimizer)
    assert repr(restored.loss) == repr(trainer.loss)
    assert (restored.clip_norm, restored.accumulate, restored.capture) == (1.0, 3, False)
    np.testing.assert_array_equal(restored.model.flat_params, trainer.model.flat_params)
    assert restored.model.rng.bit_generator.state == trainer.model.rng.bit_generator.state
    np.testing.assert_array_equal(checkpoint.load(tmp_path / "t.npz").flat_params, trainer.model.flat_params)


@pytest.mark.parametrize("kind", [np.random.MT19937, np.random.Philox, np.random.SFC64, np.random.PCG64DXSM])
def test_every_generator_of_numpy_comes_back(tmp_path: Path, kind: Any) -> None:
    trainer = make_trainer(rng=np.random.Generator(kind(3)))
    trainer.rng.integers(0, 9, 5, dtype=np.uint8)
    trainer.save_checkpoint(tmp_path / "t.npz")
    restored = Trainer.restore(tmp_path / "t.npz")
    np.testing.assert_array_equal(restored.rng.integers(0, 99, 50), trainer.rng.integers(0, 99, 50))


# --- a user's own parts ---


class Doubled:
    """A layer of the plain protocol."""

    def __init__(self) -> None:
        self.params = {"scale": np.full(2, 2.0, np.float32)}
        self.grads = {"scale": np.zeros(2, np.float32)}

    def forward(self, x: Any, training: bool = False) -> Any:
        self.x = x
        return x * self.params["scale"]

    def backward(self, dy: Any) -> Any:
        self.grads["scale"][...] = (dy * self.x).sum(axis=0)
        return dy * self.params["scale"]


class Counting(Callback):
    def __init__(self) -> None:
        self.seen = 0

    def on_step_end(self, trainer: Any, step: int, loss: float) -> None:
        self.seen += 1

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "table": np.arange(3), "nothing": None}

    def load_state_dict(self, state: Any) -> None:
        self.seen = state["seen"]
        assert state["table"].tolist() == [0, 1, 2]


def own_loss(y: Any, target: Any) -> tuple[float, Any]:
    return float(((y - target) ** 2).sum()), 2 * (y - target)


def halving(updates: int) -> float:
    return 0.01 * 0.5**updates


def test_own_parts_are_named_when_missing_and_filled_when_passed(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    x, y = np.ones((3, 2), np.float32), np.zeros((3, 2), np.float32)

    def model() -> Sequential:
        return Sequential(Doubled(), Dense(2, 2), rng=0, ops=reference)

    trainer = Trainer(model(), own_loss, SGD(halving, momentum=0.5), callbacks=[Counting()])
    trainer.step(x, y)
    trainer.save_checkpoint(path)
    saved = trainer.model.flat_params.copy()
    given: dict[str, Any] = {}
    fresh = {
        "layer 0 Doubled": {"model": model()},
        "loss own_loss": {"loss": own_loss},
        "schedule 'halving'": {"optimizer": SGD(halving, momentum=0.5)},
        "callback Counting": {"callbacks": [Counting()]},
    }
    for message, part in fresh.items():
        with pytest.raises(ValueError, match=f"{message} is not"):
            Trainer.restore(path, **given)
        given |= part
    restored = Trainer.restore(path, **given)
    assert restored.callbacks[0].seen == 1
    assert restored.step(x, y) == trainer.step(x, y)
    np.testing.assert_array_equal(restored.model.flat_params, trainer.model.flat_params)
    with pytest.raises(ValueError, match="pass it as model="):
        checkpoint.load(path)
    np.testing.assert_array_equal(checkpoint.load(path, model=model()).flat_params, saved)


def test_a_part_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    make_trainer().save_checkpoint(path)
    with pytest.raises(ValueError, match="written with Adam"):
        Trainer.restore(path, optimizer=AdamW())
    with pytest.raises(ValueError, match="written with float32"):
        Trainer.restore(path, model=make_model(dtype=np.float64))
    with pytest.raises(ValueError, match="written with Dense"):
        Trainer.restore(path, model=Sequential(Dense(2, 2), ops=reference))


# --- models ---


def test_a_model_comes_back_with_its_preprocessing(tmp_path: Path) -> None:
    model = make_model(dtype=np.float64)
    model.preprocessing = Preprocessing().fit({"a": np.arange(5.0), "b": np.array(["x", "y", "x", "y", "x"])})
    model.save(tmp_path / "m.npz")
    loaded = checkpoint.load(tmp_path / "m.npz")
    assert repr(loaded) == repr(model)
    assert loaded.preprocessing.to_dict() == model.preprocessing.to_dict()
    for key, value in model.params.items():
        np.testing.assert_array_equal(loaded.params[key], value)
    dropout, loaded_dropout = model.layers[2], loaded.layers[2]
    assert loaded_dropout.state() == dropout.state()
    with pytest.raises(ValueError, match="without its training"):
        Trainer.restore(tmp_path / "m.npz")


def test_numpy_reads_the_arrays(tmp_path: Path) -> None:
    model = make_model()
    model.save(tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["model/params/0.weight"], model.params["0.weight"])


def test_an_unknown_suffix_names_the_known_ones(tmp_path: Path) -> None:
    for call in (make_model().save, make_trainer().save_checkpoint, checkpoint.load, Trainer.restore):
        with pytest.raises(ValueError, match=r"'\.pickle' names no format, expected \.npz"):
            call(tmp_path / "model.pickle")
    assert not list(tmp_path.iterdir())
    make_model().save(tmp_path / "UPPER.NPZ")
    checkpoint.load(os.fspath(tmp_path / "UPPER.NPZ"))


@pytest.mark.parametrize(
    ("act", "error", "told"),
    [
        (lambda m, p: m.save(p / "net.npx"), ValueError, "did you mean '.npz'"),
        (
            lambda m, p: m.save(p / "net.caffemodel", opset=1),
            TypeError,
            ".caffemodel files have no option 'opset'",
        ),
        (lambda m, p: rl.load(p / "net.h"), ValueError, ".h files cannot be read, expected .npz"),
        (lambda m, p: m.save(p / "net.npz", opset=17), TypeError, "no option 'opset', it has none"),
        (lambda m, p: rl.load(p / "net.npz", weights="w"), TypeError, "no option 'weights'"),
        (
            lambda m, p: rl.Trainer(m, rl.SquaredError(), rl.SGD(0.1)).save_checkpoint(p / "t.onnx"),
            ValueError,
            "holds a network alone; a training needs .npz or .safetensors",
        ),
        (lambda m, p: rl.Trainer.restore(p / "t.onnx"), ValueError, "holds a network alone"),
    ],
)
def test_what_a_format_cannot_do_is_said_and_nothing_written(
    tmp_path: Path, act: Any, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=re.escape(told)):
        act(rl.mlp([2, 3, 1], rng=0), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_missing_file_is_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        checkpoint.load(tmp_path / "none.npz")
    with pytest.raises(FileNotFoundError):
        make_model().save(tmp_path / "no folder" / "m.npz")


# --- writing ---


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.npz"
    make_model(1).save(path)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            make_model(2).save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.npz"]


def test_what_cannot_be_written_is_found_before_the_file_is_touched(tmp_path: Path) -> None:
    counting = Counting()
    counting.state_dict = lambda: {"bad": object()}  # type: ignore[method-assign]
    trainer = Trainer(make_model(), SquaredError(), SGD(0.1), callbacks=[counting])
    with pytest.raises(ValueError, match="callbacks/0/state/bad: a object cannot be written"):
        trainer.save_checkpoint(tmp_path / "t.npz")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions and links")
def test_permissions_and_links_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    (tmp_path / "link.npz").symlink_to(tmp_path / "real.npz")
    make_model().save(tmp_path / "link.npz")
    assert (tmp_path / "link.npz").is_symlink()
    assert (tmp_path / "real.npz").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_equal_models_give_equal_files(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        make_trainer().save_checkpoint(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


# --- damaged files ---


def small_file(tmp_path: Path) -> tuple[Path, bytes, Sequential]:
    model = Sequential(Dense(1, 1), dtype=np.float32, rng=0, ops=reference)
    model.save(tmp_path / "small.npz")
    return tmp_path / "damaged.npz", (tmp_path / "small.npz").read_bytes(), model


def loads_the_same_or_is_refused(path: Path, content: bytes, model: Sequential) -> None:
    path.write_bytes(content)
    refused = None
    try:
        loaded = checkpoint.load(path)
    except ValueError as error:
        refused = str(error)
    if refused is not None:
        assert "damaged.npz" in refused
        return
    np.testing.assert_array_equal(loaded.flat_params, model.flat_params)
    assert repr(loaded) == repr(model)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path, content, _ = small_file(tmp_path)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"damaged\.npz"):
            checkpoint.load(path)


@pytest.mark.parametrize("flip", [0x01, 0xFF])
def test_every_changed_byte_is_refused_or_harmless(tmp_path: Path, flip: int) -> None:
    path, content, model = small_file(tmp_path)
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= flip
        loads_the_same_or_is_refused(path, bytes(changed), model)


@pytest.mark.slow
@pytest.mark.parametrize("bit", range(8))
def test_every_bit_of_a_checkpoint_is_refused_or_harmless(tmp_path: Path, bit: int) -> None:
    model = Sequential(Dense(1, 1), rng=0, ops=reference)
    trainer = Trainer(model, SquaredError(), Adam(0.1), callbacks=[EarlyStopping(monitor="loss")])
    trainer.fit([[1.0], [2.0]], [[1.0], [0.0]], epochs=2, batch_size=1)
    trainer.save_checkpoint(tmp_path / "small.npz")
    content = (tmp_path / "small.npz").read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << bit
        loads_the_same_or_is_refused(tmp_path / "damaged.npz", bytes(changed), model)


def test_a_damaged_size_asks_for_no_memory(tmp_path: Path) -> None:
    """The highest bit of every byte: sizes and lengths claim up to 2**63 bytes."""
    path, content, model = small_file(tmp_path)
    tracemalloc.start()
    try:
        for place in range(len(content)):
            changed = bytearray(content)
            changed[place] ^= 0x80
            loads_the_same_or_is_refused(path, bytes(changed), model)
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


def rewritten(source: Path, target: Path, compression: int = zipfile.ZIP_STORED, **members: bytes) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, members.pop(name[:-4], None) or old.read(name))
        for name, content in members.items():
            new.writestr(name, content)


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


HOSTILE = {
    "huge shape": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 99999), }"),
    "objects": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"cos\nsystem\n"),
    "expression": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2**40,), }"),
    "Python 2": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1L,), }", b"12345678"),
    "negative": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }", b"12345678"),
    "not an array": b"hello",
    "empty": b"",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_members_are_refused(tmp_path: Path, content: bytes) -> None:
    make_model().save(tmp_path / "m.npz")
    rewritten(tmp_path / "m.npz", tmp_path / "bad.npz", **{"extra.npy": content})
    with pytest.raises(ValueError, match=r"bad\.npz"):
        checkpoint.load(tmp_path / "bad.npz")


def test_compressed_members_are_refused(tmp_path: Path) -> None:
    make_model().save(tmp_path / "m.npz")
    rewritten(tmp_path / "m.npz", tmp_path / "bad.npz", zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="compressed"):
        checkpoint.load(tmp_path / "bad.npz")


def test_other_archives_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "plain.npz", x=np.zeros(3))
    with pytest.raises(ValueError, match="lacks the members"):
        checkpoint.load(tmp_path / "plain.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(ValueError, match="not a readable relu_layers file"):
        checkpoint.load(tmp_path / "text.npz")


def forged(tmp_path: Path, change: Any) -> Path:
    """A file with a right checksum but a description that ``change`` has been at."""
    from relu_layers._files import npz

    make_trainer().save_checkpoint(tmp_path / "t.npz")
    document = npz.read(os.fspath(tmp_path / "t.npz"))
    change(document)
    npz.write(document, os.fspath(tmp_path / "forged.npz"))
    return tmp_path / "forged.npz"


def nested(levels: int) -> Any:
    value: Any = None
    for _ in range(levels):
        value = [value]
    return value


FORGERIES: dict[str, Any] = {
    "sizes": lambda d: d["model"]["layers"][0]["config"].update(in_features=10**9, out_features=10**9),
    "unknown layer": lambda d: d["model"]["layers"][0].update(name="System"),
    "unknown argument": lambda d: d["model"]["layers"][0]["config"].update(evil=1),
    "no layers": lambda d: d["model"].update(layers=[]),
    "layers of another type": lambda d: d["model"].update(layers=3),
    "dtype": lambda d: d["model"].update(dtype="object"),
    "missing parameter": lambda d: d["model"]["params"].pop("0.weight"),
    "generator": lambda d: d["model"]["generator"].update(bit_generator="getattr"),
    "generator state": lambda d: d["model"]["generator"].update(state={"state": "x"}),
    "dropout": lambda d: d["model"]["dropout"]["2"].update(counter=-1),
    "optimizer": lambda d: d["optimizer"].update(name="Optimizer"),
    "updates": lambda d: d["optimizer"]["state"].update(updates="many"),
    "slot": lambda d: d["optimizer"]["state"]["slots"].update(mean=np.zeros(2, np.float32)),
    "options": lambda d: d["options"].update(accumulate=-3),
    "deep": lambda d: d["state"].update(history=nested(60)),
    "history": lambda d: d["state"].update(history={"loss": np.zeros(2), "accuracy": np.zeros(3)}),
    "sum": lambda d: d["state"].update(summed=2),
    "version": lambda d: d.update(version=2),
    "kind": lambda d: d.update(kind="else"),
}


@pytest.mark.parametrize("change", FORGERIES.values(), ids=FORGERIES)
def test_forged_descriptions_are_refused(tmp_path: Path, change: Any) -> None:
    path = forged(tmp_path, change)
    with pytest.raises(ValueError, match=r"forged\.npz"):
        Trainer.restore(path)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".h5", ".keras", ".PT"])
def test_files_of_other_programs_are_not_opened_and_the_error_says_what_to_write(
    suffix: str, tmp_path: Path
) -> None:
    """Three lines, whether there is such a file or not; it is not touched."""
    path = tmp_path / f"net{suffix}"
    path.write_bytes(b"anything")
    with pytest.raises(ValueError, match="is not read: ") as caught:
        rl.load(path)
    words = "get_weights" if suffix in (".h5", ".keras") else "from_torch"
    assert words in str(caught.value)
    assert str(path) in str(caught.value).partition("\n")[2]
    assert path.read_bytes() == b"anything"
