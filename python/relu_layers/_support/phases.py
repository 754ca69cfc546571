"""The phases of a step that captures record, in the extension's order."""

from __future__ import annotations

CHECK, FORWARD, BACKWARD, OBSERVE, COLLECT, COMBINE, NORM, UPDATE = range(8)
