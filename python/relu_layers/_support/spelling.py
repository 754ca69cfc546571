"""Names that people know from other libraries, and how the same is said here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# Arguments and attributes elsewhere -> here, the first that is known where the name is used.
_ARGUMENTS = {
    **dict.fromkeys(("lr", "eta", "eta0", "learning_rate_init", "base_lr"), ("learning_rate", "base")),
    **dict.fromkeys(
        ("clipnorm", "max_norm", "max_grad_norm", "grad_clip", "gradient_clip_val"), ("clip_norm",)
    ),
    **dict.fromkeys(("validation_data", "val_data", "validation_set", "eval_set", "valid"), ("validation",)),
    **dict.fromkeys(("max_iter", "n_epochs", "num_epochs", "nb_epoch", "max_epochs"), ("epochs",)),
    **dict.fromkeys(("bs", "minibatch_size", "batchsize"), ("batch_size",)),
    **dict.fromkeys(("seed", "random_state", "generator"), ("rng",)),
    **dict.fromkeys(("eps", "fuzz"), ("epsilon",)),
    **dict.fromkeys(("betas", "beta_1"), ("beta1",)),
    **dict.fromkeys(("wd", "decay", "l2", "lambd"), ("weight_decay",)),
    **dict.fromkeys(("slope", "leak", "negative_alpha"), ("negative_slope", "alpha")),
    **dict.fromkeys(("p", "drop_rate", "prob", "dropout"), ("rate",)),
    **dict.fromkeys(("units", "n_out", "out_dim", "output_dim", "fan_out"), ("out_features",)),
    **dict.fromkeys(("n_in", "in_dim", "input_dim", "input_size", "input_shape", "fan_in"), ("in_features",)),
    **dict.fromkeys(("use_bias",), ("bias",)),
    **dict.fromkeys(("kernel_initializer", "init", "initializer"), ("weight_init",)),
    **dict.fromkeys(("bias_initializer",), ("bias_init",)),
    **dict.fromkeys(("hidden", "hidden_layer_sizes", "layer_sizes", "dims", "widths"), ("sizes",)),
    **dict.fromkeys(("criterion", "loss_fn", "objective"), ("loss",)),
    **dict.fromkeys(("optim", "solver"), ("optimizer",)),
    **dict.fromkeys(("dim",), ("axis",)),
    **dict.fromkeys(("num_parameters", "num_features"), ("features",)),
    **dict.fromkeys(("reduction",), ("normalization",)),
    **dict.fromkeys(("weights", "sample_weights"), ("sample_weight", "class_weight")),
    **dict.fromkeys(("class_weights", "pos_weight"), ("class_weight",)),
    **dict.fromkeys(("verbose",), ("progress",)),
    **dict.fromkeys(("step", "every_n"), ("every",)),
    # A rate in papers, a number of epochs in PyTorch's StepLR.
    "step_size": ("every", "learning_rate"),
    **dict.fromkeys(("ignore_index",), ("ignore_label",)),
    **dict.fromkeys(("gradient_accumulation", "accumulation_steps", "iter_size"), ("accumulate",)),
}
# Names in `relu_layers` that other libraries have, and what to write.
_HERE = {
    **dict.fromkeys(("LeakyReLU", "LeakyRelu"), "rl.ReLU(negative_slope), such as rl.ReLU(0.01)"),
    **dict.fromkeys(("Relu", "relu", "ReLu", "RELU"), "rl.ReLU()"),
    **dict.fromkeys(("Linear", "InnerProduct", "FullyConnected"), "rl.Dense(in_features, out_features)"),
    **dict.fromkeys(("Gelu", "gelu"), "rl.GELU(), or rl.GELU('tanh')"),
    **dict.fromkeys(("Swish", "SiLu"), "rl.SiLU()"),
    **dict.fromkeys(
        ("CrossEntropy", "CrossEntropyLoss", "CategoricalCrossentropy", "SparseCategoricalCrossentropy", "NLLLoss",
         "SoftmaxWithLoss"),
        "rl.SoftmaxCrossEntropy()",
    ),
    **dict.fromkeys(
        ("BCE", "BCELoss", "BCEWithLogitsLoss", "BinaryCrossentropy", "BinaryCrossEntropy"), "rl.SigmoidCrossEntropy()"
    ),
    **dict.fromkeys(("MSE", "MSELoss", "MeanSquaredError", "EuclideanLoss", "L2Loss"), "rl.SquaredError()"),
    **dict.fromkeys(("HuberLoss", "SmoothL1Loss", "SmoothL1"), "rl.Huber()"),
    **dict.fromkeys(("MLPClassifier", "MLPRegressor"), "from relu_layers.sklearn import MLPClassifier, MLPRegressor"),
    **dict.fromkeys(("MLP", "Mlp"), "rl.mlp([inputs, hidden, outputs])"),
    **dict.fromkeys(("Model", "Network", "Net", "NeuralNetwork"), "rl.Sequential(...) or rl.mlp([...])"),
    **dict.fromkeys(("save", "save_model"), "model.save(path)"),
    **dict.fromkeys(("load_model", "read"), "rl.load(path)"),
    **dict.fromkeys(("Adagrad",), "rl.AdaGrad(learning_rate)"),
    **dict.fromkeys(("Adadelta",), "rl.AdaDelta()"),
    **dict.fromkeys(("RMSprop",), "rl.RMSProp(learning_rate)"),
    **dict.fromkeys(("Momentum", "Nesterov"), "rl.SGD(learning_rate, momentum=0.9)"),
    **dict.fromkeys(
        ("no_grad", "zero_grad"), "nothing: model(x) keeps nothing for backward, and gradients are overwritten"
    ),
    **dict.fromkeys(("Flatten", "Input", "Reshape"), "x.reshape(len(x), -1) before the model: it takes rows"),
}  # fmt: skip
# What is no argument here but has another way.
_ADVICE = {
    "metrics": "history and evaluate have the accuracy wherever the loss has one",
}

# What libraries call activations -> the layer and its arguments; capitals, blanks and _ do not matter.
ACTIVATIONS: dict[str, tuple[str, tuple[float, ...]]] = {
    **dict.fromkeys(("relu", "rectifier"), ("ReLU", ())),
    **dict.fromkeys(("leakyrelu", "lrelu"), ("ReLU", (0.01,))),
    **dict.fromkeys(("relu6", "clip", "clippedrelu"), ("Clip", ())),
    **dict.fromkeys(("hardtanh", "htanh"), ("Clip", (-1.0, 1.0))),
    "elu": ("ELU", ()),
    "selu": ("SELU", ()),
    "gelu": ("GELU", ()),
    **dict.fromkeys(("sigmoid", "logistic"), ("Sigmoid", ())),
    **dict.fromkeys(("silu", "swish"), ("SiLU", ())),
    "softplus": ("Softplus", ()),
    "tanh": ("Tanh", ()),
}
ACTIVATION_NAMES = (
    "relu", "leaky_relu", "relu6", "hard_tanh", "elu", "selu", "gelu", "sigmoid", "silu", "softplus", "tanh"
)  # fmt: skip
# Those that stand behind the last layer, or none.
_LAST = {
    "softmax": "put Softmax() behind it, or train with SoftmaxCrossEntropy on what comes without",
    "logsoftmax": "put LogSoftmax() behind it, or train with SoftmaxCrossEntropy on what comes without",
    **dict.fromkeys(("linear", "identity", "none"), "leave it out: a Dense has none"),
    "prelu": "put PReLU(features) behind it",
    "mish": "there is none; SiLU(), the nearest, may stand behind it",
}

# What other libraries call the losses.
_LOSSES = {
    "SoftmaxCrossEntropy": ("softmax", "crossentropy", "sparsecategoricalcrossentropy", "categoricalcrossentropy",
                            "nll", "logloss", "crossentropyloss"),
    "SigmoidCrossEntropy": ("sigmoid", "bce", "binarycrossentropy", "bcewithlogits"),
    "SquaredError": ("mse", "meansquarederror", "squared", "l2", "euclidean", "mseloss"),
    "Huber": ("huberloss", "smoothl1", "smoothl1loss"),
}  # fmt: skip


def nearest(name: str, names: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the closest of ``names``, or an empty string if none is close."""
    import difflib  # only messages need it, and it is slow to import

    matches = difflib.get_close_matches(name, list(names), n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def plain_name(name: str) -> str:
    """Return a name as `ACTIVATIONS` writes it."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def _activation_advice(value: object) -> str:
    """Return what to write for an activation as an argument of a layer."""
    name = plain_name(value if isinstance(value, str) else getattr(value, "__name__", str(value)))
    if name in _LAST:
        return _LAST[name]
    kind, arguments = ACTIVATIONS.get(name, ("ReLU", ()))
    layer = f"{kind}({', '.join(f'{value:g}' for value in arguments)})"
    return f"put {'' if name in ACTIVATIONS else 'a layer such as '}{layer} behind it"


def unknown_argument(name: str, names: Iterable[str], value: object = None) -> str:
    """Return what follows ``has no argument 'name'``: what it is called here, or what there is."""
    known = list(names)
    if name in ("activation", "nonlinearity", "act") and name not in known:
        return f": {_activation_advice(value)}"
    hint = f": {_ADVICE[name]}" if name in _ADVICE else f"; they are {', '.join(known) or 'none'}"
    return suggestion(name, known) or hint


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for what ``name`` is called here, an empty string where nothing is near."""
    known = list(names)
    usual = next((here for here in _ARGUMENTS.get(name, ()) if here in known), None)
    return f" (did you mean {usual!r}?)" if usual is not None else nearest(name, known)


def unknown_name(name: str, names: Iterable[str]) -> str:
    """Return the message for an attribute that the package has not."""
    way = _HERE.get(name)
    return f"module 'relu_layers' has no attribute {name!r}" + (
        f": write {way}" if way is not None else nearest(name, names)
    )


def check_loss(owner: str, loss: Any) -> None:
    """Raise a TypeError that says what to pass unless ``loss`` is an object that can be called."""
    if isinstance(loss, str):
        plain = loss.lower().replace("_", "").replace(" ", "")
        names = {word: kind for kind, words in _LOSSES.items() for word in (*words, kind.lower())}
        from difflib import get_close_matches  # only messages need it, and it is slow to import

        found = names.get(plain) or names.get(next(iter(get_close_matches(plain, names, n=1)), ""))
        raise TypeError(
            f"{owner}: loss is {loss!r}, expected an object: pass {found or 'SoftmaxCrossEntropy'}()"
        )
    if isinstance(loss, type):
        raise TypeError(
            f"{owner}: loss is the class {loss.__name__}, expected an object: pass {loss.__name__}()"
        )
    if not callable(loss):
        raise TypeError(f"{owner}: loss is {loss!r}, expected an object such as SoftmaxCrossEntropy()")
