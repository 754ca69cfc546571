"""The lines of a text file, one by one or many in one text."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator


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
