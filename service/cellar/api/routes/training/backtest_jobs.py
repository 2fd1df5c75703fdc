"""Routes for backtests that workers run, for long datasets."""

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Response

from cellar.api.dependencies import CallerOf, Parts
from cellar.api.errors.problems import answers
from cellar.api.http.body import encode_in_thread
from cellar.api.http.parameters import (
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
from cellar.api.routes.training.backtests import ANSWER_BYTES
from cellar.api.routes.training.jobs import JobCursor, State
from cellar.api.schemas.names import MODEL_PATTERN
from cellar.api.schemas.training.backtests import BacktestJobAnswer, BacktestJobRequest, BacktestJobsAnswer
from cellar.errors import (
    BacktestUnknown,
    DatasetUnknown,
    FingerprintMismatch,
    IdUnknown,
    JobActive,
    ModelUnknown,
    TypeMismatch,
)

BacktestName = Annotated[str, Path(pattern=MODEL_PATTERN, description="The backtest.")]

router = APIRouter(prefix="/v1/backtests", tags=["jobs"], route_class=JsonRoute)


@router.post(
    "",
    status_code=202,
    response_description="Queued",
    responses={
        **answers(
            *STORE, *PARAMETER, *BODY, ModelUnknown, DatasetUnknown, IdUnknown, TypeMismatch, FingerprintMismatch
        ),
        202: {"headers": REPLAY_HEADERS | LOCATION_HEADERS},
    },
)
async def submit_backtest(
    body: BacktestJobRequest, caller: CallerOf, services: Parts, response: Response, key: IdempotencyKey = None
) -> BacktestJobAnswer:
    """Have a worker test a model on a dataset, which may be long. The result has the numbers of the direct backtest.

    A request with the same Idempotency-Key returns the backtest that was made first.
    """

    def submit() -> tuple[BacktestJobAnswer, bool]:
        """Submit the backtest on a thread."""
        asked = caller.tenant, body.model, body.dataset, body.options()
        job, replayed = services.backtests.submit(*asked, priority=body.priority, key=key)
        return BacktestJobAnswer.of(job), replayed

    answer, replayed = await run_sync(submit)
    set_replayed(response, replayed=replayed)
    response.headers["Location"] = f"/v1/backtests/{answer.backtest}"
    return answer


@router.get("", responses=answers(*STORE, *PARAMETER))
async def list_backtests(
    caller: CallerOf, services: Parts, cursor: JobCursor = "", limit: Limit = 100, state: State = None
) -> BacktestJobsAnswer:
    """List the backtests that workers run, or those in one state, the newest first, without their results."""
    jobs, after = await run_sync(services.backtests.list, caller.tenant, limit, state, cursor)
    return BacktestJobsAnswer(backtests=[BacktestJobAnswer.of(job) for job in jobs], cursor=after)


@router.get("/{backtest}", responses=answers(*STORE, *PARAMETER, BacktestUnknown))
async def read_backtest(backtest: BacktestName, caller: CallerOf, services: Parts) -> BacktestJobAnswer:
    """Return a backtest with its progress and, once it has succeeded, its result."""
    job, found = await run_sync(services.backtests.get, caller.tenant, backtest)
    return await encode_in_thread(0 if found is None else ANSWER_BYTES, BacktestJobAnswer.of, job, found)


@router.post("/{backtest}/cancel", responses=answers(*STORE, *PARAMETER, BacktestUnknown))
async def cancel_backtest(backtest: BacktestName, caller: CallerOf, services: Parts) -> BacktestJobAnswer:
    """Cancel a backtest: a queued one ends at once, a running one a moment later, an ended one stays as it is."""
    return BacktestJobAnswer.of(await run_sync(services.backtests.cancel, caller.tenant, backtest))


@router.delete(
    "/{backtest}",
    status_code=204,
    response_description="Deleted",
    responses=answers(*STORE, *PARAMETER, BacktestUnknown, JobActive),
)
async def delete_backtest(backtest: BacktestName, caller: CallerOf, services: Parts) -> None:
    """Delete a backtest that has ended, with its result. Ended ones are deleted by themselves after 30 days."""
    await run_sync(services.backtests.delete, caller.tenant, backtest)
