"""The formats of model files: which suffix means which functions, and how they are found."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from os.path import splitext
from typing import Any, NamedTuple

from relu_layers._checks import nearest


class Format(NamedTuple):
    """Where a format's functions are, as "module:function", imported when first used; "" where there is none.

    ``whole`` formats hold any document of this package: ``write(document, path, **options)`` and
    ``read(path, **options) -> document``. The others hold a network as other programs see it:
    ``write(model, path, **options)`` and ``read(path, **options) -> Sequential``.
    """

    write: str
    read: str
    whole: bool


FORMATS = {
    ".npz": Format("relu_layers._npz:write", "relu_layers._npz:read", True),
    ".safetensors": Format(
        "relu_layers.formats.safetensors:write", "relu_layers.formats.safetensors:read", True
    ),
    ".onnx": Format("relu_layers.formats.onnx:save", "relu_layers.formats.onnx:load", False),
    ".prototxt": Format("relu_layers.formats.caffe:save", "relu_layers.formats.caffe:load", False),
    ".caffemodel": Format("", "relu_layers.formats.caffe:load", False),
    ".h": Format("relu_layers.formats.c_header:save", "", False),
}


def suffix_of(path: str) -> str:
    """Return the suffix in small letters, with its dot."""
    return splitext(path)[1].lower()


def whole_formats() -> str:
    """Return the suffixes of the formats that hold any document, for messages."""
    return " or ".join(suffix for suffix, form in FORMATS.items() if form.whole)


def function_of(path: str, which: str, options: Mapping[str, Any]) -> tuple[Any, bool]:
    """Return the function that writes or reads the format of ``path``, and whether the format is whole."""
    suffix = suffix_of(path)
    form = FORMATS.get(suffix)
    if form is None:
        known = [one for one, form in FORMATS.items() if getattr(form, which)]
        raise ValueError(
            f"{path}: the suffix {splitext(path)[1]!r} names no format, "
            f"expected {', '.join(known)}{nearest(suffix, known)}"
        )
    place = getattr(form, which)
    if not place:
        verb = "written" if which == "write" else "read"
        raise ValueError(f"{path}: {suffix} files cannot be {verb} by relu_layers")
    module, name = place.split(":")
    function = getattr(import_module(module), name)
    if options:
        from inspect import Parameter, signature

        kinds = signature(function).parameters.values()
        known = [one.name for one in kinds if one.kind is Parameter.KEYWORD_ONLY]
        for option in options:
            if option not in known:
                expected = f"expected {', '.join(known)}{nearest(option, known)}" if known else "it has none"
                raise TypeError(f"{path}: {suffix} files have no option {option!r}, {expected}")
    return function, form.whole
