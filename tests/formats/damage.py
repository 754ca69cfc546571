"""Damaged copies of a file's bytes, and what a reader may do with them: a ValueError, or a result that is checked."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

# Numbers that formats use as lengths, tags, counts and floats, and that are wrong in most places.
_INTERESTING = (
    b"\x00", b"\xff", b"\x7f", b"\x80", b"\x01", b"\xff\xff", b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff",
    b"\x80\x80\x80\x80\x10", b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\xff" * 9 + b"\x01", b"\xff" * 8,
    b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"nan", b"-1", b"1e999", b"{", b"}", b"[" * 64, b'"', b"\n",
)  # fmt: skip


def truncations(data: bytes) -> Iterator[bytes]:
    """Yield every proper beginning of ``data``, the empty one first."""
    for length in range(len(data)):
        yield data[:length]


def single_byte_changes(data: bytes, values: Iterable[int] | None = None) -> Iterator[bytes]:
    """Yield ``data`` with one byte replaced, for every place: by all 255 others, or by those of ``values``."""
    wanted = range(256) if values is None else tuple(values)
    for place, byte in enumerate(data):
        for value in wanted:
            if value != byte:
                yield b"%b%c%b" % (data[:place], value, data[place + 1 :])


def bit_flips(data: bytes) -> Iterator[bytes]:
    """Yield ``data`` with one bit inverted, for every bit."""
    for place, byte in enumerate(data):
        for bit in range(8):
            yield b"%b%c%b" % (data[:place], byte ^ 1 << bit, data[place + 1 :])


def mutations(seeds: Iterable[bytes], count: int, seed: int = 0) -> Iterator[bytes]:
    """Yield ``count`` random mutations of the ``seeds``, always the same ones for a ``seed``.

    One to four of: bytes changed, inserted, deleted, repeated or moved, a length or float put somewhere, a part of
    another seed spliced in, the end cut off. All files stay below twice the longest seed and a kilobyte.
    """
    chance = random.Random(seed)
    originals = tuple(seeds)
    longest = 2 * max(map(len, originals)) + 1024
    for _ in range(count):
        data = bytearray(chance.choice(originals))
        for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
            _mutate(data, originals, chance)
        yield bytes(data[:longest])


def _mutate(data: bytearray, originals: tuple[bytes, ...], chance: random.Random) -> None:
    place = chance.randrange(len(data) + 1)
    length = chance.choice((1, 1, 2, 4, 8, 16, 64))
    kind = chance.randrange(9)
    if kind == 0 and place < len(data):
        data[place] = chance.randrange(256)
    elif kind == 1 and place < len(data):
        data[place] ^= 1 << chance.randrange(8)
    elif kind == 2:
        data[place:place] = chance.randbytes(length)
    elif kind == 3:
        del data[place : place + length]
    elif kind == 4:
        data[place:place] = data[place : place + length] * chance.choice((1, 1, 2, 8))
    elif kind == 5:
        value = chance.choice(_INTERESTING)
        data[place : place + len(value)] = value
    elif kind == 6:
        data[place:place] = chance.choice(_INTERESTING)
    elif kind == 7:
        other = chance.choice(originals)
        start = chance.randrange(len(other) + 1)
        data[place : place + length] = other[start : start + length]
    else:
        del data[place:]


def read_all(
    variants: Iterable[bytes],
    path: Path,
    read: Callable[[Path], Any],
    check: Callable[[Any], None],
) -> tuple[int, int]:
    """Write each of ``variants`` to ``path`` and read it; return how many were refused and how many accepted.

    A ValueError is a refusal; any other exception fails and shows the bytes. What is accepted goes to ``check``,
    which asserts.
    """
    refused = accepted = 0
    for data in variants:
        path.write_bytes(data)
        try:
            result = read(path)
        except ValueError:
            refused += 1
            continue
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}\nfor {data!r}") from error
        try:
            check(result)
        except Exception as error:
            raise AssertionError(f"accepted, but {error}\nfor {data!r}") from error
        accepted += 1
    return refused, accepted
