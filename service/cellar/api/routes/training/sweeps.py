"""Routes that make, read, follow, cancel and delete sweeps."""

from collections.abc import Mapping
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Request, Response

from cellar.api.dependencies import CallerOf, Parts, Services
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
from cellar.api.routes.training.jobs import JobCursor, planners_of
from cellar.api.routes.training.trials import TrialCheck
from cellar.api.schemas.names import MODEL_PATTERN
from cellar.api.schemas.training.events import SWEEP_EVENT
from cellar.api.schemas.training.sweeps import (
    CurveAnswer,
    CurvesAnswer,
    SweepAnswer,
    SweepRequest,
    SweepsAnswer,
    TrialAnswer,
    TrialRequest,
)
from cellar.datasets.datasets import OF_SWEEP
from cellar.errors import (
    CellarError,
    DatasetUnknown,
    FingerprintMismatch,
    IdUnknown,
    InvalidInput,
    JobTooLarge,
    JobUnknown,
    ModelUnknown,
    Overloaded,
    SweepActive,
    SweepNotOpen,
    SweepUnknown,
)
from cellar.jobs.recipe.request import ForecastData
from cellar.jobs.submission.dataset import pack_dataset
from cellar.jobs.submission.forecast_submission import existing
from cellar.jobs.sweeps.plan import EXTERNAL, first_trials, objective_of, ranked
from cellar.jobs.sweeps.space import FIXED, FIXED_OF_DATASETS, MOST_TRIALS, check_names
from cellar.nn.training.data.dataset import Dataset
from cellar.ports import JobPlace
from cellar.ports.catalogue.datasets import StoredDataset

SweepName = Annotated[str, Path(pattern=MODEL_PATTERN, description="The sweep.")]

MOST_POINTS = 200
"""Most points of a curve, as many as a plot can show."""

router = APIRouter(prefix="/v1/sweeps", tags=["sweeps"], route_class=JsonRoute)


@router.post(
    "",
    status_code=202,
    response_description="Begun",
    responses={
        **answers(
            *STORE,
            *PARAMETER,
            *BODY,
            *ARRAYS,
            IdUnknown,
            ModelUnknown,
            DatasetUnknown,
            FingerprintMismatch,
            JobTooLarge,
        ),
        202: {"headers": REPLAY_HEADERS | LOCATION_HEADERS},
    },
)
async def create_sweep(
    request: Request,
    body: SweepRequest,
    caller: CallerOf,
    services: Parts,
    response: Response,
    key: IdempotencyKey = None,
) -> SweepAnswer:
    """Search for the best settings of a training job. Each trial is a job, and the workers share them.

    A request with the same Idempotency-Key returns the sweep that was made first.
    """
    given = await run_in_reader_thread(_data, body)

    def create() -> tuple[SweepAnswer, bool]:
        """Check the trials and store the sweep, on a thread."""
        tenant, template, search = caller.tenant, body.template(), body.search.model_dump(mode="json")
        parameters = body.model_dump(mode="json", include={"parameters"})["parameters"]
        template["model"], data = _pinned(services, tenant, body, given)
        _check(body, template)
        trials = first_trials(search, parameters, body.job.epochs)
        trials = TrialCheck(services.jobs, tenant, template, data).of_all(trials)
        others = body.model_dump(mode="json", include={"publish", "max_parallel"})
        others |= {} if body.objective == "loss" else {"objective": body.objective}
        spec = {"job": template, "search": search, "parameters": parameters, "epochs": body.job.epochs, **others}

        def keep(name: str) -> bytes | None:
            """Pack the data of a sweep, or pin its dataset."""
            if given is not None:
                return pack_dataset(name, given)
            assert isinstance(data, StoredDataset)
            services.jobs.pin(tenant, data.dataset, OF_SWEEP + name)
            return None

        made = services.sweeps.create(tenant, spec, trials, keep, key)
        return SweepAnswer.of(made.sweep), made.replayed

    answer, replayed = await (planners_of(request).run(create, caller) if given is None else run_sync(create))
    set_replayed(response, replayed=replayed)
    response.headers["Location"] = f"/v1/sweeps/{answer.sweep}"
    return answer


def _pinned(
    services: Services, tenant: str, body: SweepRequest, given: Dataset | None
) -> tuple[str, Dataset | StoredDataset]:
    """Return the model that all trials train, and their data."""
    if given is not None:
        return services.registry.get(tenant, body.job.model).ref, given
    named = body.job.data
    assert isinstance(named, ForecastData)
    version = existing(services.registry, tenant, body.job.model)
    ref = body.job.model if version is None else version.ref
    return ref, services.datasets.get(tenant, named.dataset)


def _check(body: SweepRequest, template: dict[str, Any]) -> None:
    """Raise InvalidInput for parameters and settings that do not fit the search or the data."""
    if (body.search.type == EXTERNAL) == bool(body.parameters):
        raise InvalidInput(
            "an external search sends its values with each trial; any other needs at least one parameter",
            pointer="/parameters",
            expected="an empty object" if body.parameters else "at least one field",
            actual=f"{len(body.parameters)} fields",
        )
    if body.search.type == "halving" and "epochs" not in template and not body.has_arrays:
        raise InvalidInput(
            "a halving divides the epochs of the job: a job on a dataset needs them in the request",
            pointer="/job/epochs",
            expected="a number",
            actual="nothing",
        )
    if body.objective == "mae" and body.has_arrays:
        raise InvalidInput(
            "the units of arrays are not known: the loss can be mae",
            pointer="/objective",
            expected="loss or skill",
            actual="mae",
        )
    check_names(body.parameters, fixed_of(template, body.search.type))


def fixed_of(template: Mapping[str, Any], search: str) -> tuple[str, ...]:
    """Return the fields that all trials have in common."""
    fixed = FIXED_OF_DATASETS if "data" in template else FIXED
    return (*fixed, "epochs") if search == "halving" else fixed


def _data(body: SweepRequest) -> Dataset | None:
    """Return the arrays of the job, None for a dataset."""
    if not body.has_arrays:
        return None
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
        stored = services.sweeps.get(caller.tenant, sweep)
        for trial in ranked(stored.trials, objective_of(stored)):
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


@router.post(
    "/{sweep}/trials",
    status_code=202,
    response_description="Added",
    responses={
        **answers(*STORE, *PARAMETER, *BODY, SweepUnknown, SweepNotOpen, FingerprintMismatch, ModelUnknown),
        202: {"headers": REPLAY_HEADERS | LOCATION_HEADERS},
    },
)
async def add_trial(
    request: Request,
    sweep: SweepName,
    body: TrialRequest,
    caller: CallerOf,
    services: Parts,
    response: Response,
    key: IdempotencyKey = None,
) -> TrialAnswer:
    """Add a trial to a sweep with an external search. Its value is that of the trial once its job has ended.

    A request with the same Idempotency-Key returns the trial that was added first.
    """

    def add() -> tuple[TrialAnswer, bool]:
        """Check the trial and add it, on a thread."""
        tenant, found = caller.tenant, services.sweeps.get(caller.tenant, sweep)
        check_names(body.parameters, fixed_of(found.spec["job"], EXTERNAL))
        trial, replayed = services.sweeps.add_trial(tenant, sweep, body.parameters, key)
        return TrialAnswer.of(trial), replayed

    answer, replayed = await planners_of(request).run(add, caller)
    set_replayed(response, replayed=replayed)
    response.headers["Location"] = f"/v1/sweeps/{sweep}/trials/{answer.trial}"
    return answer


@router.get("/{sweep}/trials/{trial}", responses=answers(*STORE, *PARAMETER, SweepUnknown))
async def read_trial(
    sweep: SweepName,
    trial: Annotated[int, Path(ge=1, le=MOST_TRIALS, description="The number of the trial.")],
    caller: CallerOf,
    services: Parts,
) -> TrialAnswer:
    """Return a trial: of a halving that of the latest rung."""
    found = await run_sync(services.sweeps.get, caller.tenant, sweep)
    rungs = [each for each in found.trials if each.number == trial]
    if not rungs:
        raise SweepUnknown(f"the sweep {sweep!r} has no trial {trial}")
    return TrialAnswer.of(rungs[-1])


@router.post("/{sweep}/finish", responses=answers(*STORE, *PARAMETER, SweepUnknown, SweepNotOpen))
async def finish_sweep(sweep: SweepName, caller: CallerOf, services: Parts) -> SweepAnswer:
    """End a sweep with an external search: when its trials have ended, the best result is published."""
    return SweepAnswer.of(await run_sync(services.sweeps.finish, caller.tenant, sweep))


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
