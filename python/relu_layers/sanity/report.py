"""The result of `sanity_check`: verdicts with advice, as text, for notebooks and as plain values."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any

from relu_layers._support.text_table import aligned

VERDICTS = ("ok", "warn", "fail", "skipped")
_WIDTH = 79


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes
    ----------
    name : str
    verdict : {"ok", "warn", "fail", "skipped"}
    finding : str
        What was found, with numbers.
    advice : str
        What to do about it; empty where there is nothing to do.
    values : dict
        The numbers behind it, JSON-able.
    """

    name: str
    verdict: str
    finding: str
    advice: str = ""
    values: dict[str, Any] = field(default_factory=dict)


class SanityReport:
    """Result of `relu_layers.sanity_check`: true if no check failed.

    Attributes
    ----------
    checks : list of Check
    sizes : list of dict
        For each parameter its root mean square, that of its gradient, and the ratio of the norms.
    """

    def __init__(self, checks: Sequence[Check], sizes: Sequence[dict[str, Any]]) -> None:
        self.checks, self.sizes = list(checks), list(sizes)

    def __bool__(self) -> bool:
        return not any(check.verdict == "fail" for check in self.checks)

    def __getitem__(self, name: str) -> Check:
        """Return the check of that name; an unknown one is a KeyError that lists all."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(f"no check {name!r}; there are {', '.join(check.name for check in self.checks)}")

    def headline(self) -> str:
        """Return the result in a line."""
        counts = {kind: sum(check.verdict == kind for check in self.checks) for kind in VERDICTS}
        return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return header and rows of the sizes of parameters and gradients."""
        header = ["parameter", "weights", "gradients", "ratio of norms"]
        rows = [
            [
                one["name"],
                *(
                    "-" if one[key] is None else f"{one[key]:.2e}"
                    for key in ("weight_rms", "gradient_rms", "ratio")
                ),
            ]
            for one in self.sizes
        ]
        return header, rows

    def __str__(self) -> str:
        """Return a report for a terminal of 80 columns."""
        lines = []
        width = max(len(check.name) for check in self.checks)
        for check in self.checks:
            left = f"{check.verdict:<7}  {check.name:<{width}}  "
            lines.append(
                textwrap.fill(check.finding, _WIDTH, initial_indent=left, subsequent_indent=" " * len(left))
            )
            if check.advice:
                indent = " " * len(left)
                lines.append(
                    textwrap.fill(
                        check.advice, _WIDTH, initial_indent=indent + "-> ", subsequent_indent=indent + "   "
                    )
                )
        header, rows = self.table()
        if rows:
            lines += ["", "root mean squares", *aligned([header, *rows])]
        return "\n".join([self.headline(), "", *lines])

    def __repr__(self) -> str:
        return f"<SanityReport: {self.headline()}>"

    def _repr_html_(self) -> str:
        checks = "".join(
            "<tr>"
            + _cell("td", check.verdict, weight="bold")
            + _cell("td", check.name)
            + _cell("td", check.finding, f"\u2192 {check.advice}" if check.advice else "")
            + "</tr>"
            for check in self.checks
        )
        header, rows = self.table()
        head = "".join(_cell("th", cell, align="right" if i else "left") for i, cell in enumerate(header))
        body = "".join(
            "<tr>"
            + "".join(_cell("td", cell, align="right" if i else "left") for i, cell in enumerate(row))
            + "</tr>"
            for row in rows
        )
        return (
            f"<div><p><b>{escape(self.headline())}</b></p><table><tbody>{checks}</tbody></table>"
            f"<p>Root mean squares</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as numbers, text, lists and dicts, ready for `json.dump`."""
        return {
            "ok": bool(self),
            "checks": [asdict(check) for check in self.checks],
            "sizes": [dict(one) for one in self.sizes],
        }


def _cell(tag: str, text: str, note: str = "", *, align: str = "left", weight: str = "inherit") -> str:
    style = f"text-align:{align};vertical-align:top;padding:.1em .6em;font-weight:{weight}"
    below = f"<br><i>{escape(note)}</i>" if note else ""
    return f"<{tag} style='{style}'>{escape(text)}{below}</{tag}>"
