"""Events and epochs of training jobs in Redis, which the scripts of jobs write, and the counts of their outcomes."""

from collections.abc import Sequence
from typing import Any, get_args

import redis

from cellar.ports import JobEvent, JobEventPage, JobPlace, JobState
from cellar.store.catalogue.job_epochs import read_epochs
from cellar.store.protocol.errors import redis_errors
from cellar.store.protocol.resp import text

EVENTS_AT_ONCE = 100
"""Most events of a job in one read."""

STATES: dict[str, JobState] = {state: state for state in get_args(JobState)}


class RedisJobEvents:
    """Implements `cellar.ports.JobEventStore`, of jobs, or of sweeps."""

    def __init__(self, client: redis.Redis, prefix: str, *, of_sweeps: bool = False) -> None:
        self._client = client
        self._tag = f"{prefix}:{{jobs}}:sweep" if of_sweeps else f"{prefix}:{{jobs}}"
        self._outcomes = outcomes_key(prefix)

    def events(self, places: Sequence[JobPlace]) -> list[JobEventPage]:
        """Return the events behind each of these places, of a long list the first ones. Raise StoreUnavailable."""
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for place in places:
                record = f"{self._tag}:{place.tenant}/{place.job}"
                pipe.hmget(record, "state", "result", "error")
                pipe.xrange(events_key(record), f"({place.after}" if place.after else "-", "+", EVENTS_AT_ONCE)
            replies = pipe.execute() if places else []
        return [_page(record, entries) for record, entries in zip(replies[::2], replies[1::2], strict=True)]

    def epochs(self, tenant: str, job: str, after: int, limit: int) -> tuple[list[dict[str, Any]], int | None]:
        """Return finished epochs; see `JobEventStore.epochs`. Raise JobUnknown or StoreUnavailable."""
        return read_epochs(self._client, f"{self._tag}:{tenant}/{job}", job, after, limit)

    def result(self, tenant: str, job: str) -> bytes | None:
        """Return the result of a backtest, None if there is none. Raise StoreUnavailable."""
        with redis_errors():
            found = self._client.get(result_key(f"{self._tag}:{tenant}/{job}"))
        return found if isinstance(found, bytes) else None

    def outcomes(self) -> dict[JobState, int]:
        """Return how many jobs have ended in each state, of all tenants. Raise StoreUnavailable."""
        with redis_errors():
            found = self._client.hgetall(self._outcomes)
        return {STATES[text(state)]: int(count) for state, count in found.items()}


def events_key(record: str) -> str:
    """Return the key of the events of the job with this record."""
    return f"{record}:events"


def result_key(record: str) -> str:
    """Return the key of the result of the backtest with this record."""
    return f"{record}:result"


def outcomes_key(prefix: str) -> str:
    """Return the key of the counts of ended jobs."""
    return f"{prefix}:{{jobs}}:outcomes"


def _page(record: Sequence[Any], entries: Sequence[Any]) -> JobEventPage:
    state, result, error = (None if value is None else text(value) for value in record)
    events = [JobEvent(text(number), text(fields[b"k"]), text(fields[b"d"])) for number, fields in entries]
    return JobEventPage(None if state is None else STATES[state], events, result, error)
