"""The texts of an explanation and the formulas of layers, from the file in ``data`` and the table of formulas."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from relu_layers._files.formulas import formulas
from relu_layers._support.arguments import choice

LANGUAGES = ("en", "ja")


def data_file(name: str) -> str:
    """Return a text file of the package's ``data`` folder."""
    return files("relu_layers.explanation").joinpath("data", name).read_text(encoding="utf-8")


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """Return key -> language -> text."""
    return tomllib.loads(data_file("texts.toml"))


def language() -> str:
    """Return the language of the environment's locale, such as ``LANG=ja_JP.UTF-8``; English where it has no texts."""
    wanted = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    code = re.split(r"[_.@]", wanted)[0]
    return code if code in LANGUAGES else "en"


class Texts:
    """The texts in one language: called with a key and values for its placeholders."""

    def __init__(self, lang: str | None) -> None:
        self.lang = choice("explain", "lang", language() if lang is None else lang, LANGUAGES)

    def __call__(self, key: str, **values: Any) -> str:
        text = catalogue()[key][self.lang]
        return text.format(**values) if values or "{" in text else text

    def raw(self, keys: Iterable[str]) -> dict[str, str]:
        """Return texts with their placeholders."""
        return {key: catalogue()[key][self.lang] for key in keys}

    def starting_with(self, prefix: str) -> dict[str, str]:
        """Return the raw texts of all keys that start so."""
        return {key: entry[self.lang] for key, entry in catalogue().items() if key.startswith(prefix)}


def formula(kind: str, form: str, x: str, y: str, config: Mapping[str, Any], lang: str = "en") -> str | None:
    """Return a formula with the names and the constructor's arguments put in, None if there is none."""
    # Where a setting chooses another formula, it has an entry of its own.
    own = (f"{kind}_{value}" for value in config.values() if isinstance(value, str))
    pattern = pattern_of(next((name for name in own if name in formulas()), kind), form, lang)
    if pattern is None:
        return None
    values = {key: _shown(value) for key, value in config.items() if key not in {"x", "y"}}
    filled = pattern.format(x=x, y=y, **values)
    # A slope of 0 leaves nothing to multiply.
    return re.sub(rf"\b0 \* {re.escape(x)}(?!\w)", "0", filled) if x and form == "plain" else filled


def pattern_of(kind: str, form: str, lang: str) -> str | None:
    """Return a formula with its placeholders, with the words of a language where it has words."""
    forms = formulas().get(kind, {})
    return forms.get(f"{form}_{lang}", forms.get(form))


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
