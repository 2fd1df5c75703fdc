"""Losses, one in each module. `NAMES` lists the modules in the order in which errors and schemas name them."""

from typing import TYPE_CHECKING

from cellar.nn.spec.kinds import load, named_or_one_of
from cellar.nn.training.loss import Loss
from cellar.nn.training.losses.several import PartSpec, SeveralLosses

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
    "log_cosh",
    "poisson",
    "focal",
    "binary_focal",
    "several",
)

LOSSES = load(__name__, Loss, NAMES)

if TYPE_CHECKING:  # pydantic needs the union of all classes, which only exists at run time
    LossSpec = Loss
else:
    SINGLE = named_or_one_of([kind for kind in LOSSES if kind is not SeveralLosses])
    PartSpec.model_rebuild(_types_namespace={"SingleLoss": SINGLE})
    SeveralLosses.model_rebuild()
    LossSpec = named_or_one_of(LOSSES)
