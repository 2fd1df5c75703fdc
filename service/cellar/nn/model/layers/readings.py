"""Readings: columns of a table as the input of a network, scaled, with what is missing filled and said."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field

from cellar.engine import Cell, Signal, build_cell
from cellar.errors import InvalidInput
from cellar.nn.model.initialisers import Exact
from cellar.nn.model.layer import Layer, make_layer
from cellar.nn.model.lowering import LayerSpec, NetworkBuilder
from cellar.nn.readings.calendar import zone_of
from cellar.nn.readings.cells import LAG, PLAIN, SCALES_PART, VALUES, ReadingsCell, cells_of
from cellar.nn.readings.columns import (
    MAX_COLUMNS,
    CategoryColumn,
    Column,
    NumberColumn,
    NumberFit,
    SeriesColumn,
    TimeColumn,
)
from cellar.nn.readings.layout import Layout
from cellar.nn.readings.readings import Readings


def _consistent(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    names = [column.name for column in columns]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two columns are named {name!r}")
    for kind in (TimeColumn, SeriesColumn):
        if sum(isinstance(column, kind) for column in columns) > 1:
            raise ValueError(f"at most one column is of the kind {kind.model_fields['kind'].default}")
    if not any(isinstance(column, NumberColumn | CategoryColumn) for column in columns):
        raise ValueError("a column of numbers or of categories is needed")
    has_series = any(isinstance(column, SeriesColumn) for column in columns)
    for column in columns:
        if isinstance(column, NumberColumn) and column.per_series and not has_series:
            raise ValueError(f"{column.name!r} is scaled per series, so a column of the kind series is needed")
        if isinstance(column, NumberColumn) and column.session_scale:
            _check_session_scale(column)
        if isinstance(column, TimeColumn):
            zone_of(column.zone)
    return columns


def _check_session_scale(column: NumberColumn) -> None:
    if column.per_series == (column.scaling == "causal"):
        raise ValueError(
            f"{column.name!r} has a scale of the session: it needs either per_series or the scaling causal"
        )
    if column.missing != "carry" or column.log is not None:
        raise ValueError(f"{column.name!r} has a scale of the session: it is carried if it is missing, and has no log")


class ReadingsSpec(LayerSpec):
    """Columns of a table as numbers: scaled, encoded, missing ones filled. Only as the first layer. It is not trained.

    Its inputs are rows of readings, its outputs the numbers that the next layer reads.
    """

    type: Literal["readings"] = "readings"
    columns: Annotated[
        tuple[Annotated[Column, Field(discriminator="kind")], ...],
        Field(strict=False, max_length=MAX_COLUMNS, fail_fast=True, json_schema_extra={"minItems": 1}),
        AfterValidator(_consistent),
    ] = Field(description="The columns, in the order of the numbers of a row.")

    @property
    def layout(self) -> Layout:
        """The places of the columns in a row, and of what is encoded."""
        return Layout(self.columns)

    @property
    def in_size(self) -> int:
        """The numbers of a row: one for each column, two for a time."""
        return self.layout.width

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the outputs."""
        return tuple(name for cell in cells_of(self.layout) for name in cell.features)

    def with_columns(self, columns: tuple[Column, ...]) -> Self:
        """Return the layer with other columns, such as fitted ones."""
        return self.model_copy(update={"columns": columns})

    def append_to(self, network: NetworkBuilder, signal: Signal, pointer: str) -> Signal:
        """Set the readings of the network, which are encoded before the first layer, and append their cells."""
        number = network.next_number(pointer)
        if pointer != f"{network.pointer}/layers/0":
            raise InvalidInput("readings are the network's input", pointer=pointer, expected="the first layer")
        self._check_fitted(pointer)
        if network.in_size != self.in_size:
            raise InvalidInput(
                "readings have a number for each column, two for a time",
                pointer=f"{network.pointer}/in_size",
                expected=str(self.in_size),
                actual=str(network.in_size),
            )
        network.readings = Readings(self.layout, self.features)
        found, outputs = dict[str, Signal](), list[int]()
        for cell in cells_of(self.layout):
            reads = tuple(signal if part is None else found[part] for part in cell.reads)
            found[cell.part] = network.append(_layer(cell, number, reads, pointer))
            if cell.features:
                outputs += found[cell.part]
        network.scales = found.get(SCALES_PART)
        return tuple(outputs)

    @classmethod
    def forward_cells(cls, size: int) -> Iterator[Cell]:
        """Yield the cells that a recipe for a dataset uses: numbers, categories and differences. None is trained."""
        yield build_cell(VALUES.strip(), {"in": size, "values": size})
        yield build_cell(PLAIN.strip(), {"in": size, "values": size})
        yield build_cell(f"{LAG}output = v - before".strip(), {"in": size, "lag": size})

    def _check_fitted(self, pointer: str) -> None:
        for at, column in enumerate(self.columns):
            if isinstance(column, NumberColumn) and column.since and column.missing == "mean" and not column.mask:
                raise InvalidInput(
                    "the time since a reading follows from the mask, if missing readings have the mean",
                    pointer=f"{pointer}/columns/{at}/mask",
                    expected="true",
                )
            missing = None
            if isinstance(column, NumberColumn) and column.fitted is None:
                missing = "fitted"
            elif isinstance(column, CategoryColumn) and column.categories is None:
                missing = "categories"
            elif isinstance(column, NumberColumn) and column.per_series:
                assert column.fitted is not None
                self._check_series(column.fitted, f"{pointer}/columns/{at}/fitted")
            if missing is not None:
                raise InvalidInput(
                    f"the column {column.name!r} is not fitted",
                    pointer=f"{pointer}/columns/{at}/{missing}",
                    expected="what a job fits to the training data, or you give",
                    actual="nothing",
                )

    def _check_series(self, fitted: NumberFit, pointer: str) -> None:
        series = self.layout.series
        count = len((series and series[1].ids) or ())
        for name in ("series_shift", "series_scale"):
            found = getattr(fitted, name)
            if found is None or len(found) != count:
                raise InvalidInput(
                    "a column that is scaled per series has a number for each of its ids",
                    pointer=f"{pointer}/{name}",
                    expected=f"{count} numbers",
                    actual="nothing" if found is None else f"{len(found)} numbers",
                )


def _layer(cell: ReadingsCell, number: int, reads: tuple[Signal, ...], pointer: str) -> Layer:
    """Return the frozen layer of a cell, whose parameters and initial states are constants."""
    built = build_cell(cell.text.strip(), cell.sizes, inputs=cell.inputs)
    constants = dict(cell.constants)
    for state in built.states if cell.starts else ():
        constants[f"{state.name}0"] = cell.starts.get(state.name, np.zeros(state.size, np.float32))
    layer = make_layer(
        built,
        "readings",
        {},
        pointer,
        trainable_state=bool(cell.starts),
        named={name: Exact.of(values) for name, values in constants.items()},
    )
    return layer.frozen_as(f"{number}.{cell.part}", number, cell.part, reads)
