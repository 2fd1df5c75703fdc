"""Optimisers, one in each module. `NAMES` lists the modules in the order in which errors and schemas name them."""

from typing import TYPE_CHECKING

from cellar.nn.spec.kinds import load, named_or_one_of
from cellar.nn.training.optimiser import Optimiser

NAMES = (
    "sgd",
    "momentum",
    "nesterov",
    "adam",
    "rmsprop",
    "adagrad",
    "adadelta",
    "lion",
)

OPTIMISERS = load(__name__, Optimiser, NAMES)

if TYPE_CHECKING:  # pydantic needs the union of all classes, which only exists at run time
    OptimiserSpec = Optimiser
else:
    OptimiserSpec = named_or_one_of(OPTIMISERS)
