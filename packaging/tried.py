"""The table docs/tried.csv: what was tried where, with the date, written by the sessions that tried it."""

from __future__ import annotations

import csv
import datetime
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "docs" / "tried.csv"
HEAD = ("what", "where", "result", "date")


def record(what: str, where: str, result: str) -> None:
    """Write one row; an older one about the same thing in the same place is replaced."""
    rows = {(row["what"], row["where"]): row for row in read()}
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    rows[what, where] = dict(zip(HEAD, (what, where, result, date), strict=True))
    with FILE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, HEAD, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[key] for key in sorted(rows))
    print(f"{what} | {where} | {result}")


def read() -> list[dict[str, str]]:
    """Return the rows of the table."""
    if not FILE.exists():
        return []
    with FILE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
