"""Models and whole trainings in one file: weights, optimizer, schedule position, generator states, counters.

`save`, `load`, `save_trainer` and `restore_trainer` turn objects into a document of plain values and arrays and
back; the suffix of the path picks the format that writes it. What the package defines is rebuilt from its name
and configuration. A user's own layer, loss, schedule or optimizer cannot be: it is passed to `restore_trainer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import fsdecode
from typing import Any

import numpy as np

from relu_layers import callbacks as callback_module
from relu_layers import layers, losses, optimizers
from relu_layers._files.card import checked_card
from relu_layers._files.document import MOST_LAYERS, refuse_too_many_layers
from relu_layers._files.formats import FORMATS, Format, function_of
from relu_layers._files.generator import generator_document, set_generator
from relu_layers._files.parameter_names import fitted
from relu_layers._support.arguments import nearest
from relu_layers._support.configured import Array
from relu_layers._support.files import AnyPath
from relu_layers._support.usage import still
from relu_layers._training.communicator import check_communicator
from relu_layers.layers import Dropout, ParameterLayer
from relu_layers.model import Sequential

_FORMAT = "relu_layers"
_VERSION = 1


def save(model: Sequential, path: AnyPath, **options: Any) -> None:
    """Write a model to ``path``: layers, parameters, preprocessing, card, and the generator's state
    where it has a place.

    Parameters
    ----------
    path : str, bytes or path-like
        The suffix decides the format, see `FORMATS`.
    **options
        Of the format, such as ``opset`` for ``.onnx``.

    Raises
    ------
    ValueError
        The suffix is not one of `FORMATS`, or the format cannot hold the model.
    TypeError
        An option that the format does not have.
    """
    where = fsdecode(path)
    write, whole = function_of(where, "write", options)
    with still(model, "saving"):
        write({**_header("model"), "model": _model_document(model)} if whole else model, where, **options)


def load(path: AnyPath, *, model: Sequential | None = None, **options: Any) -> Sequential:
    """Return the model in ``path``, written by ``model.save``, ``trainer.save_checkpoint`` or another program.

    Parameters
    ----------
    path : str, bytes or path-like
        The suffix decides the format.
    model : Sequential, optional
        Of the same layers; it is filled and returned. Needed where a layer is not of this package.
    **options
        Of the format, such as ``weights`` for ``.prototxt``.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The suffix is unknown, the file is damaged or not one of this package, or it holds a user's own layer.

    Examples
    --------
    >>> import tempfile
    >>> import relu_layers as rl
    >>> model = rl.mlp([2, 8, 3])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(f"{folder}/model.npz")
    ...     same = rl.load(f"{folder}/model.npz")
    >>> bool((same.flat_params == model.flat_params).all())
    True
    """
    where = fsdecode(path)
    read, whole = function_of(where, "read", options)
    if whole:
        document = read(where, **options)
        loaded: Sequential
        if document.get("kind") == "parameters":
            loaded = _checked(where, _with_parameters, document, model)
        else:
            loaded = _checked(where, _model_in, _verified(where, document), model)
        return loaded
    loaded = read(where, **options)
    return loaded if model is None else _checked(where, _filled, model, loaded)


def save_trainer(trainer: Any, path: AnyPath) -> None:
    """Write everything that a training needs to go on bit for bit to ``path``."""
    where = fsdecode(path)
    write, _ = function_of(where, "write", training=True)
    # Until it is written: the document holds the arrays themselves.
    with still(trainer.model, "saving"):
        write(_trainer_document(trainer), where)


def _trainer_document(trainer: Any) -> dict[str, Any]:
    return {
        **_header("trainer"),
        "model": _model_document(trainer.model),
        "loss": _described(trainer.loss, losses.BUILT_IN),
        "optimizer": {
            **_described(trainer.optimizer, optimizers.BUILT_IN),
            "state": trainer.optimizer.state_dict(),
        },
        "options": {
            "clip_norm": trainer.clip_norm,
            "accumulate": trainer.group_size,
            "l2_penalty": trainer.l2_penalty,
            "capture": trainer.capture,
        },
        "callbacks": [_callback_document(callback) for callback in trainer.callbacks],
        "generator": None if trainer.rng is trainer.model.rng else generator_document(trainer.rng),
        "state": trainer.state_dict(),
    }


def restore_trainer(
    trainer_class: Any,
    path: AnyPath,
    *,
    model: Sequential | None = None,
    loss: Any = None,
    optimizer: Any = None,
    callbacks: Sequence[Any] = (),
    communicator: Any = None,
) -> Any:
    """Return the trainer in ``path``, ready to go on; what is passed replaces what would be rebuilt.

    Parameters
    ----------
    trainer_class : type
        Of the result, called as `Trainer` is.
    path : path-like
    model, loss, optimizer, callbacks
        Used instead of what the file describes; an optimizer and callbacks get their state from the file.
    communicator : Communicator or None
        Ranks that share the minibatches of an update.

    Raises
    ------
    ValueError
        The file is damaged or holds no training, or something in it is not of this package and was not passed.
    """
    where = fsdecode(path)
    document = _verified(where, function_of(where, "read", training=True)[0](where))
    if document["kind"] != "trainer":
        raise ValueError(f"{where} holds a model without its training: use relu_layers.load")
    options = document["options"]
    if communicator is not None:
        check_communicator("Trainer.restore", communicator)
        options = _checked(where, _shared_options, options, communicator)
    made = (model, loss, optimizer, callbacks)
    return _checked(where, _trainer_from, trainer_class, {**document, "options": options}, *made)


def _shared_options(options: dict[str, Any], communicator: Any) -> dict[str, Any]:
    """Return the options of each of several trainers that together make the updates of the file."""
    group, ranks = options["accumulate"], communicator.size
    if group % ranks:
        raise ValueError(
            f"its updates take {group} minibatches, which {ranks} ranks cannot share: expected a number of ranks that "
            f"divides {group}"
        )
    return {**options, "accumulate": group // ranks, "communicator": communicator}


def _trainer_from(
    trainer_class: Any,
    document: dict[str, Any],
    model: Sequential | None,
    loss: Any,
    optimizer: Any,
    callbacks: Sequence[Any],
) -> Any:
    model = _model_in(document, model)
    if loss is None:
        loss = _rebuilt("loss", document["loss"], losses.BUILT_IN, "pass loss= to Trainer.restore")
    entry = document["optimizer"]
    if optimizer is None:
        advice = "pass optimizer= to Trainer.restore"
        optimizer = _rebuilt("optimizer", entry, optimizers.BUILT_IN, advice)
    elif type(optimizer).__name__ != entry["name"]:
        raise ValueError(
            f"optimizer is {type(optimizer).__name__}, but the file was written with {entry['name']}"
        )
    state = document["generator"]
    trainer = trainer_class(
        model,
        loss,
        optimizer,
        **document["options"],
        callbacks=_callbacks_from(document["callbacks"], callbacks),
        rng=None if state is None else set_generator(np.random.default_rng(0), state),
    )
    optimizer.load_state_dict(entry["state"])
    trainer.load_state_dict(document["state"])
    return trainer


def _callback_document(callback: Any) -> dict[str, Any]:
    state = callback.state_dict() if hasattr(callback, "state_dict") else {}
    entry = {**_described(callback, callback_module.BUILT_IN), "state": state}
    if state and not entry.get("own"):
        try:
            type(callback)(**entry["config"]).load_state_dict(state)
        except (TypeError, ValueError) as error:
            raise ValueError(f"a state of {entry['name']} cannot be saved: {error}") from error
    return entry


def _callbacks_from(entries: Sequence[dict[str, Any]], passed: Sequence[Any]) -> list[Any]:
    """Return the callbacks in the order of the file, those passed in their places, further ones at the end."""
    left = list(callback_module.as_callbacks("Trainer.restore", passed))
    result = []
    for entry in entries:
        callback = next((given for given in left if _name(given) == entry["name"]), None)
        if callback is None:
            advice = "pass it in callbacks= to Trainer.restore"
            callback = _rebuilt("callback", entry, callback_module.BUILT_IN, advice)
        else:
            left = [given for given in left if given is not callback]
        if hasattr(callback, "load_state_dict"):
            callback.load_state_dict(entry["state"])
        result.append(callback)
    return result + left


def _header(kind: str) -> dict[str, Any]:
    return {"format": _FORMAT, "version": _VERSION, "kind": kind}


def _verified(path: str, document: dict[str, Any]) -> dict[str, Any]:
    """Return what was read if it says that it is ours."""
    if document.get("format") != _FORMAT or document.get("kind") not in ("model", "trainer"):
        raise ValueError(f"{path} is not a relu_layers file")
    if document.get("version") != _VERSION:
        raise ValueError(f"{path} has version {document.get('version')!r}, this package reads {_VERSION}")
    return document


def _checked(path: str, build: Any, *arguments: Any) -> Any:
    """Call ``build``; whatever a wrong document makes it raise becomes a ValueError that names the file."""
    try:
        return build(*arguments)
    except (MemoryError, OSError, ImportError):
        raise
    except Exception as error:
        raise ValueError(f"{path} cannot be loaded: {error}") from error


def _name(thing: Any) -> str:
    """Return the name of a function, or of the class of any other object."""
    return str(getattr(thing, "__qualname__", type(thing).__name__))


def _described(thing: Any, built_in: Mapping[str, type[Any]]) -> dict[str, Any]:
    """Return the name, and for a class of the package the configuration that rebuilds it.

    A configuration that rebuilds nothing, as an attribute that was set to a wrong value makes it, is a ValueError:
    what is written can be read.
    """
    name = _name(thing)
    if built_in.get(name) is not type(thing):
        return {"name": name, "own": True}
    config = thing.config()
    # A user's own schedule is passed with its optimizer.
    rebuilt = {key: 1.0 if _names_own(value) else value for key, value in config.items()}
    try:
        built_in[name](**rebuilt)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} cannot be saved, for no file of it could be loaded: {error}") from error
    return {"name": name, "config": config}


def _names_own(value: Any) -> bool:
    """Return whether a part of a configuration, or one inside it, is described by its name alone."""
    if not isinstance(value, dict) or "name" not in value:
        return False
    return "config" not in value or any(_names_own(part) for part in value["config"].values())


def _rebuilt(what: str, entry: dict[str, Any], built_in: Mapping[str, type[Any]], advice: str) -> Any:
    name = entry["name"]
    if entry.get("own"):
        raise ValueError(f"{what} {name} is not of this package: {advice}")
    if name not in built_in:
        raise ValueError(f"{what} {name!r} is unknown{nearest(str(name), built_in)}")
    return built_in[name](**entry["config"])


def _model_document(model: Sequential) -> dict[str, Any]:
    preprocessing = model.preprocessing
    if len(model.layers) > MOST_LAYERS:
        raise ValueError(
            f"a model of {len(model.layers)} layers cannot be saved, at most {MOST_LAYERS} are read"
        )
    card = checked_card(model.card)
    return {
        "layers": [_described(layer, layers.BUILT_IN) for layer in model.layers],
        "dtype": model.dtype.name,
        "params": dict(model.params),
        "dropout": {
            str(i): layer.state_dict() for i, layer in enumerate(model.layers) if isinstance(layer, Dropout)
        },
        "generator": generator_document(model.rng),
        "preprocessing": None if preprocessing is None else preprocessing.to_dict(),
        "predicts": model.predicts,
    } | ({} if card is None else {"card": card})


def _model_in(whole: dict[str, Any], model: Sequential | None) -> Sequential:
    """Return ``model``, filled, or one that is built from the document."""
    document = whole.get("model")
    if not isinstance(document, dict) or not isinstance(document.get("layers"), list):
        raise ValueError("it describes no model")
    if model is not None:
        _fill_model(model, document)
        return model
    refuse_too_many_layers(len(document["layers"]))
    advice = "build the model and pass it as model="
    made = [
        _rebuilt(f"layer {i}", entry, layers.BUILT_IN, advice) for i, entry in enumerate(document["layers"])
    ]
    params: dict[str, Array] = document["params"]
    # Before the model allocates what its layers ask for: the file must hold parameters of just these shapes.
    for i, layer in enumerate(made):
        if isinstance(layer, ParameterLayer):
            for name, parameter in layer.parameters().items():
                found = params[f"{i}.{name}"].shape
                if found != parameter.shape:
                    raise ValueError(f"{i}.{name} has shape {found}, but {layer!r} needs {parameter.shape}")
    model = Sequential(*made, dtype=np.dtype(document["dtype"]), rng=0)
    _fill_model(model, document)
    return model


def _with_parameters(document: dict[str, Any], model: Sequential | None) -> Sequential:
    """Return ``model`` with parameters that another program wrote without saying what layers they belong to."""
    if model is None:
        raise ValueError("it holds parameters without their layers: build the model and pass it as model=")
    model.load_params(fitted(model, document["parameters"], document["names"]))
    return model


def _filled(model: Sequential, loaded: Sequential) -> Sequential:
    """Return ``model`` with the parameters and the preprocessing of ``loaded``."""
    model.load_params({key: value.astype(model.dtype) for key, value in loaded.params.items()})
    model.preprocessing, model.predicts, model.card = loaded.preprocessing, loaded.predicts, loaded.card
    return model


def _fill_model(model: Sequential, document: dict[str, Any]) -> None:
    """Copy parameters, generator state, dropout state and preprocessing into a model of the same layers."""
    names = [entry["name"] for entry in document["layers"]]
    if [type(layer).__name__ for layer in model.layers] != names:
        raise ValueError(f"model has layers {model!r}, but the file was written with {', '.join(names)}")
    if model.dtype.name != document["dtype"]:
        raise ValueError(f"model has dtype {model.dtype}, but the file was written with {document['dtype']}")
    preprocessing = None
    if document["preprocessing"] is not None:
        from relu_layers.preprocessing import Preprocessing

        preprocessing = Preprocessing.from_dict(document["preprocessing"])
    predicts = document.get("predicts")  # files of earlier versions do not say
    if predicts not in (None, "numbers", "classes"):
        raise ValueError(f"it predicts {predicts!r}, expected numbers or classes")
    card = checked_card(document.get("card"))
    model.load_params(document["params"])
    model.preprocessing, model.predicts, model.card = preprocessing, predicts, card
    for index, state in document["dropout"].items():
        layer = model.layers[int(index)]
        if isinstance(layer, Dropout):
            layer.load_state_dict(state)
    model.rng = set_generator(model.rng, document["generator"])


__all__ = ["FORMATS", "Format", "load", "restore_trainer", "save", "save_trainer"]
