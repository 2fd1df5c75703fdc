"""Routes that submit, read, list and cancel training jobs."""

from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request, Response

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
    JobName,
    Limit,
    set_replayed,
)
from cellar.api.limits.limits import Load
from cellar.api.limits.reader_turns import ReaderTurns
from cellar.api.routes.json_route import JsonRoute
from cellar.api.schemas.catalogue.jobs import JobAnswer, JobHistoryAnswer, JobRequest, JobsAnswer
from cellar.api.schemas.names import EPOCH_CURSOR_PATTERN, JOB_CURSOR_PATTERN
from cellar.errors import (
    DatasetUnknown,
    FingerprintMismatch,
    IdUnknown,
    JobActive,
    JobNotResumable,
    JobNotRetryable,
    JobTooLarge,
    JobUnknown,
    ModelUnknown,
)
from cellar.jobs.recipe.request import ForecastData
from cellar.ports import JobPlace, JobState

JobCursor = Annotated[
    str, Query(pattern=JOB_CURSOR_PATTERN, description="The cursor of the last answer; empty for the first page.")
]
EpochCursor = Annotated[
    str,
    Query(
        pattern=EPOCH_CURSOR_PATTERN,
        description="The cursor of the last answer, or the number of an epoch: those behind it are answered.",
        examples=["1000"],
    ),
]
EpochLimit = Annotated[int, Query(ge=1, le=10_000, description="Most epochs in the answer.")]
State = Annotated[JobState | None, Query(description="Only jobs in this state.")]

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=JsonRoute)


@router.post(
    "",
    status_code=202,
    response_description="Queued",
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
            JobUnknown,
            JobActive,
            JobNotResumable,
        ),
        202: {"headers": REPLAY_HEADERS | LOCATION_HEADERS},
    },
)
async def submit_job(
    request: Request,
    body: JobRequest,
    caller: CallerOf,
    services: Parts,
    response: Response,
    key: IdempotencyKey = None,
) -> JobAnswer:
    """Train a model on arrays or on a dataset. The result is a new version of it, or the first of a new model.

    A request with the same Idempotency-Key returns the job that was made first.
    """
    if isinstance(body.data, ForecastData):
        named, data = body.data, None
    else:
        named, data = None, await run_in_reader_thread(body.data.dataset)

    def submit() -> tuple[JobAnswer, bool]:
        """Submit the job on a thread."""
        asked: dict[str, Any] = {"publish": body.publish, "options": body.options(), "key": key}
        asked["resume_from"] = body.resume_from
        if named is not None:
            asked["layers"] = body.layers_sent()
            made = services.jobs.submit_forecast(caller.tenant, body.model, named, body.training(), **asked)
        else:
            assert data is not None
            made = services.jobs.submit(caller.tenant, body.model, data, body.training(), **asked)
        return JobAnswer.of(made.job, services.jobs.history(caller.tenant, made.job.job)), made.replayed

    run = run_sync(submit) if named is None else planners_of(request).run(submit, caller)
    answer, replayed = await run
    set_replayed(response, replayed=replayed)
    response.headers["Location"] = f"/v1/jobs/{answer.job}"
    return answer


def planners_of(request: Request) -> ReaderTurns:
    """Return the turns of requests that read datasets for plans."""
    load: Load = request.app.state.load
    return load.planners


@router.get("", responses=answers(*STORE, *PARAMETER))
async def list_jobs(
    caller: CallerOf, services: Parts, cursor: JobCursor = "", limit: Limit = 100, state: State = None
) -> JobsAnswer:
    """List jobs, or those in one state, the newest first, without their histories."""
    jobs, after = await run_sync(services.jobs.list, caller.tenant, limit, state, cursor)
    return JobsAnswer(jobs=[JobAnswer.of(job, []) for job in jobs], cursor=after)


@router.get("/{job}", responses=answers(*STORE, *PARAMETER, JobUnknown))
async def read_job(job: JobName, caller: CallerOf, services: Parts) -> JobAnswer:
    """Return a job with its progress and the line of every finished epoch."""

    def read() -> JobAnswer:
        """Read the job and its history on a thread."""
        return JobAnswer.of(services.jobs.get(caller.tenant, job), services.jobs.history(caller.tenant, job))

    return await run_sync(read)


@router.get("/{job}/history", responses=answers(*STORE, *PARAMETER, JobUnknown))
async def read_job_history(
    job: JobName, caller: CallerOf, services: Parts, cursor: EpochCursor = "", limit: EpochLimit = 1000
) -> JobHistoryAnswer:
    """Return the finished epochs of a job, from the first one, page by page. A job itself has the newest 1,000."""
    place = JobPlace(caller.tenant, job)
    epochs, after = await services.job_following.epochs(place, int(cursor or 0), limit)
    return JobHistoryAnswer.of(job, epochs, after)


@router.delete(
    "/{job}",
    status_code=204,
    response_description="Deleted",
    responses=answers(*STORE, *PARAMETER, JobUnknown, JobActive),
)
async def delete_job(job: JobName, caller: CallerOf, services: Parts) -> None:
    """Delete a job that has ended, with its data and its history. A version that it has published stays.

    Ended jobs are deleted by themselves after 30 days. A request with the Idempotency-Key of a deleted job makes a new
    one.
    """
    await run_sync(services.jobs.delete, caller.tenant, job)


@router.post("/{job}/cancel", responses=answers(*STORE, *PARAMETER, JobUnknown))
async def cancel_job(job: JobName, caller: CallerOf, services: Parts) -> JobAnswer:
    """Cancel a job: a queued one ends at once, a running one a moment later, an ended one stays as it is."""

    def cancel() -> JobAnswer:
        """Cancel the job and read its history on a thread."""
        return JobAnswer.of(services.jobs.cancel(caller.tenant, job), services.jobs.history(caller.tenant, job))

    return await run_sync(cancel)


@router.post(
    "/{job}/retry",
    status_code=202,
    response_description="Queued",
    responses={
        **answers(*STORE, *PARAMETER, JobUnknown, JobActive, JobNotRetryable),
        202: {"headers": LOCATION_HEADERS},
    },
)
async def retry_job(job: JobName, caller: CallerOf, services: Parts, response: Response) -> JobAnswer:
    """Run a failed or cancelled job again: from its last checkpoint if it has one, else from the beginning.

    Its data and checkpoints are kept for a day after its end, or as long as CELLAR_JOB_RETAINED_S says.
    """

    def retry() -> JobAnswer:
        """Queue the job and read its history on a thread."""
        return JobAnswer.of(services.jobs.retry(caller.tenant, job), services.jobs.history(caller.tenant, job))

    response.headers["Location"] = f"/v1/jobs/{job}"
    return await run_sync(retry)
