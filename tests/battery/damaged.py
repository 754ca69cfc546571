"""Damaged files of every format: mutations of good ones, documents with a right checksum and wrong content.

Whatever the bytes are, a reader returns or raises ValueError or OSError, within bounded memory and time. What
a run finds goes into the corpus with ``--keep``, and every run begins with the corpus.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
import resource
import signal
import struct
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from common import Child, Part, fresh
from samples import Format, Reader, columnar, formats

CORPUS = Path(__file__).parent / "corpus"
AT_ONCE = 500
LARGEST_KEPT = 2**16
MEMORY, SECONDS = 256 * 2**20, 10.0  # more than any file here may take


class Watched:
    """The memory and processor time that reading takes, and where the reader was when it ended the process."""

    def __init__(self) -> None:
        self.place = mmap.mmap(-1, 8)
        self.peak = self._peak()

    @staticmethod
    def _peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    @staticmethod
    def limit() -> None:
        """No more than a gigabyte on top of what is there now."""
        with open("/proc/self/statm") as statm:
            used = int(statm.read().split()[0]) * mmap.PAGESIZE
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**30,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def finding(self, read: Reader, path: Path) -> str | None:
        """Return what is wrong with how ``path`` is read."""
        begin = time.process_time()
        try:
            read(path)
        except (ValueError, OSError):
            pass
        except BaseException as error:
            said = re.sub(r"[0-9]+", "#", str(error).split("(")[0])[:80]
            return f"{type(error).__module__}.{type(error).__name__}: {said}"
        peak = self._peak()
        grown, self.peak = peak - self.peak, max(peak, self.peak)
        if grown > MEMORY:
            return f"more than {MEMORY >> 20} MB of memory"
        if time.process_time() - begin > SECONDS:
            return f"more than {SECONDS:.0f} s"
        return None


def read_all(format: Format, path: Path, contents: Iterable[bytes], watched: Watched, pipe: int) -> None:
    """Read each content; say place and finding to the pipe."""
    for place, content in enumerate(contents):
        watched.place[:] = struct.pack("q", place)
        path.write_bytes(content)
        # Processor time: what a busy machine does to the clock is no fault of the reader.
        signal.setitimer(signal.ITIMER_PROF, 4 * SECONDS)
        finding = watched.finding(format.read, path)
        if finding is not None:
            os.write(pipe, json.dumps([place, finding]).encode() + b"\n")
    signal.setitimer(signal.ITIMER_PROF, 0)


def batches(format: Format, count: int, seed: int) -> Iterator[list[bytes]]:
    """Yield what asks for much and the corpus of a format, then mutations, in lists of a size for one process."""
    folder = CORPUS / format.name.replace(" ", "-")
    yield format.hostile + [path.read_bytes() for path in sorted(folder.glob("*"))]
    for first in range(0, count, AT_ONCE):
        yield list(format.mutate(format.seeds, min(AT_ONCE, count - first), seed + first))


class Damaged:
    """All findings of a run; with ``--keep`` each kind's first file joins the corpus."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.kept: set[str] = set()

    def note(self, format: Format, contents: list[bytes], place: int, finding: str) -> None:
        fault = f"{format.name}: {finding}"
        self.part.check(False, fault)
        if self.part.keep and fault not in self.kept and len(contents[place]) <= LARGEST_KEPT:
            self.kept.add(fault)
            folder = CORPUS / format.name.replace(" ", "-")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / hashlib.sha256(contents[place]).hexdigest()[:12]).write_bytes(contents[place])

    def forked(self, format: Format, contents: list[bytes]) -> None:
        """Read in a forked child, and go on behind what ended it."""
        self.part.count("files", len(contents))
        first = 0
        while first < len(contents):
            watched = Watched()
            path = self.part.folder / f"damaged.{format.suffix}"

            def work(pipe: int, first: int = first, watched: Watched = watched, path: Path = path) -> None:
                watched.limit()
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, 2)
                read_all(format, path, contents[first:], watched, pipe)

            ended = Child(work, seconds=900).end()
            for line in ended.said.decode(errors="replace").splitlines():
                if line.startswith("["):
                    place, finding = json.loads(line)
                    self.note(format, contents, first + place, finding)
            if ended.code == 0:
                return
            place = first + struct.unpack("q", watched.place[:])[0]
            self.note(format, contents, place, f"the process ended with {ended.code}")
            first = place + 1

    def apart(self, name: str, count: int, seed: int) -> None:
        """Read in a new interpreter; it prints each place and finding."""
        code = f"import sys; sys.path.insert(0, {os.fspath(Path(__file__).parent)!r}); import damaged; damaged.worker()"
        first = 0
        folder = self.part.folder / name.replace(" ", "-")
        folder.mkdir()
        format = next(each for each in columnar(folder) if each.name == name)
        contents = [content for batch in batches(format, count, seed) for content in batch]
        self.part.count("files", len(contents))
        while first < len(contents):
            ended = fresh(code, name, str(count), str(seed), str(first), os.fspath(folder), seconds=3600)
            lines = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("[")]
            for place, finding in lines:
                if finding:
                    self.note(format, contents, place, finding)
            if ended.returncode == 0:
                return
            place = lines[-1][0] + 1 if lines else first
            self.note(format, contents, place, f"the process ended with {ended.returncode}")
            first = place + 1


def worker() -> None:
    """In a new interpreter: read the files of one columnar format from a place on."""
    name, count, seed, first, folder = sys.argv[1], *map(int, sys.argv[2:5]), Path(sys.argv[5])
    format = next(each for each in columnar(folder) if each.name == name)
    contents = [content for batch in batches(format, count, seed) for content in batch]
    path = folder / f"damaged.{format.suffix}"
    watched = Watched()
    for place in range(first, len(contents)):
        path.write_bytes(contents[place])
        print(json.dumps([place, watched.finding(format.read, path)]), flush=True)


def main() -> None:
    part = Part("damaged files")
    for figure in ("files", "wrong"):
        part.count(figure, 0)
    damaged = Damaged(part)
    known = formats(part.folder)
    total = sum(format.share for format in known)
    for format in known:
        for seed in format.seeds:
            path = part.folder / f"good.{format.suffix}"
            path.write_bytes(seed)
            format.read(path)
        count = int(part.size(50_000, 2_000_000) * format.share / total)
        for contents in batches(format, count, part.seed):
            damaged.forked(format, contents)
    part.count("formats", len(known))
    for name in ("parquet source", "parquet table", "arrow source", "arrow table"):
        if columnar(part.folder):
            damaged.apart(name, part.size(100, 10_000), part.seed)
            part.count("formats")
    part.finish()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
