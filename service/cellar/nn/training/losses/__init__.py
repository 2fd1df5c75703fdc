"""Losses, one in each module. `NAMES` lists the modules in the order in which errors and schemas name them."""

from typing import TYPE_CHECKING

from cellar.nn.spec.kinds import load, named_or_one_of
from cellar.nn.training.loss import Loss

NAMES = (
    "mse",
    "mae",
    "binary_cross_entropy",
    "cross_entropy",
    "huber",
    "quantile",
    "gaussian",
    "student",
    "negative_binomial",
)

LOSSES = load(__name__, Loss, NAMES)

if TYPE_CHECKING:  # pydantic needs the union of all classes, which only exists at run time
    LossSpec = Loss
else:
    LossSpec = named_or_one_of(LOSSES)
