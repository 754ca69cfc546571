"""How layers, losses and optimizers are written elsewhere: formulas, programs, and the words of other formats."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from relu_layers.ops.reference.activations import SELU_LOWEST, SELU_SCALE


@cache
def formulas() -> dict[str, dict[str, str]]:
    """Return class name -> form -> text; a caller may add an entry for a layer of its own."""
    text = files("relu_layers._files").joinpath("formulas.toml").read_text(encoding="utf-8")
    for name, value in (("SELU_SCALE", SELU_SCALE), ("SELU_LOWEST", SELU_LOWEST)):
        text = text.replace(name, repr(value))
    return tomllib.loads(text)


def written_as(form: str) -> dict[str, str]:
    """Return class name -> text of all that are written in one form."""
    return {kind: forms[form] for kind, forms in formulas().items() if form in forms}
