"""The formats of model files: which suffix means which functions, and how they are found."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from os.path import splitext
from typing import Any, NamedTuple

from relu_layers._support.arguments import nearest


class Format(NamedTuple):
    """Where a format's functions are, as "module:function", imported when first used; "" where there is none.

    ``whole`` formats hold any document of this package: ``write(document, path, **options)`` and
    ``read(path, **options) -> document``. The others hold a network as other programs see it:
    ``write(model, path, **options)`` and ``read(path, **options) -> Sequential``. ``describe(path)`` returns what a
    file says of itself as plain values, also where it cannot be read as a model.
    """

    write: str
    read: str
    whole: bool
    describe: str = ""


FORMATS = {
    ".npz": Format("relu_layers._files.npz:write", "relu_layers._files.npz:read", True),
    ".safetensors": Format(
        "relu_layers.formats.safetensors:write", "relu_layers.formats.safetensors:read", True
    ),
    ".onnx": Format(
        "relu_layers.formats.onnx:save",
        "relu_layers.formats.onnx:load",
        False,
        "relu_layers.formats.onnx:describe",
    ),
    ".prototxt": Format("relu_layers.formats.caffe:save", "relu_layers.formats.caffe:load", False),
    ".caffemodel": Format("relu_layers.formats.caffe:save", "relu_layers.formats.caffe:load", False),
    ".h": Format("relu_layers.formats.c_header:save", "", False),
}
# Files of other programs that are not opened: their libraries unpickle, or build a network of any kind. What to write
# there, in lines that bring the network in.
_TORCH = """PyTorch files are opened by PyTorch alone, and hold Python objects or the values of a class of yours. There:
    from relu_layers.interop.torch import from_torch
    network.load_state_dict(torch.load({path!r}, weights_only=True))    # network: an object of your class
    from_torch(network).save("net.npz")"""
_KERAS = """Keras files are opened by Keras alone. There:
    np.savez("weights.npz", *keras.models.load_model({path!r}).get_weights())
here, with the layers of the network:
    model = rl.mlp([4, 8, 3])
    model.load_params(list(np.load("weights.npz").values()))"""
FOREIGN = {
    **dict.fromkeys((".pt", ".pth", ".ckpt"), _TORCH),
    **dict.fromkeys((".h5", ".hdf5", ".keras"), _KERAS),
}
# What turns a model into the document that whole formats hold: found by name like the formats, for `Sequential.save`
# is below it.
_SAVE_MODEL = "relu_layers.checkpoint:save"


def save_model(model: Any, path: Any, **options: Any) -> None:
    """Write a model to ``path`` in the format of its suffix, see `relu_layers.checkpoint.save`."""
    _imported(_SAVE_MODEL)(model, path, **options)


def _imported(place: str) -> Any:
    """Return the function at ``"module:function"``."""
    module, name = place.split(":")
    return getattr(import_module(module), name)


def function_of(
    path: str, which: str, options: Mapping[str, Any] | None = None, *, training: bool = False
) -> tuple[Any, bool]:
    """Return the function that writes or reads the format of ``path``, and whether the format is whole.

    Parameters
    ----------
    path : str
    which : {"write", "read"}
    options : mapping, optional
        Keywords that the function must take.
    training : bool, keyword
        Whether the file is to hold a training, which only whole formats can.

    Raises
    ------
    ValueError
        There is no such function.
    TypeError
        It does not take one of the options.
    """
    suffix = splitext(path)[1].lower()
    form = FORMATS.get(suffix)
    able = [one for one, form in FORMATS.items() if getattr(form, which) and (form.whole or not training)]
    if form is None:
        shown = splitext(path)[1]
        if which == "read" and suffix in FOREIGN:
            raise ValueError(f"{path} is not read: {FOREIGN[suffix].format(path=path)}")
        raise ValueError(
            f"{path}: the suffix {shown!r} names no format, expected {', '.join(able)}{nearest(suffix, able)}"
        )
    if suffix not in able:
        if not form.whole and training:
            raise ValueError(
                f"{path}: a {suffix} file holds a network alone; a training needs {' or '.join(able)}"
            )
        verb = "written" if which == "write" else "read"
        raise ValueError(f"{path}: {suffix} files cannot be {verb}, expected {', '.join(able)}")
    function = _imported(getattr(form, which))
    if options:
        _check_options(path, suffix, function, options)
    return function, form.whole


def _check_options(path: str, suffix: str, function: Any, options: Mapping[str, Any]) -> None:
    from inspect import Parameter, signature

    kinds = signature(function).parameters.values()
    known = [one.name for one in kinds if one.kind is Parameter.KEYWORD_ONLY]
    for option in options:
        if option not in known:
            expected = f"expected {', '.join(known)}{nearest(option, known)}" if known else "it has none"
            raise TypeError(f"{path}: {suffix} files have no option {option!r}, {expected}")
