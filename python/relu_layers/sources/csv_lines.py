"""The bytes of a text file, compressed or not, and its lines, one by one or many in one text."""

from __future__ import annotations

import gzip
import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from relu_layers._support.files import open_regular
from relu_layers.sources._sizes import MOST_IN_MEMORY, refuse_too_large
from relu_layers.sources.csv_form import suffix_of


class CsvLines:
    """Lines, of which some may be read ahead, and put back.

    Parameters
    ----------
    lines : TextIOBase or iterator of str
        A stream of text whose line ends are kept, or its lines.
    """

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._back = io.StringIO()

    def __iter__(self) -> Iterator[str]:
        """Return an iterator over the lines that remain."""
        return itertools.chain(self._back, self._lines)

    def ahead(self, lines: int, characters: int) -> str:
        """Return the text of about ``characters`` characters up to the end of a line, or of some ``lines``."""
        for stream in (self._back, self._lines):
            if isinstance(stream, io.TextIOBase):
                text = stream.read(max(characters - 1, 1))
                text += stream.readline()
            else:
                text = "".join(itertools.islice(stream, lines))
            if text:
                return text
        return ""

    def put_back(self, text: str) -> None:
        """Take back the text that was read last."""
        self._back = io.StringIO(text + self._back.read(), newline="")


def opened(path: Path, content: bytes | None, most: int) -> BinaryIO:
    """Return the bytes of a file, unpacked if they are compressed, or those that were read before."""
    if content is not None:
        return io.BytesIO(content)
    file = open_regular(path)
    return cast(BinaryIO, _Unpacked(file, path, most)) if suffix_of(path).endswith(".gz") else file


class _Unpacked(gzip.GzipFile):
    """The unpacked content of an open file, which is closed with it, up to ``most`` times the size of the file.

    A line goes into memory as a whole, so that it has a bound of its own.
    """

    def __init__(self, file: BinaryIO, path: Path, most: int) -> None:
        super().__init__(fileobj=file, mode="rb")
        self.myfileobj = cast(Any, file)
        self._stored, self._most = path.stat().st_size, most
        self._line_begin = 0

    def read1(self, size: int = -1) -> bytes:
        """Return the next bytes; a ValueError where they, or those of one line, become too many."""
        found: bytes = super().read1(size)
        place = self.tell()
        refuse_too_large(place, self._stored, self._most)
        end = max(found.rfind(b"\n"), found.rfind(b"\r"))
        if end >= 0:
            self._line_begin = place - len(found) + end
        refuse_too_large(place - self._line_begin, self._stored, min(self._most, MOST_IN_MEMORY))
        return found
