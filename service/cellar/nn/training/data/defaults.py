"""Chooses state, window and epochs for training on one long series, if the request does not give them.

Otherwise one sequence would be one window, and a run of ten epochs would have ten updates, each through all steps.
A long series is divided into windows and the state is carried (`carry`): the outputs are the same, with many updates.
"""

from cellar.nn.model.network import Network
from cellar.nn.training.data.alignment import share_of
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec

LONG_STEPS = 64
"""A series of fewer steps is one window."""

WINDOWS = 32
"""The number of windows of a series, if their length is within the next two limits."""
SHORTEST, LONGEST = 16, 128
"""The fewest and most steps of a window: enough to learn dependencies, and few enough for the memory."""

UPDATES = 300
"""The fewest updates of a run without given epochs. With 200, a small GRU or LSTM, the default optimiser and
200 to 5,000 steps of a noisy sine forecast its next value better than the last value does; ten updates do not."""

SHAPING = {"state", "window", "recompute", "warmup", "skip"}
"""Fields that determine how a sequence is divided: if one of them is given, nothing is chosen."""


def resolve(network: Network, data: Dataset, spec: TrainingSpec) -> TrainingSpec:
    """Return the settings, with state, window and epochs chosen if the data are one long series and none is given."""
    steps, rows = data.inputs.shape[:2]
    trained = steps - (0 if spec.validation is None else share_of(steps, spec.validation))
    if rows > 1 or trained < LONG_STEPS or network.whole_sequences or SHAPING & spec.model_fields_set:
        return spec
    window = min(max(trained // WINDOWS, SHORTEST), LONGEST)
    chosen = {"state": "carry", "window": window}
    if "epochs" in spec.model_fields_set:
        return spec.model_copy(update=chosen)
    an_epoch = -(-trained // window)
    return spec.model_copy(update=chosen | {"epochs": max(spec.epochs, -(-UPDATES // an_epoch))})
