"""Levels of quantiles, in increasing order."""

from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field

Level = Annotated[float, Field(gt=0, lt=1)]


def _increasing(levels: tuple[float, ...]) -> tuple[float, ...]:
    if any(low >= high for low, high in pairwise(levels)):
        raise ValueError("quantiles must be in increasing order, each once")
    return levels


Levels = Annotated[tuple[Level, ...], Field(strict=False, min_length=1, max_length=99), AfterValidator(_increasing)]
