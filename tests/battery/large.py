"""More than 2^31 elements, in arrays whose pages are all the same 64 MB of memory. In the long form only.

Elementwise ops, rows of softmax and of the loss, products of which one operand or the result is that large,
strides of more than 2^31 bytes; results of more elements than an address has are refused. An output may be
mapped so only where an op never reads what it has written.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

import numpy as np
from common import Part

import relu_layers as rl

PIECE = 64 * 2**20
WORDS = PIECE // 4
N = 2**31 + 9
OWN_MEMORY = 11 * 2**30
PROT_READ_WRITE, MAP_SHARED_FIXED, MAP_RESERVED = 3, 0x11, 0x4022
part = Part("large")
libc: Any = None


def physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


def repeated(count: int, seed: int | None = None) -> Any:
    """Return a float32 array of ``count`` elements, a repetition of WORDS random numbers, or zeros."""
    size = -(-count * 4 // PIECE) * PIECE
    descriptor = os.memfd_create("large")
    os.ftruncate(descriptor, PIECE)
    at = libc.mmap(None, size, 0, MAP_RESERVED, -1, 0)
    assert at not in (None, 2**64 - 1), "no address space"
    for place in range(at, at + size, PIECE):
        assert libc.mmap(place, PIECE, PROT_READ_WRITE, MAP_SHARED_FIXED, descriptor, 0) == place
    os.close(descriptor)
    mapped.append((at, size))
    array = np.frombuffer((ctypes.c_char * size).from_address(at), np.float32)[:count]
    if seed is not None:
        array[:WORDS] = np.random.default_rng(seed).standard_normal(WORDS, dtype=np.float32)
    return array


def forget() -> None:
    while mapped:
        libc.munmap(*mapped.pop())


def check(what: str, good: Any) -> None:
    part.count("checks")
    part.check(bool(good), what)


def total(values: Any) -> float:
    """Return the sum of N elements that repeat ``values``."""
    return float(values.sum() * (N // WORDS) + values[: N % WORDS].sum())


def elementwise() -> None:
    x, dy, out = repeated(N, 1), repeated(N, 2), repeated(N)
    few, few_dy = x[:WORDS].copy(), dy[:WORDS].copy()
    rl.ops.relu_forward(x, out=out)
    wanted = rl.ops.reference.relu_forward(few)
    end = (N - 9) % WORDS
    check("relu_forward", out[:WORDS].tobytes() == wanted.tobytes())
    check("relu_forward, the end", out[-9:].tobytes() == wanted[end : end + 9].tobytes())
    rl.ops.relu_backward(x, dy, 0.1, out=out)
    wanted = rl.ops.reference.relu_backward(few, few_dy, 0.1)
    check("relu_backward", out[:WORDS].tobytes() == wanted.tobytes())
    forget()


def one_row() -> None:
    x, out = repeated(N, 1), repeated(N)
    exponentials = np.exp(x[:WORDS].astype(np.float64))
    everything = total(exponentials)
    rl.ops.log_softmax_forward(x, out=out)
    wanted = x[:WORDS].astype(np.float64) - np.log(everything)
    check("log-softmax", np.allclose(out[:WORDS], wanted, rtol=1e-6, atol=0))
    if physical_memory() < OWN_MEMORY:
        part.remarks.append("softmax not run, needs 11 GB of free memory")
    else:
        # It works on what it has written: memory in which one element is many would not do.
        own = np.empty(N, np.float32)
        rl.ops.softmax_forward(x, out=own)
        for first in (0, WORDS, N // WORDS * WORDS):
            found = own[first : first + WORDS]
            wanted = exponentials[: len(found)] / everything
            check("softmax", np.allclose(found, wanted, rtol=1e-6, atol=0))
        del own
    loss, _ = rl.ops.softmax_cross_entropy(x[None], np.array([N - 1]), out=out[None])
    wanted = np.log(everything) - float(x[N - 1])
    check("cross entropy of the last class", abs(float(loss) - wanted) < 1e-6 * abs(wanted))
    try:
        rl.ops.softmax_cross_entropy(x[None], np.array([N]), out=out[None])
        check("a label beyond the last class", False)
    except IndexError:
        check("a label beyond the last class", True)
    target = repeated(N, 3)
    squares = (x[:WORDS].astype(np.float64) - target[:WORDS]) ** 2
    loss, _ = rl.ops.squared_error(x, target, normalization="none", out=out)
    check("squared error", abs(float(loss) - total(squares)) < 1e-5 * total(squares))
    forget()


def products() -> None:
    rows, inner = 65537, 32769
    a = repeated(rows * inner, 4).reshape(rows, inner)
    rng = np.random.default_rng(5)
    thin = rng.standard_normal((inner, 2)).astype(np.float32)
    c = rl.ops.matmul(a, thin)
    some = [0, 1, rows // 2, rows - 1]
    check("m k", np.allclose(c[some], a[some].astype(np.float64) @ thin, rtol=1e-4, atol=2e-2))
    check("m k, rows alone", rl.ops.dense_forward(a[-3:], thin).tobytes() == c[-3:].tobytes())
    flat = rng.standard_normal((2, rows)).astype(np.float32)
    c = rl.ops.matmul(flat, a)
    some = [0, 7, inner - 1]
    check("k n", np.allclose(c[:, some], flat.astype(np.float64) @ a[:, some], rtol=1e-4, atol=2e-2))
    forget()
    out = repeated(rows * 32768).reshape(rows, 32768)
    row, b = np.arange(4, dtype=np.float32), rng.integers(-3, 4, (4, 32768)).astype(np.float32)
    rl.ops.matmul(np.broadcast_to(row, (rows, 4)), b, out=out)
    check("m n", np.array_equal(out[0], row @ b) and np.array_equal(out[-1], row @ b))
    forget()


def strides_and_shapes() -> None:
    step = 2**29 + 16
    far = np.lib.stride_tricks.as_strided(repeated(3 * step, 8), (3, 5), (4 * step, 4))
    check("strides of more than 2^31 bytes", np.array_equal(rl.ops.relu_forward(far), np.maximum(far, 0)))
    forget()
    tall = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (2**31, 1), (0, 0))
    wide = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (1, 2**33), (0, 0))
    for what, call in {
        "a result of 2^64 elements": lambda: rl.ops.matmul(tall, wide),
        "a layer of 2^80 parameters": lambda: rl.mlp([2**40, 2**40]),
        "a layer of 2^65 parameters": lambda: rl.mlp([2**62, 8]),
    }.items():
        try:
            call()
            check(what, False)
        except (ValueError, MemoryError, OverflowError):
            check(what, True)


mapped: list[tuple[int, int]] = []
if not part.long:
    part.skip("in the long form only")
if not sys.platform.startswith("linux") or physical_memory() < 6 * 2**30:
    part.skip("needs Linux and 6 GB of free memory")
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
for figure in ("checks", "wrong"):
    part.count(figure, 0)
elementwise()
one_row()
products()
strides_and_shapes()
part.finish()
