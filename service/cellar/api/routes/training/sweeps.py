"""Routes that make, read, follow, cancel and delete sweeps."""

from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Response

from cellar.api.dependencies import CallerOf, Parts
from cellar.api.errors.problems import answers
from cellar.api.http.body import run_in_reader_thread
from cellar.api.http.parameters import (
    ARRAYS,
    BODY,
    LOCATION_HEADERS,
    PARAMETER,
    REPLAY_HEADERS,
    STORE,
    IdempotencyKey,
    Limit,
    set_replayed,
)
from cellar.api.routes.json_route import JsonRoute
from cellar.api.routes.training.events import LastEventId, Ticket, event_answer, events_of
from cellar.api.routes.training.jobs import JobCursor
from cellar.api.routes.training.trials import check_trials
from cellar.api.schemas.names import MODEL_PATTERN
from cellar.api.schemas.training.events import SWEEP_EVENT
from cellar.api.schemas.training.sweeps import (
    CurveAnswer,
    CurvesAnswer,
    SweepAnswer,
    SweepRequest,
    SweepsAnswer,
)
from cellar.errors import (
    CellarError,
    FingerprintMismatch,
    IdUnknown,
    InvalidInput,
    JobTooLarge,
    JobUnknown,
    ModelUnknown,
    Overloaded,
    SweepActive,
    SweepUnknown,
)
from cellar.jobs.dataset import pack_dataset
from cellar.jobs.sweeps.plan import first_trials, ranked
from cellar.jobs.sweeps.space import FIXED, check_names
from cellar.nn.training.data.dataset import Dataset
from cellar.ports import JobPlace

SweepName = Annotated[str, Path(pattern=MODEL_PATTERN, description="The sweep.")]

MOST_POINTS = 200
"""Most points of a curve, as many as a plot can show."""

router = APIRouter(prefix="/v1/sweeps", tags=["sweeps"], route_class=JsonRoute)


@router.post(
    "",
    status_code=202,
    response_description="Begun",
    responses={
        **answers(*STORE, *PARAMETER, *BODY, *ARRAYS, IdUnknown, ModelUnknown, FingerprintMismatch, JobTooLarge),
        202: {"headers": REPLAY_HEADERS | LOCATION_HEADERS},
    },
)
async def create_sweep(
    body: SweepRequest, caller: CallerOf, services: Parts, response: Response, key: IdempotencyKey = None
) -> SweepAnswer:
    """Search for the best settings of a training job. Each trial is a job, and the workers share them.

    A request with the same Idempotency-Key returns the sweep that was made first.
    """
    if not body.has_arrays:
        raise InvalidInput(
            "a sweep needs the arrays of its job in the request",
            pointer="/job/data",
            expected="an object with inputs and targets",
            actual="the name of a dataset",
        )
    data = await run_in_reader_thread(_dataset, body)

    def create() -> tuple[SweepAnswer, bool]:
        """Check the trials and store the sweep, on a thread."""
        template, search = body.template(), body.search.model_dump(mode="json")
        template["model"] = services.registry.get(caller.tenant, body.job.model).ref
        parameters = body.model_dump(mode="json", include={"parameters"})["parameters"]
        check_names(parameters, (*FIXED, "epochs") if search["type"] == "halving" else FIXED)
        trials = first_trials(search, parameters, body.job.epochs)
        check_trials(services.jobs, caller.tenant, template, trials, data)
        others = body.model_dump(mode="json", include={"publish", "max_parallel"})
        spec = {"job": template, "search": search, "parameters": parameters, "epochs": body.job.epochs, **others}
        made = services.sweeps.create(caller.tenant, spec, lambda name: pack_dataset(name, data), key)
        return SweepAnswer.of(made.sweep), made.replayed

    answer, replayed = await run_sync(create)
    set_replayed(response, replayed=replayed)
    response.headers["Location"] = f"/v1/sweeps/{answer.sweep}"
    return answer


def _dataset(body: SweepRequest) -> Dataset:
    try:
        return body.job.arrays.dataset()
    except CellarError as error:
        if isinstance(getattr(error, "pointer", None), str):
            vars(error)["pointer"] = f"/job{vars(error)['pointer']}"
        raise


@router.get("", responses=answers(*STORE, *PARAMETER))
async def list_sweeps(caller: CallerOf, services: Parts, cursor: JobCursor = "", limit: Limit = 100) -> SweepsAnswer:
    """List sweeps, the newest first, without their trials."""
    found, after = await run_sync(services.sweeps.list, caller.tenant, limit, cursor)
    return SweepsAnswer(sweeps=[SweepAnswer.of(sweep, with_trials=False) for sweep in found], cursor=after)


@router.get("/{sweep}", responses=answers(*STORE, *PARAMETER, SweepUnknown))
async def read_sweep(sweep: SweepName, caller: CallerOf, services: Parts) -> SweepAnswer:
    """Return a sweep with its trials, the best first."""
    return SweepAnswer.of(await run_sync(services.sweeps.get, caller.tenant, sweep))


@router.get("/{sweep}/curves", responses=answers(*STORE, *PARAMETER, SweepUnknown))
async def read_sweep_curves(
    sweep: SweepName, caller: CallerOf, services: Parts, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> CurvesAnswer:
    """Return the losses of the best trials after each epoch, for a plot: at most 200 epochs of each."""

    def read() -> CurvesAnswer:
        """Read the histories of the jobs on a thread."""
        found: list[CurveAnswer] = []
        for trial in ranked(services.sweeps.get(caller.tenant, sweep).trials):
            if trial.job is None or len(found) == limit:
                continue
            try:
                history = services.jobs.history(caller.tenant, trial.job)
            except JobUnknown:
                continue
            points = history[:: max(1, -(-len(history) // MOST_POINTS))]
            members: dict[str, Any] = {name: [point[name] for point in points] for name in ("loss", "validation_loss")}
            epochs = [point["epoch"] for point in points]
            found.append(CurveAnswer(trial=trial.number, rung=trial.rung, job=trial.job, epochs=epochs, **members))
        return CurvesAnswer(curves=found)

    return await run_sync(read)


@router.get(
    "/{sweep}/events",
    response_class=Response,
    responses={**answers(*STORE, *PARAMETER, SweepUnknown, Overloaded), **events_of("sweep", SWEEP_EVENT)},
)
async def follow_sweep(
    sweep: SweepName,
    caller: CallerOf,
    services: Parts,
    last_event_id: LastEventId = None,
    ticket: Ticket = None,  # noqa: ARG001  # `Authentication` has read it
) -> Response:
    """Follow a sweep: its trials as they begin and end, and its end; as the events of a job."""
    return await event_answer(services.sweep_following, JobPlace(caller.tenant, sweep, last_event_id or ""))


@router.post("/{sweep}/cancel", responses=answers(*STORE, *PARAMETER, SweepUnknown))
async def cancel_sweep(sweep: SweepName, caller: CallerOf, services: Parts) -> SweepAnswer:
    """Cancel a sweep with its jobs; it ends when they have ended. One that has ended stays as it is."""
    return SweepAnswer.of(await run_sync(services.sweeps.cancel, caller.tenant, sweep))


@router.delete(
    "/{sweep}",
    status_code=204,
    response_description="Deleted",
    responses=answers(*STORE, *PARAMETER, SweepUnknown, SweepActive),
)
async def delete_sweep(sweep: SweepName, caller: CallerOf, services: Parts) -> None:
    """Delete a sweep that has ended, with its jobs. The version that it has published stays."""
    await run_sync(services.sweeps.delete, caller.tenant, sweep)
