"""Good files of every format with their readers, and documents whose checksum is right and content wrong."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import os
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from dataclasses import field as field_of_dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import relu_layers as rl
from relu_layers.cli.tables import load_table
from relu_layers.formats.caffe import read_solver

sys.path.insert(0, os.fspath(Path(__file__).parents[1] / "formats"))
from damage import mutations

Reader = Callable[[Path], object]


@dataclass
class Format:
    """A reader, the suffix it knows its files by, good files, and its share of all mutations."""

    name: str
    suffix: str
    read: Reader
    seeds: list[bytes]
    share: float = 1.0
    hostile: list[bytes] = field_of_dataclass(default_factory=list)
    mutate: Callable[[list[bytes], int, int], Iterable[bytes]] = mutations


def all_rows(**options: Any) -> Reader:
    def read(path: Path) -> None:
        for _ in rl.sources.open_source(path, **options).blocks(2**16):
            pass

    return read


def restored(path: Path) -> None:
    rl.Trainer.restore(path)


# ---- documents with a right checksum


def sealed(members: dict[str, Any]) -> bytes:
    """Return an archive of the package's own format around ``members``, its checksum right."""
    total = hashlib.sha256()
    for name in sorted(members):
        array = np.ascontiguousarray(members[name]).reshape(np.shape(members[name]))
        total.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode() + array.tobytes())
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in {**members, "checksum": np.frombuffer(total.digest(), np.uint8)}.items():
            stream = io.BytesIO()
            np.lib.format.write_array(stream, np.asarray(array), version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), stream.getvalue())
    return file.getvalue()


VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3, 2**31, 2**63, 2**64, 2**200, -(2**63), 1e308, float("nan"), float("inf"), -0.0, 0.5,
    "", "x", "0", "\0", "layer", [], {}, [[]], [1, 2], {"a": 1}, [None], "a" * 1000, [0] * 100, "he_normal", "Dense",
    "ReLU", "Adam", "Softmax", "Dropout", "float64", "PCG64", {"__array__": "document.json"},
)  # fmt: skip


def changed_arrays(array: Any, chance: Random) -> Any:
    return chance.choice(
        [
            array[:0] if array.ndim else array,
            array.reshape(-1),
            array[..., None],
            array.astype(np.float64),
            array.astype(np.int8),
            np.zeros((), np.float32),
            np.zeros((0, 2**30), np.float32),
            np.full(array.shape, np.nan, np.float32),
        ]
    )


def changed_tree(tree: Any, chance: Random) -> None:
    """Change one leaf, key or branch of a JSON tree in place."""
    while True:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        if not keys:
            return
        key = chance.choice(keys)
        if isinstance(tree[key], (dict, list)) and tree[key] and chance.random() < 0.85:
            tree = tree[key]
            continue
        kind = chance.random()
        if kind < 0.1:
            del tree[key]
        elif kind < 0.2 and isinstance(tree, dict):
            tree[chance.choice(["", "x", "0.weight", "99", "-1", "config"])] = tree[key]
        elif kind < 0.25 and isinstance(tree, list):
            tree.append(copy.deepcopy(tree[key]))
        else:
            tree[key] = copy.deepcopy(chance.choice(VALUES))
        return


def documents(seeds: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Yield sealed archives: their description changed as a tree or as text, their arrays changed."""
    chance = Random(f"documents {seed}")
    known: list[dict[str, Any]] = []
    for each in seeds:
        with np.load(io.BytesIO(each)) as archive:
            known.append({name: archive[name] for name in archive.files if name != "checksum"})
    texts = [members["document.json"].tobytes() for members in known]
    damaged_texts = mutations(texts, count, seed)
    for _ in range(count):
        members = dict(chance.choice(known))
        kind = chance.random()
        if kind < 0.3:
            members["document.json"] = np.frombuffer(next(damaged_texts), np.uint8)
        else:
            tree = json.loads(members["document.json"].tobytes())
            for _ in range(chance.choice((1, 1, 2, 3))):
                changed_tree(tree, chance)
            members["document.json"] = np.frombuffer(json.dumps(tree).encode(), np.uint8)
        if kind > 0.8:
            name = chance.choice([name for name in members if name != "document.json"])
            members[name] = changed_arrays(members[name], chance)
        yield sealed(members)


# ---- files made to ask for much


def npy(shape: str, data: bytes = b"") -> bytes:
    """Return an .npy file of float32 that claims ``shape``."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def hostile(model: bytes) -> dict[str, list[bytes]]:
    """Return, by format, small files that claim terabytes, unpack to hundreds of megabytes, nest or repeat."""
    with np.load(io.BytesIO(model)) as archive:
        members = {name: archive[name] for name in archive.files if name != "checksum"}

    def described(change: Callable[[dict[str, Any]], object]) -> bytes:
        tree = json.loads(members["document.json"].tobytes())
        change(tree)
        return sealed({**members, "document.json": np.frombuffer(json.dumps(tree).encode(), np.uint8)})

    def many_layers(tree: dict[str, Any]) -> None:
        tree["model"]["layers"] = [{"name": "ReLU", "config": {"negative_slope": 0.0}}] * 400_000

    def wide_layer(tree: dict[str, Any]) -> None:
        tree["model"]["layers"][0]["config"].update(in_features=2**40, out_features=2**20)

    deep: Any = []
    for _ in range(900):
        deep = [deep]
    claims = npy("(1099511627776,)")
    zeros = npy("(40000000,)", bytes(160_000_000))
    archives = [
        zipped({"x.npy": claims, "y.npy": claims}),
        zipped({"x.npy": claims, "y.npy": claims}, zipfile.ZIP_DEFLATED),
        zipped({"x.npy": zeros, "y.npy": zeros}, zipfile.ZIP_DEFLATED),
        zipped({"../x.npy": npy("(1,)", bytes(4)), "/y.npy": npy("(1,)", bytes(4))}),
    ]
    layer = b'layer { name: "r" type: "ReLU" bottom: "d" top: "d" }\n'
    return {
        "npz": [
            described(many_layers),
            described(wide_layer),
            described(lambda tree: tree.update(unknown=[0] * 8_000_000)),
            described(lambda tree: tree.update(unknown=deep)),
            *archives,
        ],
        "npz table": archives,
        "npz source": archives,
        "npy source": [claims],
        "caffemodel": [b"\xa2\x06\x00", b"\xa2\x06\xff\xff\xff\xff\x7f", field(100, field(7, field(5, b"")))],
        "prototxt": [b'input: "d" input_dim: 1 input_dim: 2\n' + layer * 100_000, b"layer {" * 100_000],
        "csv table": [b"a,b\n" + b"9" * 100_000 + b",2\n", b'a,b\n"1,2\n3,4\n' * 1000, b"a,b\n1,\x002\n"],
    }


# ---- good files


def varint(number: int) -> bytes:
    result = b""
    while number > 127:
        result += bytes([number & 127 | 128])
        number >>= 7
    return result + bytes([number])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def caffemodel() -> bytes:
    """Return a network of two products as Caffe writes it."""
    rng = np.random.default_rng(0)

    def blob(*shape: int) -> bytes:
        values = rng.standard_normal(shape).astype("<f4").tobytes()
        return field(7, field(7, field(1, b"".join(map(varint, shape)))) + field(5, values))

    def layer(name: bytes, kind: bytes, bottom: bytes, blobs: bytes = b"", outputs: int = 0) -> bytes:
        parameters = field(117, varint(8) + varint(outputs)) if outputs else b""
        names = field(1, name) + field(2, kind) + field(3, bottom) + field(4, name)
        return field(100, names + blobs + parameters)

    shape = varint(4 << 3) + varint(1) + varint(4 << 3) + varint(4)
    layers = layer(b"a", b"InnerProduct", b"data", blob(8, 4) + blob(8), 8) + layer(b"r", b"ReLU", b"a")
    return (
        field(1, b"net")
        + field(3, b"data")
        + shape
        + layers
        + layer(b"b", b"InnerProduct", b"r", blob(3, 8) + blob(3), 3)
    )


SOLVER = b"""train_net_param { input: "x" input_shape { dim: 1 dim: 2 } input: "t"
  layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } }
  layer { name: "l" type: "EuclideanLoss" bottom: "y" bottom: "t" } }
type: "Adam" base_lr: 0.01 momentum: 0.9 momentum2: 0.99 weight_decay: 5e-4 lr_policy: "multistep" gamma: 0.5
stepvalue: [10, 20] clip_gradients: 2 iter_size: 3 max_iter: 100
"""


def formats(folder: Path) -> list[Format]:
    """Return every reader with good files."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 4)).astype(np.float32), rng.integers(0, 3, 40)
    net = rl.Sequential(rl.Dense(4, 8), rl.ReLU(0.1), rl.Dropout(0.2), rl.PReLU(8), rl.Dense(8, 3), rng=0)
    optimizer = rl.Adam(rl.schedules.Step(0.01, 0.5, 10))
    trainer = rl.Trainer(
        net, rl.SoftmaxCrossEntropy(), optimizer, callbacks=[rl.EarlyStopping(monitor="loss")]
    )
    trainer.fit(x, y, epochs=2, batch_size=8)
    plain = rl.Sequential(rl.Dense(4, 8), rl.ReLU(0.1), rl.Dense(8, 3), rl.Softmax(), rng=0)

    def written(name: str, write: Callable[[Path], object]) -> bytes:
        path = folder / name
        write(path)
        return path.read_bytes()

    def archive(path: Path) -> None:
        np.savez(path, x=x, y=y)

    def packed(path: Path) -> None:
        np.savez_compressed(path, x=x, y=y)

    model, checkpoint = written("model.npz", net.save), written("checkpoint.npz", trainer.save_checkpoint)
    rows = "".join(f"{i},{i * 0.5},{'xyz'[i % 3]},{'uv'[i % 2]}\n" for i in range(30))
    csv = ("a,b,c,y\n" + rows).encode()
    arrays = [written("rows.npz", archive), written("packed.npz", packed)]
    targets = folder / "targets.npy"
    np.save(targets, y)
    found = [
        Format("npz", "npz", rl.load, [model, checkpoint], 6),
        Format("npz documents", "npz", rl.load, [model], 2, documents),
        Format("checkpoints", "npz", restored, [checkpoint], 0.5, documents),
        Format("safetensors", "safetensors", rl.load, [written("model.safetensors", net.save)], 8),
        Format("onnx", "onnx", rl.load, [written("model.onnx", plain.save)], 4),
        Format("prototxt", "prototxt", rl.load, [written("model.prototxt", plain.save)], 2),
        Format("solver", "prototxt", read_solver, [SOLVER], 2),
        Format("caffemodel", "caffemodel", rl.load, [caffemodel()], 8),
        Format("csv source", "csv", all_rows(target="y"), [csv], 0.3),
        Format("csv table", "csv", lambda path: load_table(os.fspath(path)), [csv], 2),
        Format("tsv table", "tsv", lambda path: load_table(os.fspath(path)), [csv.replace(b",", b"\t")], 0.5),
        Format("npz source", "npz", all_rows(), arrays, 3),
        Format("npz table", "npz", lambda path: load_table(os.fspath(path)), arrays, 1),
        Format(
            "npy source",
            "npy",
            all_rows(target=targets),
            [written("x.npy", lambda path: np.save(path, x))],
            1,
        ),
    ]
    with contextlib.suppress(ImportError):
        import h5py

        def hdf5(path: Path) -> None:
            with h5py.File(path, "w") as file:
                file.create_dataset("x", data=x, chunks=(8, 4), compression="gzip")
                file["y"] = y

        seeds = [written("rows.h5", hdf5)]
        found.append(Format("h5 source", "h5", all_rows(), seeds, 0.3))
        found.append(Format("h5 table", "h5", lambda path: load_table(os.fspath(path)), seeds, 0.3))
    asking = hostile(model)
    for format in found:
        format.hostile = asking.get(format.name, [])
    return found


def columnar(folder: Path) -> list[Format]:
    """Return the readers of Parquet and Arrow files, which do not survive a fork."""
    try:
        import polars
    except ImportError:
        return []
    columns = {"a": list(range(30)), "b": [i * 0.5 for i in range(30)], "y": ["uv"[i % 2] for i in range(30)]}
    frame = polars.DataFrame(columns)
    frame.write_parquet(folder / "rows.parquet")
    frame.write_ipc(folder / "rows.arrow")
    frame.write_ipc(folder / "packed.arrow", compression="zstd")
    parquet = [(folder / "rows.parquet").read_bytes()]
    arrow = [(folder / name).read_bytes() for name in ("rows.arrow", "packed.arrow")]
    return [
        Format("parquet source", "parquet", all_rows(target="y"), parquet),
        Format("parquet table", "parquet", lambda path: load_table(os.fspath(path)), parquet),
        Format("arrow source", "arrow", all_rows(target="y"), arrow),
        Format("arrow table", "arrow", lambda path: load_table(os.fspath(path)), arrow),
    ]
