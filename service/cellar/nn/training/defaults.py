"""What a training on one long series is given where nothing was asked for.

One sequence is one window, so that a run over ten epochs would make ten updates, each of a gradient through all steps.
A long one is cut into windows through which the state flows on instead (`carry`): the same outputs, and many updates.
"""

from cellar.nn.model.network import Network
from cellar.nn.training.data.alignment import share_of
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec

LONG_STEPS = 64
"""A series of fewer steps is one window."""

WINDOWS = 32
"""Windows that a series is cut into, as far as they are of"""
SHORTEST, LONGEST = 16, 128
"""steps: enough to learn from what came before, and few enough for the gradient and the memory."""

UPDATES = 300
"""Updates of a run whose epochs were not asked for, at least. With 200 a small GRU or LSTM, the default optimiser and
200 to 5,000 steps of a noisy sine foretell its next value better than the last value does; ten updates do not."""

SHAPING = {"state", "window", "recompute", "warmup", "skip"}
"""Fields that say how a sequence is cut: one that was sent says what its sender means, and nothing is chosen."""


def resolve(network: Network, data: Dataset, spec: TrainingSpec) -> TrainingSpec:
    """Return the settings with state, window and epochs chosen where the data is one long series and none was sent."""
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
