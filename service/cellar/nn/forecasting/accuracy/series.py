"""Series of a table as a backtest reads them: inputs of a network, and the values of its targets."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cellar.engine import Floats
from cellar.errors import InvalidInput
from cellar.nn.forecasting.accuracy.baselines import carried_forward
from cellar.nn.forecasting.accuracy.comparison import Series
from cellar.nn.model.network import Network
from cellar.nn.readings.columns import SeriesColumn, TimeColumn
from cellar.nn.readings.table import Table, check_columns, column_of, rows_of

KNOWN_ROLES = ("future", "static", "time", "series")
"""The roles of columns whose values are known in advance."""


class TableRows:
    """The targets of a series in a table, which are read as they are needed."""

    def __init__(self, table: Table, names: Sequence[str], begin: int, end: int) -> None:
        self._columns, self._begin, self._rows = [table.values[name] for name in names], begin, end - begin

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, rows: slice) -> NDArray[np.float64]:
        first, last, _ = rows.indices(self._rows)
        part = slice(self._begin + first, self._begin + max(first, last))
        return np.stack([np.asarray(column[part], np.float64) for column in self._columns], axis=1)


def series_of(
    network: Network, table: Table, inputs: Sequence[str] | None, targets: Sequence[str] | None
) -> list[Series]:
    """Return the series of a table. Raise InvalidInput for columns that are not there or do not fit the network.

    `inputs` and `targets` name columns, for a network without a layer of readings or a forecast layer.
    """
    targets = _targets(network, table, targets)
    read, known = input_reader(network, table, inputs)
    names = [name or str(number) for number, name in enumerate(table.series_ids)]
    found = []
    for number, name in enumerate(names):
        begin, end = int(table.bounds[number]), int(table.bounds[number + 1])
        actual = TableRows(table, targets, begin, end)
        times = None if table.times is None else np.asarray(table.times[begin:end], np.float64)
        found.append(Series(name, partial(read, begin), known, actual, times))
    return found


def _targets(network: Network, table: Table, given: Sequence[str] | None) -> list[str]:
    names = list(given or ()) if network.forecast is None else [target.name for target in network.forecast.targets]
    if network.forecast is not None and given is not None and list(given) != names:
        raise InvalidInput("the model has other targets", pointer="/targets", expected=", ".join(names[:32]))
    if network.forecast is None and len(names) != network.out_size:
        raise InvalidInput(
            "the model has no forecast layer that names its targets",
            pointer="/targets",
            expected=f"the {network.out_size} columns that are its outputs",
            actual=f"{len(names)} columns",
        )
    for number, name in enumerate(names):
        pointer = f"/targets/{number}" if given is not None else "/dataset"
        if column_of(table, name, pointer).type != "number":
            raise InvalidInput(f"the column {name!r} holds no numbers", pointer=pointer, expected="a column of numbers")
    return names


def input_reader(
    network: Network, table: Table, names: Sequence[str] | None, *, pointer: str = "/inputs"
) -> tuple[Callable[[int, slice], Floats], NDArray[np.bool_]]:
    """Return the function that reads rows of inputs behind a row, and which inputs are known in advance.

    `names` are the columns of a network without a layer of readings, and `pointer` is their place in the request. Raise
    InvalidInput for columns that are not there or do not fit.
    """
    if network.readings is not None:
        layout = network.readings.layout
        check_columns(layout, table, pointer.replace("inputs", "dataset"))
        known = np.zeros(layout.width, np.bool_)
        for at, each in enumerate(layout.columns):
            role = "time" if isinstance(each, TimeColumn | SeriesColumn) else each.role
            known[layout.offsets[at] : layout.offsets[at] + each.width] = role in KNOWN_ROLES
        return lambda begin, rows: rows_of(layout, table, _behind(begin, rows)), known
    if names is None or len(names) != network.in_size:
        raise InvalidInput(
            "the model has no layer of readings that names its inputs",
            pointer=pointer,
            expected=f"the {network.in_size} columns that are its inputs",
            actual="nothing" if names is None else f"{len(names)} columns",
        )
    columns = [column_of(table, name, f"{pointer}/{number}") for number, name in enumerate(names)]
    for number, column in enumerate(columns):
        if column.type != "number":
            raise InvalidInput(
                f"the column {column.name!r} holds no numbers",
                pointer=f"{pointer}/{number}",
                expected="a column of numbers",
            )
    known = np.array([getattr(column, "role", None) in KNOWN_ROLES for column in columns])
    return partial(_plain_rows, table, tuple(names)), known


def _behind(begin: int, rows: slice) -> slice:
    return slice(begin + rows.start, begin + rows.stop)


def _plain_rows(table: Table, names: Sequence[str], begin: int, rows: slice) -> Floats:
    """Return rows of columns (T, in_size); a missing number is the last one before it, 0 before the first.

    The last one is looked for in the 512 rows before.
    """
    first = max(0, rows.start - 512)
    part = _behind(begin, slice(first, rows.stop))
    values = np.stack([np.asarray(table.values[name][part], np.float64) for name in names], axis=1)
    return np.nan_to_num(carried_forward(values), nan=0.0)[rows.start - first :].astype(np.float32)
