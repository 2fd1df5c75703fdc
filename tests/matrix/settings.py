"""Further losses, schedules, masks and ways of updating: each in one job on two targets, beside the same in PyTorch."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.matrix.cases import Array, Spec
from tests.nn.golden.cases import dense, network, recurrent

STEPS, ROWS, TARGETS = 12, 6, 2

EPOCHS = 4

ADAM = {"type": "adam", "learning_rate": 0.02}
SGD = {"type": "sgd", "learning_rate": 0.1}


@dataclass(frozen=True)
class Setting:
    """A job that differs from a plain one in one setting."""

    name: str
    given: Spec = field(default_factory=dict)
    kind: str = "numbers"
    """Of the targets: numbers, counts, probabilities, classes, or both numbers and classes."""
    each: int = 1
    """Outputs for each target."""
    extras: str = ""
    """Of the data: mask, weights or lengths."""

    layout = "TBF"
    epochs = EPOCHS

    def network(self) -> Spec:
        """Return the specification of the network."""
        return network(1, recurrent("gru", 4), dense(TARGETS * self.each))

    def training(self) -> Spec:
        """Return the settings of the run."""
        return {"loss": "mse", "optimiser": ADAM, "epochs": EPOCHS, "batch_size": 2, "seed": 5, **self.given}

    def data(self) -> tuple[Array, Array]:
        """Return inputs and targets, (T, B, F) each, in float32."""
        draws = np.random.default_rng(4).random((STEPS, ROWS, 1 + TARGETS))
        targets = {
            "numbers": 2 * draws[:, :, 1:] - 1,
            "counts": np.floor(5 * draws[:, :, 1:]),
            "probabilities": np.round(draws[:, :, 1:]),
            "classes": np.floor(2 * draws[:, :, 1:2]),
            "both": np.concatenate([draws[:, :, 1:2], np.floor(3 * draws[:, :, 2:])], axis=2),
        }[self.kind]
        return (2 * draws[:, :, :1] - 1).astype(np.float32), targets.astype(np.float32)

    def counted(self) -> NDArray[np.float32]:
        """Return how much each target counts, (T, B, 1) or (T, B, TARGETS)."""
        draws = np.random.default_rng(9).random((STEPS, ROWS, TARGETS))
        if self.extras == "mask":
            return (draws < 0.7).astype(np.float32)
        if self.extras == "weights":
            return np.round(draws, 2).astype(np.float32)
        lengths = np.array(LENGTHS if self.extras == "lengths" else [STEPS] * ROWS)
        return (np.arange(STEPS)[:, None, None] < lengths[:, None]).astype(np.float32)

    def data_members(self) -> dict[str, Any]:
        """Return further members of the data of the request."""
        match self.extras:
            case "mask":
                return {"mask": self.counted().astype(bool).tolist()}
            case "weights":
                return {"weights": self.counted().tolist()}
            case "lengths":
                return {"lengths": LENGTHS}
        return {}


LENGTHS = [12, 5, 9, 12, 1, 7]

QUANTILES = [0.1, 0.5, 0.9]
CLASS_WEIGHTS = [0.5, 2.0]
TARGET_WEIGHTS = [0.25, 2.0]
SEVERAL = [{"outputs": 1, "loss": "huber", "weight": 2.0}, {"outputs": 3, "loss": "cross_entropy"}]


def _scheduled(**schedule: Any) -> Spec:
    return {"optimiser": ADAM | {"schedule": schedule}}


SETTINGS = (
    Setting("log_cosh", {"loss": "log_cosh"}),
    Setting("poisson", {"loss": "poisson"}, "counts"),
    Setting("focal", {"loss": {"type": "focal", "gamma": 1.5}}, "classes"),
    Setting("binary_focal", {"loss": {"type": "binary_focal", "alpha": 0.3, "gamma": 2.0}}, "probabilities"),
    Setting("quantile", {"loss": {"type": "quantile", "quantiles": QUANTILES}}, each=3),
    Setting("gaussian", {"loss": "gaussian"}, each=2),
    Setting("student", {"loss": "student"}, each=3),
    Setting("negative_binomial", {"loss": "negative_binomial"}, "counts", each=2),
    Setting("several", {"loss": {"type": "several", "parts": SEVERAL}}, "both", each=2),
    Setting("ignore_index", {"loss": {"type": "cross_entropy", "ignore_index": 0}}, "classes"),
    Setting("class_weights", {"loss": {"type": "cross_entropy", "class_weights": CLASS_WEIGHTS}}, "classes"),
    Setting("positive_weight", {"loss": {"type": "binary_cross_entropy", "positive_weight": 3.0}}, "probabilities"),
    Setting("target_weights", {"target_weights": TARGET_WEIGHTS}),
    Setting("mask", extras="mask"),
    Setting("weights", {"loss": "mae"}, extras="weights"),
    Setting("lengths", extras="lengths"),
    Setting("warmup", {"optimiser": ADAM | {"warmup_updates": 7}}),
    Setting("step", _scheduled(type="step", every=2, factor=0.5)),
    Setting("exponential", _scheduled(type="exponential", factor=0.7)),
    Setting("cosine", _scheduled(type="cosine", minimum=0.001)),
    Setting("linear", _scheduled(type="linear", minimum=0.002)),
    Setting("one_cycle", _scheduled(type="one_cycle")),
    Setting("plateau", _scheduled(type="plateau", patience=1, factor=0.5, min_delta=0.05)),
    Setting("ema", {"average": {"type": "ema", "decay": 0.8}}),
    Setting("accumulate", {"accumulate": 2}),
    Setting("freeze", {"freeze": ["0.Wh_z", "1.b"]}),
    Setting("learning_rates", {"learning_rates": {"0": 0.1, "0.Wi_r": 2.0}, "optimiser": SGD}),
)
"""The network is that of tests/nn/training/small.py, whose kernels the suite compiles anyway."""
