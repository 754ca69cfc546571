"""The figure lines of the battery at the end of the report."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print one line per part that ran."""
    reports = [report for key in ("passed", "failed") for report in terminalreporter.getreports(key)]
    figures = [value for report in reports for name, value in report.user_properties if name == "figure"]
    if figures:
        terminalreporter.section("battery")
    for figure in sorted(figures):
        terminalreporter.write_line(figure)
