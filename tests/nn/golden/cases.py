"""What the golden files hold: networks, losses and training runs. Plain data, read by `make.py` and by the tests."""

from typing import Any

STEPS, ROWS = 7, 3


def recurrent(cell: str | dict[str, Any], hidden_size: int, **more: Any) -> dict[str, Any]:
    """Return the specification of a layer with a cell, built in or given by equations."""
    return {"type": "recurrent", "cell": cell, "hidden_size": hidden_size, **more}


def dense(out_size: int, activation: str = "identity", **more: Any) -> dict[str, Any]:
    """Return the specification of a dense layer."""
    return {"type": "dense", "out_size": out_size, "activation": activation, **more}


def bidirectional(cell: str, hidden_size: int, **more: Any) -> dict[str, Any]:
    """Return the specification of a layer that reads from both ends."""
    return {"type": "bidirectional", "layer": recurrent(cell, hidden_size, **more)}


def reverse(cell: str, hidden_size: int, **more: Any) -> dict[str, Any]:
    """Return the specification of a layer that reads each sequence from its end."""
    return {"type": "reverse", "layer": recurrent(cell, hidden_size, **more)}


def residual(*layers: dict[str, Any]) -> dict[str, Any]:
    """Return the specification of layers whose input is added to what they answer."""
    return {"type": "residual", "layers": list(layers)}


def nest(layer: dict[str, Any], levels: int) -> dict[str, Any]:
    """Return a layer inside of residual layers within each other."""
    for _ in range(levels):
        layer = residual(layer)
    return layer


def dropout(rate: float) -> dict[str, Any]:
    """Return the specification of a dropout layer."""
    return {"type": "dropout", "rate": rate}


def embedding(count: int, out_size: int, **more: Any) -> dict[str, Any]:
    """Return the specification of an embedding."""
    return {"type": "embedding", "count": count, "out_size": out_size, **more}


LAYER_NORM: dict[str, Any] = {"type": "layer_norm"}


def network(in_size: int, *layers: dict[str, Any]) -> dict[str, Any]:
    """Return the specification of a network."""
    return {"in_size": in_size, "layers": list(layers)}


NETWORKS = {
    "rnn_tanh": network(3, recurrent("rnn", 5)),
    "rnn_relu": network(3, recurrent("rnn", 5, activation="relu")),
    "rnn_sigmoid": network(3, recurrent("rnn", 5, activation="sigmoid")),
    "lstm": network(3, recurrent("lstm", 5)),
    "gru": network(3, recurrent("gru", 5)),
    "gru_v3": network(3, recurrent("gru_v3", 5)),
    "lstm_wide": network(6, recurrent("lstm", 19)),
    "stack_rnn_lstm_dense": network(2, recurrent("rnn", 4), recurrent("lstm", 6), dense(2, "tanh")),
    "stack_gru_v3_dense_gru": network(4, recurrent("gru_v3", 3), dense(5, "relu"), recurrent("gru", 4), dense(1)),
    "stack_of_four": network(
        1, recurrent("lstm", 3), recurrent("lstm", 4), recurrent("gru", 5), recurrent("gru_v3", 2), dense(3, "softmax")
    ),
    "dense_only": network(3, dense(4, "sigmoid"), dense(2, "softplus", bias=False)),
    "gru_torch": network(3, recurrent("gru_torch", 5)),
}

LOSSES: dict[str, Any] = {
    "mse": "mse",
    "mae": "mae",
    "huber": {"type": "huber", "delta": 0.5},
    "binary_cross_entropy": "binary_cross_entropy",
    "cross_entropy": "cross_entropy",
}

TRAINED = network(2, recurrent("lstm", 4, trainable_state=True), dense(1))
"""The network of the training runs: trained on all rows and steps at once, with the mean squared error."""
UPDATES = 8

RUNS: dict[str, dict[str, Any]] = {
    "sgd": {"type": "sgd", "learning_rate": 0.1},
    "sgd_decay": {"type": "sgd", "learning_rate": 0.1, "weight_decay": 0.01},
    "sgd_clip_norm": {"type": "sgd", "learning_rate": 0.1, "clip_norm": 0.5},
    "sgd_clip_value": {"type": "sgd", "learning_rate": 0.1, "clip_value": 0.05},
    "momentum": {"type": "momentum", "learning_rate": 0.05, "momentum": 0.9},
    "nesterov": {"type": "nesterov", "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.01},
    "adam": {"type": "adam", "learning_rate": 0.02},
    "adam_decay": {"type": "adam", "learning_rate": 0.02, "weight_decay": 0.05, "beta1": 0.8, "beta2": 0.99},
    "adamw": {"type": "adamw", "learning_rate": 0.02, "weight_decay": 0.1},
    "rmsprop": {"type": "rmsprop", "learning_rate": 0.01, "rho": 0.95},
    "adagrad": {"type": "adagrad", "learning_rate": 0.05},
    "adadelta": {"type": "adadelta", "learning_rate": 1.0},
    "step": {"type": "sgd", "learning_rate": 0.2, "schedule": {"type": "step", "every": 3, "factor": 0.5}},
    "exponential": {"type": "sgd", "learning_rate": 0.2, "schedule": {"type": "exponential", "factor": 0.8}},
    "cosine": {"type": "adam", "learning_rate": 0.02, "schedule": {"type": "cosine", "minimum": 0.001}},
}
