"""Tables of readings in memory, and networks whose first layer was fitted to one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.nn.model.layers.readings import ReadingsSpec
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from cellar.nn.readings.fitting import fit

HOUR_S = 3600.0


@dataclass(frozen=True)
class MadeColumn:
    """A column of a table."""

    name: str
    type: str
    categories: Sequence[str] = ()


@dataclass(frozen=True)
class MadeTable:
    """A table of readings in memory."""

    columns: Sequence[MadeColumn]
    series_ids: Sequence[str]
    bounds: NDArray[np.int64]
    times: NDArray[np.float64] | None
    values: dict[str, Any]


def weather(rows: int = 200, seed: int = 0) -> MadeTable:
    """Return two series of hourly weather, with gaps in each column, and an hour that is left out."""
    random = np.random.default_rng(seed)
    hours = np.arange(rows) + (np.arange(rows) > 20)
    numbers = [MadeColumn("temp", "number"), MadeColumn("rain", "number")]
    temp = random.normal(20, 5, 2 * rows).astype(np.float32)
    rain = random.exponential(3, 2 * rows).astype(np.float32)
    for values in (temp, rain):
        values[random.random(2 * rows) < 0.2] = np.nan
    return MadeTable(
        [*numbers, MadeColumn("sky", "category", ("b", "a", "c")), MadeColumn("at", "time")],
        ["north", "south"],
        np.array([0, rows, 2 * rows]),
        np.tile(1.7e9 + HOUR_S * hours, 2),
        {"temp": temp, "rain": rain, "sky": random.integers(-1, 3, 2 * rows).astype(np.int32)},
    )


def fitted(columns: Sequence[dict[str, Any]], table: MadeTable, rows: Sequence[slice] | None = None) -> ReadingsSpec:
    """Return the layer of columns that were fitted to rows of a table, by default to all."""
    spec = ReadingsSpec.model_validate({"columns": columns})
    return spec.with_columns(fit(spec.columns, table, rows or [slice(None)]))


def network_of(spec: ReadingsSpec, *layers: dict[str, Any]) -> Network:
    """Return the network of the layer and of others behind it."""
    first = spec.model_dump(mode="json", exclude_none=True)
    return Network(NetworkSpec.model_validate({"in_size": spec.in_size, "layers": [first, *layers]}))
