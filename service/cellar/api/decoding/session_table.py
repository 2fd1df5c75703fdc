"""Writes the logged steps of sessions to a file of readings, one series for each session."""

import csv
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from typing import IO, NamedTuple

import numpy as np
from anyio.to_thread import run_sync
from starlette.requests import Request

from cellar.datasets.options import Duplicates, ReadOptions
from cellar.errors import BodyTooLarge, InvalidInput
from cellar.memory.temporary_files import file_errors
from cellar.nn.execution.executable import BoundNetwork
from cellar.nn.readings.columns import NumberColumn, TimeColumn
from cellar.nn.readings.layout import Layout
from cellar.nn.readings.texts import column_texts, number_texts
from cellar.ports import ROW_LEFT_OUT, Floats
from cellar.sessions.history.logged_steps import LoggedSteps
from cellar.sessions.values.model_protocol import Model
from cellar.table import ColumnType

BLOCK_NUMBERS = 64 * 1024
"""Numbers of steps that are texts at a time."""

SESSION = "session"
"""The name of the column of series, if no reading has it."""


class SessionFile(NamedTuple):
    """A file of readings in the form of CSV, and how it is read."""

    file: IO[bytes]
    options: ReadOptions


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns of a model's inputs."""

    names: tuple[str, ...]
    types: tuple[ColumnType, ...]
    roles: tuple[str, ...]
    layout: Layout | None
    """That of the readings; None if inputs are numbers without names."""

    def texts(self, rows: Floats) -> list[list[str]]:
        """Return the texts of each column of rows (N, in_size)."""
        if self.layout is not None:
            return column_texts(self.layout, rows)
        return [number_texts(values) for values in rows.T]

    def named(self, role: str) -> tuple[str, ...]:
        """Return the names of the columns with a role."""
        return tuple(name for name, its in zip(self.names, self.roles, strict=True) if its == role)


def _columns_of(model: Model) -> _Columns:
    readings = model.network.network.readings if isinstance(model.network, BoundNetwork) else None
    if readings is None:
        names = tuple(f"x{number}" for number in range(model.network.network.in_size))
        return _Columns(names, tuple("number" for _ in names), tuple("" for _ in names), None)
    columns = readings.layout.columns
    types: list[ColumnType] = [
        "number" if isinstance(each, NumberColumn) else "time" if isinstance(each, TimeColumn) else "category"
        for each in columns
    ]
    roles = tuple("time" if isinstance(each, TimeColumn) else getattr(each, "role", "") for each in columns)
    return _Columns(readings.layout.names, tuple(types), roles, readings.layout)


class _Writer:
    """Writes steps, whose models must have the same columns."""

    def __init__(self, file: IO[bytes], most_bytes: int) -> None:
        self._file = file
        self._most_bytes = most_bytes
        self._text = TextIOWrapper(file, "utf-8", newline="", write_through=True)
        self._csv = csv.writer(self._text, lineterminator="\n")
        self._first: LoggedSteps | None = None
        self._known: tuple[str, _Columns] | None = None
        self.columns: _Columns
        self.series = SESSION
        self._ahead_of, self._ahead = "", dict[tuple[str, int], Floats]()
        """Of the present session, by series and place, the last values that belong to rows of later steps."""

    def write(self, part: LoggedSteps) -> None:
        """Write steps on a thread. Raise InvalidInput, BodyTooLarge or StoreUnavailable."""
        columns = self._columns(part)
        if part.session != self._ahead_of:
            self._ahead_of, self._ahead = part.session, {}
        many = max(1, BLOCK_NUMBERS // max(1, part.inputs[0].size))
        for begin in range(0, len(part.inputs), many):
            block = part.inputs[begin : begin + many]
            taken = np.ones(block.shape[:2], bool)
            if part.flags is not None and len(flags := part.flags[begin : begin + many]):
                taken[: len(flags)] = (flags & ROW_LEFT_OUT) == 0
            with file_errors():
                for row in range(part.rows):
                    name = part.session if part.rows == 1 else f"{part.session}/{row}"
                    values = np.array(block[taken[:, row], row], order="C")
                    self._put_at_their_time(name, columns, values)
                    texts = columns.texts(values)
                    self._csv.writerows(zip([name] * len(texts[0]), *texts, strict=True))
            if self._file.tell() > self._most_bytes:
                raise BodyTooLarge(f"the readings may have {self._most_bytes} bytes as CSV (CELLAR_MAX_UPLOAD_BYTES)")

    def _put_at_their_time(self, series: str, columns: _Columns, rows: Floats) -> None:
        """Move what steps said of later ones to the rows of those, which follow in the same or in further parts."""
        ahead = () if columns.layout is None else columns.layout.ahead
        for place, lead in ahead:
            before = self._ahead.get((series, place), np.full(lead, np.nan, np.float32))
            joined = np.concatenate([before, rows[:, place]])
            rows[:, place], self._ahead[series, place] = joined[: len(rows)], joined[len(rows) :]

    def _columns(self, part: LoggedSteps) -> _Columns:
        ref = part.model.version.ref
        if self._known is None or self._known[0] != ref:
            self._known = ref, _columns_of(part.model)
        columns = self._known[1]
        if self._first is None:
            self._first, self.columns = part, columns
            while self.series in columns.names:
                self.series += "_"
            self._csv.writerow((self.series, *columns.names))
        elif (columns.names, columns.types) != (self.columns.names, self.columns.types):
            raise InvalidInput(
                f"steps of {part.session!r} were run by {ref}, which has other columns than"
                f" {self._first.model.version.ref} of {self._first.session!r}",
                pointer="/sessions/model",
                expected="a model, or a version, whose sessions have the same columns",
            )
        return columns

    def end(self) -> None:
        """Leave the file open for its reader."""
        self._text.detach()


@asynccontextmanager
async def session_file(
    request: Request, logs: AsyncGenerator[LoggedSteps, None], targets: tuple[str, ...], duplicates: Duplicates
) -> AsyncIterator[SessionFile]:
    """Yield the file of logged steps. `targets` are columns, by default those of the model.

    Raise InvalidInput, NotKept, BodyTooLarge, StoreUnavailable, or as the iteration of `logs`.
    """
    with request.app.state.temporary_files.open() as file:
        writer = _Writer(file, request.app.state.load.limits.max_upload_bytes)
        try:
            async with aclosing(logs):
                async for part in logs:
                    await run_sync(writer.write, part)
        finally:
            writer.end()
        file.flush()
        columns = writer.columns
        wanted = targets or columns.named("target")
        options = ReadOptions(
            time=next(iter(columns.named("time")), None),
            series=writer.series,
            targets=wanted,
            inputs=tuple(name for name in columns.named("input") if name not in wanted),
            static=tuple(name for name in columns.named("static") if name not in wanted),
            future=tuple(name for name in columns.named("future") if name not in wanted),
            types=dict(zip(columns.names, columns.types, strict=True)),
            only_empty_is_missing=True,
            duplicates=duplicates,
            delimiter=",",
            decimal=".",
            header=True,
            encoding="utf-8",
        )
        yield SessionFile(file, options)
