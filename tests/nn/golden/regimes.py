"""The loops of Flux's pages on recurrent models, each with the fields of a job that stand for it.

Plain data: `make_regimes.py` runs the loops in PyTorch, the tests run the jobs. Both begin with the same weights.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.nn.golden.cases import dense, network, recurrent

RATE = 0.05

SGD: dict[str, Any] = {"type": "sgd", "learning_rate": RATE}
ADAM: dict[str, Any] = {"type": "adam", "learning_rate": 1e-3}


class Regime(NamedTuple):
    """The network of the page, the shape of the data, and what a job is asked for."""

    network: dict[str, Any]
    steps: int
    rows: int
    targets: int
    """Steps that have a target: the last ones."""
    fields: dict[str, Any]
    layout: str = "TBF"
    """The axes of inputs and targets in the request."""

    def data(self) -> dict[str, NDArray[np.float32]]:
        """Return inputs (T, B, F) and targets, which the page calls `rand(Float32, ...)`."""
        draw = np.random.default_rng(self.steps * 100 + self.rows)
        inputs = draw.random((self.steps, self.rows, self.network["in_size"])).astype(np.float32)
        last = self.network["layers"][-1]
        outputs = last.get("out_size") or last["hidden_size"]
        return {"inputs": inputs, "targets": draw.random((self.targets, self.rows, outputs)).astype(np.float32)}


CHAIN = network(2, recurrent("rnn", 5), dense(1))
LSTMS = network(3, recurrent("lstm", 5), recurrent("lstm", 5))
TRAINED_STATE = network(3, recurrent("lstm", 3, trainable_state=True), recurrent("lstm", 3, trainable_state=True))

SUM = {"optimiser": SGD, "reduce": "sum", "epochs": 1}

REGIMES = {
    "mse_of_all_outputs": Regime(CHAIN, 3, 4, 3, {"optimiser": ADAM, "epochs": 3}),
    "sum_over_time": Regime(CHAIN, 3, 1, 3, SUM),
    "first_output_ignored": Regime(CHAIN, 3, 1, 2, {**SUM, "skip": 1}),
    "sequence_to_one": Regime(CHAIN, 6, 3, 1, {**SUM, "skip": 5}),
    "warm_up_then_batches_that_continue": Regime(CHAIN, 7, 1, 6, {**SUM, "state": "carry", "warmup": 1, "window": 3}),
    "state_carried_and_reset_at_every_epoch": Regime(
        CHAIN, 6, 2, 6, {**SUM, "state": "carry", "window": 3, "epochs": 2}
    ),
    "reset_before_each_batch": Regime(CHAIN, 4, 2, 4, {**SUM, "batch_size": 1}),
    "batch_of_features_by_samples": Regime(CHAIN, 3, 4, 3, SUM, "TFB"),
    "tensor_of_features_steps_samples": Regime(CHAIN, 3, 4, 3, {"optimiser": ADAM, "epochs": 1}, "FTB"),
    "stacked_layers": Regime(LSTMS, 4, 2, 4, {"optimiser": ADAM, "epochs": 2}),
    "trained_initial_states": Regime(TRAINED_STATE, 2, 2, 2, {"optimiser": SGD, "epochs": 2}),
}

ORDERS = ("01", "10")
"""The orders of the two batches of `reset_before_each_batch`: the seed of a job determines which it is."""
