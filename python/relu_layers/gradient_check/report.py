"""The result of `gradcheck`: verdicts as text, as a table for notebooks and as plain values."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from typing import Any

from relu_layers._support.arguments import integer, nearest
from relu_layers._support.text_table import aligned
from relu_layers.gradient_check.entries import VERDICTS, Entry, array_result

# Entries that a report lists one by one; the rest is counted.
_LISTED = 8
_WIDTH = 79


class GradcheckReport:
    """Result of `relu_layers.gradcheck`: true if no entry is wrong.

    Attributes
    ----------
    entries : list of Entry
    arrays : list of ArrayResult
    loss, loss_name : float, str
    noise : float
        The ``c`` of the noise floor ``c * eps * |loss| / h``.
    hints : tuple of str
        What the wrong entries have in common.
    notes : tuple of str
        Of a function: where its masks hold exactly 0, and what the other convention there would change.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        shapes: dict[str, tuple[int, ...]],
        largest: dict[str, float],
        *,
        loss: float,
        loss_name: str,
        noise: float,
        seed: int,
        hints: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> None:
        self.entries = list(entries)
        self.loss, self.loss_name, self.noise, self.seed = loss, loss_name, noise, seed
        self.hints, self.notes = tuple(hints), tuple(notes)
        self.arrays = [array_result(name, shapes[name], largest[name], self.entries) for name in shapes]
        self._by_place = {(entry.name, entry.index): entry for entry in self.entries}

    @property
    def checked(self) -> int:
        """How many entries were checked."""
        return len(self.entries)

    @property
    def total(self) -> int:
        """How many entries there are."""
        return sum(array.total for array in self.arrays)

    @property
    def fraction(self) -> float:
        """Checked entries as a part of all."""
        return self.checked / self.total if self.total else 1.0

    @property
    def wrong(self) -> list[Entry]:
        """The wrong entries, the largest relative error first."""
        bad = [entry for entry in self.entries if entry.verdict == "wrong"]
        return sorted(
            bad, key=lambda entry: -entry.relative if entry.relative == entry.relative else -math.inf
        )

    @property
    def kinks(self) -> list[Entry]:
        """The entries at a corner."""
        return [entry for entry in self.entries if entry.verdict == "kink"]

    def __bool__(self) -> bool:
        return not any(entry.verdict == "wrong" for entry in self.entries)

    def entry(self, name: str, index: int | tuple[int, ...]) -> Entry:
        """Return one entry: ``report.entry("0.weight", (0, 2))``.

        Raises
        ------
        KeyError
            There is no such array, or the entry is not in the sample that was checked.
        IndexError
            The index lies outside the array.
        """
        known = {array.name: array for array in self.arrays}
        if name not in known:
            hint = nearest(name, known) if isinstance(name, str) else ""
            raise KeyError(f"no array {name!r}{hint or '; there are ' + ', '.join(known)}")
        shape = known[name].shape
        given = index if isinstance(index, tuple) else (index,)
        place = tuple(integer("GradcheckReport", "index", i) for i in given)
        if len(place) != len(shape) or not all(-n <= i < n for i, n in zip(place, shape, strict=True)):
            raise IndexError(f"{name} has shape {shape}, which has no index {index}")
        place = tuple(i % n for i, n in zip(place, shape, strict=True))
        found = self._by_place.get((name, place))
        if found is None:
            raise KeyError(
                f"{name}{list(place)} is not among the {self.checked:,} of {self.total:,} entries that were "
                "checked; max_entries=None checks all"
            )
        return found

    def verdict(self, name: str, index: int | tuple[int, ...]) -> str:
        """Return the verdict of one entry; the errors are those of `entry`."""
        return self.entry(name, index).verdict

    def counts(self) -> dict[str, int]:
        """Return how many entries have which verdict."""
        return {kind: sum(entry.verdict == kind for entry in self.entries) for kind in VERDICTS}

    def headline(self) -> str:
        """Return the result in a line."""
        counts = self.counts()
        verdicts = ", ".join(
            f"{counts[kind]:,} {kind}" for kind in VERDICTS if counts[kind] or kind != "kink"
        )
        part = "all" if self.checked == self.total else f"{self.checked:,} ({self.fraction:.1%}) of"
        outcome = "gradients agree" if self else "GRADIENTS ARE WRONG"
        return f"{outcome}: {part} {self.total:,} entries checked, {verdicts}"

    def basis(self) -> str:
        """Return the compared loss, step and noise in a line."""
        sampled = "" if self.checked == self.total else f", sampled with seed {self.seed}"
        return (
            f"loss {self.loss:.6g} by {self.loss_name}; four-point differences in float64{sampled}; "
            f"noise floor {self.noise:.3g} eps |loss| / h"
        )

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return header and rows: one row per array, with its worst entry; an error below the floor is noise."""
        header = ["array", "checked", "largest", "error", "allowed", "floor", *VERDICTS]
        rows = []
        for one in self.arrays:
            part = f"{one.total:,}" if one.checked == one.total else f"{one.checked:,}/{one.total:,}"
            cells = ["-", "-", "-"]
            if one.worst is not None:
                error, floor = one.worst.absolute, one.worst.floor
                cells = [_short(number) for number in (error, one.allowed, floor)]
                if one.worst.verdict == "kink":
                    cells[0] = "kink"
                elif error <= floor:
                    cells[0] = "< floor"
            counts = (f"{n:,}" for n in (one.ok, one.kink, one.wrong))
            rows.append([one.name, part, _short(one.largest), *cells, *counts])
        return header, rows

    def remarks(self) -> list[str]:
        """Return hints, notes, the wrong entries, the kinks and their meaning."""
        lines = [f"hint: {hint}" for hint in self.hints]
        lines += [f"at 0: {note}" for note in self.notes]
        for kind, entries in (("wrong", self.wrong), ("kink", self.kinks)):
            lines += [f"{kind} {entry}" for entry in entries[:_LISTED]]
            if len(entries) > _LISTED:
                lines.append(f"... and {len(entries) - _LISTED:,} more {kind}")
        if self.kinks:
            lines.append(
                "A kink is no mistake: a difference there mixes the slopes of both sides, backward takes the "
                "side that x <= 0 belongs to. These gradients are right with every unit held on its side."
            )
        return lines

    def __str__(self) -> str:
        """Return a report for a terminal of 80 columns."""
        header, rows = self.table()
        remarks = []
        for line in self.remarks():
            # Both numbers, and below them the unit that turns its corner.
            parts = line.split("; ", 1) if line.startswith(("kink", "wrong")) else [line]
            for part, indent in zip(parts, ("", "    "), strict=False):
                remarks.append(textwrap.fill(part, _WIDTH, initial_indent=indent, subsequent_indent="    "))
        top = [self.headline(), *textwrap.wrap(self.basis(), _WIDTH)]
        return "\n".join([*top, "", *aligned([header, *rows]), *([""] if remarks else []), *remarks])

    def __repr__(self) -> str:
        return f"<GradcheckReport: {self.headline()}>"

    def _repr_html_(self) -> str:
        header, rows = self.table()
        head = "".join(_cell("th", index, cell) for index, cell in enumerate(header))
        body = "".join(
            "<tr>" + "".join(_cell("td", index, cell) for index, cell in enumerate(row)) + "</tr>"
            for row in rows
        )
        notes = "".join(f"<li>{escape(line)}</li>" for line in self.remarks())
        return (
            f"<div><p><b>{escape(self.headline())}</b><br>{escape(self.basis())}</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            + (f"<ul>{notes}</ul>" if notes else "")
            + "</div>"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as numbers, text, lists and dicts, ready for `json.dump`."""
        entries = []
        for entry in self.entries:
            values = asdict(entry) | {"index": list(entry.index)}
            if entry.kink is not None and isinstance(entry.kink.unit, tuple):
                values["kink"]["unit"] = list(entry.kink.unit)
            entries.append(values)
        return {
            "ok": bool(self),
            "loss": self.loss,
            "loss_name": self.loss_name,
            "noise": self.noise,
            "seed": self.seed,
            "checked": self.checked,
            "total": self.total,
            "fraction": self.fraction,
            "counts": self.counts(),
            "hints": list(self.hints),
            "notes": list(self.notes),
            "entries": entries,
        }


def _short(number: float) -> str:
    return f"{number:.1e}"


def _cell(tag: str, index: int, text: str) -> str:
    style = f"text-align:{'right' if index else 'left'};padding:.1em .6em;white-space:nowrap"
    return f"<{tag} style='{style}'>{escape(text)}</{tag}>"
