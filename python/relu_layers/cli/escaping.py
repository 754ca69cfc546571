"""Text from files on a terminal: what could move the cursor or change colours is shown as an escape."""

from __future__ import annotations


def escaped(text: object, longest: int = 200) -> str:
    """Return ``text`` with characters that cannot be printed as ``\\x1b`` and the like, cut after ``longest``."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))
    return shown if len(shown) <= longest else shown[: longest - 3] + "..."
