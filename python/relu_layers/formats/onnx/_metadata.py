"""The entries of a model's metadata that are this package's own."""

from __future__ import annotations

# The whole preprocessing, as JSON of `Preprocessing.to_dict`.
PREPROCESSING = "relu_layers.preprocessing"
# What the model was trained on, as JSON of `Sequential.card`.
CARD = "relu_layers.card"
# The classes alone, as a JSON list, for programs that read nothing else of it.
CLASS_NAMES = "class_names"
# What `model.predict` returns, "numbers" or "classes", where the model says it.
PREDICTS = "relu_layers.predicts"
# Where the graph is more than the network: the names of the network's input and output in it, as a JSON list.
NETWORK = "relu_layers.network"
# How the names of the nodes around it begin.
AROUND_NETWORK = "table."
