"""Routes that add, read, list and delete datasets."""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import IO, Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from cellar.api.decoding.dataset_body import receive_file
from cellar.api.decoding.session_table import session_file
from cellar.api.dependencies import CallerOf, Parts, Services
from cellar.api.errors.problems import answers
from cellar.api.http.body import JSON, body_of, body_type, bytes_of, validated
from cellar.api.http.parameters import BODY, MODEL, PARAMETER, STORE, Limit, creation, parameters_of, set_created
from cellar.api.http.query_and_headers import check_query, of_query, read_query
from cellar.api.limits.limits import Load
from cellar.api.limits.reader_turns import ReaderTurns
from cellar.api.routes.json_route import JsonRoute, read_json
from cellar.api.schemas.catalogue.datasets import (
    ChartAnswer,
    DatasetAnswer,
    DatasetQuery,
    DatasetsAnswer,
    RowsAnswer,
    SessionsDatasetRequest,
    StatisticsAnswer,
    StatisticsLine,
)
from cellar.api.schemas.names import MODEL_PATTERN, MODEL_PREFIX_PATTERN, NUMBER_CURSOR_PATTERN
from cellar.datasets.formats import CSV, TYPES, check_readable
from cellar.datasets.ingestion.reading import read_table
from cellar.datasets.options import ReadOptions
from cellar.datasets.views.chart import chart
from cellar.datasets.views.export import MEDIA_TYPES, FileFormat, exported
from cellar.datasets.views.preview import place_of, rows_of
from cellar.datasets.views.statistics import column_statistics
from cellar.errors import (
    AlreadyExists,
    DatasetInUse,
    DatasetInvalid,
    DatasetUnknown,
    InvalidParameter,
    NotKept,
    Overloaded,
)
from cellar.errors.suggestions import suggestion
from cellar.ports import Caller, SessionFilter

DatasetName = Annotated[str, Path(pattern=MODEL_PATTERN, description="The dataset.")]
NameCursor = Annotated[
    str, Query(pattern=MODEL_PREFIX_PATTERN, description="The cursor of the last answer; empty for the first page.")
]
RowCursor = Annotated[
    str, Query(pattern=NUMBER_CURSOR_PATTERN, description="The cursor of the last answer; empty for the first page.")
]
SeriesId = Annotated[
    str | None, Query(max_length=256, description="The id of a series. Default: the first, or of rows: all.")
]

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=JsonRoute)

UPLOAD = (*STORE, *PARAMETER, *BODY, *MODEL, DatasetInvalid, AlreadyExists, NotKept, Overloaded)
FILE = bytes_of("A file of readings.")
SESSIONS = "sessions"
"""The source of a dataset that was made of logged steps."""
SAME = "There is a dataset of that name with the same readings: it is answered, and nothing is made."


def _body() -> dict[str, Any]:
    """Return OpenAPI's description of a body that is a file, or names sessions."""
    about = bytes_of("A file of readings: a row for each time, or for each time and series.")
    content = dict.fromkeys(TYPES, about) | body_of(SessionsDatasetRequest)["content"]
    parameters = parameters_of(DatasetQuery, "a file")
    parameters[0]["example"] = "rooms"
    return {"requestBody": {"required": True, "content": content}, "parameters": parameters}


@router.post(
    "",
    response_description="Created",
    **creation(DatasetAnswer, SAME, *UPLOAD),
    openapi_extra=_body(),
)
async def add_dataset(request: Request, caller: CallerOf, services: Parts, response: Response) -> DatasetAnswer:
    """Keep a file of readings as a dataset that training jobs and backtests can use, or what sessions have logged.

    A body that is a file has any size; it is written to the disk while it comes, and read in bounded memory. Rows are
    sorted by series and time. An error names the row, counted from 1 with the header, and the column. A JSON body
    names sessions; each is a series, whose columns are the inputs of its model.
    """
    kind = body_type(request.headers.get("content-type", ""), *TYPES, JSON)
    if kind == JSON:
        check_query(request, ())
        asked = validated(SessionsDatasetRequest, await read_json(request))
        wanted = SessionFilter(asked.sessions.model, asked.sessions.prefix)
        logs = services.session_logs.read(caller.tenant, wanted)
        async with session_file(request, logs, tuple(asked.targets or ()), asked.duplicates) as found:
            keep = partial(_keep, request, caller, services, asked.dataset, SESSIONS)
            work = partial(keep, found.file, CSV, found.options)
            answer, replayed = await readers_of(request).run(work, caller)
    else:
        check_readable(kind)
        query = read_query(DatasetQuery, request)
        keep = partial(_keep, request, caller, services, query.name, kind)
        async with receive_file(request) as file:

            def read() -> tuple[DatasetAnswer, bool]:
                """Read the file on a thread."""
                with of_query(DatasetQuery):
                    return keep(file, kind, query.options())

            answer, replayed = await readers_of(request).run(read, caller)
    set_created(response, f"/v1/datasets/{answer.dataset}", created=not replayed)
    return answer


def _keep(
    request: Request,
    caller: Caller,
    services: Services,
    name: str,
    source: str,
    file: IO[bytes],
    kind: str,
    options: ReadOptions,
) -> tuple[DatasetAnswer, bool]:
    """Keep the table of a file; return the dataset and whether it was there.

    Raise as `read_table`, `check_held` and `add`.
    """
    built = read_table(file, kind, options, request.app.state.temporary_files)
    with built.file:
        request.app.state.authenticator.check_held(caller)  # a file may have been read for minutes
        added = services.datasets.add(caller.tenant, name, built, source)
    return DatasetAnswer.of(added.stored), added.replayed


def readers_of(request: Request) -> ReaderTurns:
    """Return the turns of requests that read files of readings."""
    load: Load = request.app.state.load
    return load.readers


@router.get("", responses=answers(*STORE, *PARAMETER))
async def list_datasets(
    caller: CallerOf, services: Parts, cursor: NameCursor = "", limit: Limit = 100
) -> DatasetsAnswer:
    """List datasets by name, without their columns."""
    return DatasetsAnswer.page(*await run_sync(services.datasets.list, caller.tenant, limit, cursor))


@router.get("/{dataset}", responses=answers(*STORE, *PARAMETER, DatasetUnknown))
async def read_dataset(dataset: DatasetName, caller: CallerOf, services: Parts) -> DatasetAnswer:
    """Return a dataset with its columns."""
    return DatasetAnswer.of(await run_sync(services.datasets.get, caller.tenant, dataset))


@router.get("/{dataset}/rows", responses=answers(*STORE, *PARAMETER, DatasetUnknown))
async def read_rows(
    dataset: DatasetName,
    caller: CallerOf,
    services: Parts,
    cursor: RowCursor = "",
    limit: Limit = 100,
    series: SeriesId = None,
) -> RowsAnswer:
    """Return rows in the order of series and time, of all series or of one."""

    def read() -> RowsAnswer:
        """Read them on a thread."""
        table = services.datasets.open(caller.tenant, dataset)
        begin, end = 0, table.rows
        if series is not None:
            place = _place(place_of(table, series), series)
            begin, end = (int(bound) for bound in table.bounds[place : place + 2])
        first = min(end, begin + int(cursor or 0))
        last = min(end, first + limit)
        names = [column.name for column in table.columns]
        after = "" if last == end else str(last - begin)
        return RowsAnswer(columns=names, rows=rows_of(table, first, last - first), cursor=after)

    return await run_sync(read)


@router.get(
    "/{dataset}/export",
    response_class=StreamingResponse,
    responses=answers(*STORE, *PARAMETER, DatasetUnknown)
    | {200: {"description": "The file", "content": {kind.partition(";")[0]: FILE for kind in MEDIA_TYPES.values()}}},
)
async def export_dataset(
    dataset: DatasetName,
    caller: CallerOf,
    services: Parts,
    form: Annotated[FileFormat, Query(alias="format", description="The form of the file.")] = "csv",
) -> Response:
    """Return all rows as a file, in the order of series and time: CSV, or a JSON object in each line.

    Missing readings are empty cells or null, and times are in UTC. Sent again, it is the same dataset.
    """
    table = await run_sync(services.datasets.open, caller.tenant, dataset)
    headers = {"Content-Disposition": f'attachment; filename="{dataset}.{form}"'}
    return StreamingResponse(_pieces(exported(table, form)), 200, headers, MEDIA_TYPES[form])


async def _pieces(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the parts, each of which is made on a thread."""
    while (part := await run_sync(next, parts, None)) is not None:
        yield part


def _place(place: int | None, series: str) -> int:
    """Return the place of a series that there is. Raise InvalidParameter."""
    if place is None:
        raise InvalidParameter(
            f"query parameter series: the dataset has no series {series[:60]!r}",
            location="query",
            parameter="series",
            expected="the id of a series",
            actual=series[:60],
        )
    return place


@router.get("/{dataset}/statistics", responses=answers(*STORE, *PARAMETER, DatasetUnknown))
async def read_statistics(
    request: Request, dataset: DatasetName, caller: CallerOf, services: Parts
) -> StatisticsAnswer:
    """Return the statistics of all columns: extremes, mean, deviation, quantiles, and rows of each category."""

    def read() -> StatisticsAnswer:
        """Compute them on a thread."""
        table = services.datasets.open(caller.tenant, dataset)
        lines = [StatisticsLine.of(column_statistics(table, column)) for column in table.columns]
        return StatisticsAnswer(dataset=dataset, rows=table.rows, columns=lines)

    return await readers_of(request).run(read, caller)


@router.get("/{dataset}/series", responses=answers(*STORE, *PARAMETER, DatasetUnknown))
async def read_series(
    dataset: DatasetName,
    caller: CallerOf,
    services: Parts,
    column: Annotated[str, Query(max_length=128, description="A column of numbers or categories.")],
    series: SeriesId = None,
    points: Annotated[int, Query(ge=2, le=10_000, description="Most points in the answer.")] = 1000,
) -> ChartAnswer:
    """Return points of a column for a plot: the lowest and the highest value of each part of the series."""

    def read() -> ChartAnswer:
        """Choose the points on a thread."""
        table = services.datasets.open(caller.tenant, dataset)
        if column not in table.values:
            raise InvalidParameter(
                f"query parameter column: {column[:60]!r} is no column of readings{suggestion(column, table.values)}",
                location="query",
                parameter="column",
                expected=f"one of {', '.join(list(table.values)[:20])}",
                actual=column[:60],
            )
        place = 0 if series is None else _place(place_of(table, series), series)
        return ChartAnswer.of(column, table.series_ids[place], chart(table, column, place, points))

    return await run_sync(read)


@router.delete(
    "/{dataset}",
    status_code=204,
    response_description="Deleted",
    responses=answers(*STORE, *PARAMETER, DatasetUnknown, DatasetInUse),
)
async def delete_dataset(dataset: DatasetName, caller: CallerOf, services: Parts) -> None:
    """Delete a dataset, unless a training job that has not ended needs it."""
    await run_sync(services.datasets.delete, caller.tenant, dataset)
