"""Schedules of the learning rate, one in each module. `NAMES` lists the modules as errors and schemas name them."""

from typing import TYPE_CHECKING

from cellar.nn.spec.kinds import load, named_or_one_of
from cellar.nn.training.schedule import Schedule

NAMES = (
    "constant",
    "step",
    "exponential",
    "cosine",
    "linear",
    "one_cycle",
    "plateau",
)

SCHEDULES = load(__name__, Schedule, NAMES)

if TYPE_CHECKING:  # pydantic needs the union of all classes, which only exists at run time
    ScheduleSpec = Schedule
else:
    ScheduleSpec = named_or_one_of(SCHEDULES)
