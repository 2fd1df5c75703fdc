"""Training jobs in Redis. All keys share the hash tag `{jobs}`; every change is one Lua script (`lua/job/`)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import redis

from cellar.errors import AlreadyExists, JobActive, JobNotRetryable, JobUnknown, Superseded
from cellar.ports import Job, JobState, Lease, UnendedJob
from cellar.store.catalogue.job_epochs import epochs_key, history_key, packed
from cellar.store.catalogue.job_events import STATES, events_key, outcomes_key, result_key
from cellar.store.catalogue.job_record import read_job, trains
from cellar.store.connection.scripts import Scripts
from cellar.store.protocol.errors import redis_errors
from cellar.store.protocol.resp import text

MAX_BARREN_ATTEMPTS = 3
"""Consecutive attempts that may die without a new checkpoint: one may be a crash of the host, three are the job's."""

HISTORY_EPOCHS = 1000
"""Number of finished epochs that are kept, about 100 bytes each."""

RESEND_MS = 2000
"""Time after which an orphan is yielded again: a worker begins a queued call within a second."""

SAMPLED = 8
"""Names in a tenant's index that are checked with each new job, so that few of them are of expired jobs."""

DUE_AT_ONCE = 100
"""Most jobs in one sweep; the next sweep takes further ones."""

READ_AT_ONCE = 100
"""Jobs that a list reads in one round trip."""

EPOCHS_IN_EVENT = 100
"""Most epochs in one event; the history has those that finished before them since the last event."""


class RedisJobs:
    """JobStore in Redis. Leases use the clock of the server."""

    def __init__(
        self, client: redis.Redis, prefix: str, retained_s: float = 0.0, state_bytes: int = 0, index: str = "index"
    ) -> None:
        """Keep the blobs of failed and cancelled jobs for `retained_s`.

        So long the last checkpoints of succeeded jobs are kept too, of `state_bytes` in all. New jobs are listed in the
        index of that name: `index`, or `backtests`.
        """
        self._client, self._index_name = client, index
        self._tag = f"{prefix}:{{jobs}}"
        self._retained_s = retained_s
        self._state_bytes = state_bytes if retained_s > 0 else 0
        self._outcomes = outcomes_key(prefix)
        self._scripts = Scripts(client, "job", "common")

    def create(self, job: Job) -> None:
        """Store a queued job. Raise AlreadyExists or StoreUnavailable."""
        keys = (*self._keys(job.tenant, job.job), self._index(job.tenant))
        args = (_member(job.tenant, job.job), job.job, repr(job.created_s), _dump(job.spec), RESEND_MS)
        with redis_errors():
            some = self._client.zrandmember(self._index(job.tenant), SAMPLED)
            self._forget(job.tenant, [text(name) for name in some or ()])
        with redis_errors(outcome="unknown"):
            if not self._scripts.run("create", keys, args):
                raise AlreadyExists(f"there is a job {job.job!r}")

    def get(self, tenant: str, job: str) -> Job:
        """Return a job. Raise JobUnknown or StoreUnavailable."""
        with redis_errors():
            record = self._client.hgetall(self._record(tenant, job))
        if not record:
            raise JobUnknown(f"no job {job!r}")
        return read_job(tenant, job, record)

    def history(self, tenant: str, job: str) -> list[dict[str, Any]]:
        """Return the newest finished epochs, oldest first. Raise JobUnknown or StoreUnavailable."""
        with redis_errors():
            if not self._client.exists(self._record(tenant, job)):
                raise JobUnknown(f"no job {job!r}")
            epochs = self._client.hgetall(history_key(self._record(tenant, job)))
        return [json.loads(epochs[number]) for number in sorted(epochs, key=int)]

    def unfinished(self, tenant: str, model: str) -> list[Job]:
        """Return the queued and running jobs that train a model or one version of it. Raise StoreUnavailable."""
        return [job for job in self.unfinished_of(tenant) if trains(job, model)]

    def unfinished_of(self, tenant: str) -> list[Job]:
        """Return the queued and running jobs of a tenant. Raise StoreUnavailable."""
        with redis_errors():
            members = [text(member) for member in self._client.zrange(self._active, 0, -1)]
        found = []
        for member in members:
            owner, job = member.split("/", 1)
            if owner != tenant:
                continue
            with suppress(JobUnknown):
                found.append(self.get(tenant, job))
        return [job for job in found if job.state in ("queued", "running")]

    def retained_bytes(self, tenant: str) -> int:
        """Return the bytes of the data of failed and cancelled jobs that can be tried again. Raise StoreUnavailable."""
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for member in self._client.zrange(self._retained, 0, -1):
                if text(member).startswith(f"{tenant}/"):
                    pipe.hget(f"{self._tag}:{text(member)}", "spec")
            specs = pipe.execute()
        return sum(int(json.loads(spec).get("dataset_bytes", 0)) for spec in specs if spec is not None)

    def unended(self) -> Sequence[UnendedJob]:
        """Return the queued and running jobs of all tenants. Raise StoreUnavailable."""
        with redis_errors():
            members = [text(member) for member in self._client.zrange(self._active, 0, -1)]
            pipeline = self._client.pipeline(transaction=False)
            for member in members:
                pipeline.hmget(f"{self._tag}:{member}", "state", "created_s")
            records = pipeline.execute() if members else []
        found = []
        for member, (state, created_s) in zip(members, records, strict=True):
            if state is not None and text(state) in ("queued", "running"):
                found.append(UnendedJob(member.partition("/")[0], STATES[text(state)], float(created_s)))
        return found

    def list(self, tenant: str, limit: int, state: JobState | None = None, after: str = "") -> tuple[list[Job], str]:
        """Return a page of jobs; see `JobStore.list`. Expired names leave the index. Raise StoreUnavailable."""
        found: list[Job] = []
        gone: list[str] = []
        more = False
        with redis_errors():
            at_once = min(limit + 1, READ_AT_ONCE) if state is None else READ_AT_ONCE
            for name, record in self._records(tenant, after, at_once):
                if not record:
                    gone.append(name)
                elif state in (None, (job := read_job(tenant, name, record)).state):
                    more = len(found) == limit
                    if more:
                        break
                    found.append(job)
            self._forget(tenant, gone)
        return found, f"{found[-1].created_s!r}~{found[-1].job}" if more else ""

    def acquire(self, tenant: str, job: str, lease_s: float) -> Lease | None:
        """Begin the next attempt; None if the job has a live lease, ended or was cancelled. Raise StoreUnavailable."""
        error = f"the job's process died {MAX_BARREN_ATTEMPTS} times in a row before it reached a new checkpoint"
        unknown = ": the job may need more memory than there is"
        arguments: list[str | int] = [_ms(lease_s), MAX_BARREN_ATTEMPTS, error, ", the last time of ", unknown]
        attempt = self._run("attempt/acquire", tenant, job, arguments)
        return Lease(tenant, job, int(attempt)) if attempt else None

    def renew(self, lease: Lease, lease_s: float) -> bool:
        """Extend the lease; return False if the job was cancelled. Raise Superseded or StoreUnavailable."""
        return bool(self._held("renew", lease, [_ms(lease_s)]))

    def abandon(self, lease: Lease, death: str) -> None:
        """End the lease of an attempt whose process died of `death`. Raise Superseded or StoreUnavailable."""
        self._held("renew", lease, [0, death])

    def release(self, lease: Lease) -> None:
        """Give the job back; the attempt does not count. Raise Superseded or StoreUnavailable."""
        self._held("release", lease, [])

    def claim(self, lease: Lease, blob: str) -> str | None:
        """Record a checkpoint before it is written; return one to delete. Raise Superseded or StoreUnavailable."""
        spare: bytes = self._held("claim", lease, [blob])
        return spare.decode() or None

    def report(
        self,
        lease: Lease,
        progress: dict[str, Any],
        checkpoint: str | None = None,
        *,
        history: Sequence[dict[str, Any]] = (),
    ) -> None:
        """Record progress, finished epochs and the newest checkpoint. Raise Superseded or StoreUnavailable."""
        newest = history[-HISTORY_EPOCHS:]
        epochs = [part for epoch in newest for part in (int(epoch["epoch"]), _dump(epoch))]
        event = _dump(progress | {"history": history[-EPOCHS_IN_EVENT:]})
        told = _dump(progress), checkpoint or "", HISTORY_EPOCHS, event
        self._held("report", lease, [*told, *packed(history), *epochs])

    def store_result(self, lease: Lease, result: bytes) -> None:
        """Store the result of a backtest. Raise Superseded or StoreUnavailable."""
        self._held("store_result", lease, [result])

    def seal(self, lease: Lease, outcome: dict[str, Any]) -> bool:
        """Set what the job will publish; False if it was cancelled. Raise Superseded or StoreUnavailable."""
        return bool(self._held("seal", lease, [_dump(outcome)]))

    def finish(self, lease: Lease, state: JobState, *, result: str | None = None, error: str | None = None) -> None:
        """End the job; a repeated call is no error. Raise Superseded or StoreUnavailable."""
        field, value = ("error", error) if error is not None else ("result", result)
        self._held("finish", lease, [state, field, value or ""])

    def cancel(self, tenant: str, job: str) -> Job:
        """Ask the job to end and return it. Raise JobUnknown or StoreUnavailable."""
        if not self._run("cancel", tenant, job, []):
            raise JobUnknown(f"no job {job!r}")
        return self.get(tenant, job)

    def retry(self, tenant: str, job: str) -> Job:
        """Queue an ended job again. Raise JobUnknown, JobActive, JobNotRetryable or StoreUnavailable."""
        answer = self._run("retry", tenant, job, [RESEND_MS])
        if answer == 0:
            raise JobUnknown(f"no job {job!r}")
        if answer == 2:  # as the script says
            raise JobActive(f"the job {job!r} has not ended: only a failed or cancelled one can be tried again")
        if answer == 3:
            raise JobNotRetryable(f"the job {job!r} has succeeded: send a new one with the same data to train further")
        if answer == 4:
            raise JobNotRetryable(f"the data of the job {job!r} are deleted already: send it again as a new job")
        return self.get(tenant, job)

    def promote(self, job: Job, outcome: dict[str, Any]) -> bool:
        """Queue a succeeded job again, so that its outcome is published. Raise StoreUnavailable."""
        return bool(self._run("promote", job.tenant, job.job, [_dump(outcome), RESEND_MS]))

    def delete(self, tenant: str, job: str) -> None:
        """Delete an ended job. Raise JobUnknown, JobActive or StoreUnavailable."""
        keys, args = (*self._keys(tenant, job), self._index(tenant)), [_member(tenant, job), job]
        with redis_errors(outcome="unknown"):
            answer = self._scripts.run("delete", keys, args)
            if answer == 1:
                self.cleared(tenant, job)
        if answer == 0:
            raise JobUnknown(f"no job {job!r}")
        if answer == 2:  # as the script says
            raise JobActive(f"the job {job!r} has not ended: cancel it, and delete it when it has")

    def orphans(self) -> Iterator[Job]:
        """Yield the jobs without a live lease, each to one caller in two seconds. Raise StoreUnavailable."""
        with redis_errors():
            due = self._scripts.run("due", [self._active], [DUE_AT_ONCE])
        for member in due:
            tenant, job = text(member).split("/", 1)
            if self._run("requeue", tenant, job, [RESEND_MS]):
                yield self.get(tenant, job)

    def ended(self) -> Iterator[Job]:
        """Yield the ended jobs whose blobs are to be deleted, without those of `keep`. Raise StoreUnavailable."""
        with redis_errors():
            for members in (self._retained, self._kept[0]):
                self._scripts.run("lapse", [members, self._ended], [_ms(self._retained_s), DUE_AT_ONCE])
            found = self._client.srandmember(self._ended, DUE_AT_ONCE)
        for member in found if isinstance(found, list) else ():
            tenant, job = text(member).split("/", 1)
            try:
                yield self.get(tenant, job)
            except JobUnknown:
                self.cleared(tenant, job)

    def keep(self, job: Job, state_bytes: int) -> bool:
        """Keep the last checkpoint of a succeeded job for some time; False if it is to be deleted now.

        Raise StoreUnavailable.
        """
        if not 0 < state_bytes <= self._state_bytes:
            return False
        args: list[str | int] = [_member(job.tenant, job.job), state_bytes, self._state_bytes]
        with redis_errors():
            return bool(self._scripts.run("keep", self._kept, args))

    def cleared(self, tenant: str, job: str) -> None:
        """Record that the blobs of an ended job are deleted. Raise StoreUnavailable."""
        with redis_errors():
            self._scripts.run("uncount", self._kept, [_member(tenant, job)])

    def _records(self, tenant: str, after: str, at_once: int) -> Iterator[tuple[str, Mapping[Any, Any]]]:
        """Yield the names behind a cursor, the newest first, with their records; that of an expired job is empty."""
        created, _, last = after.partition("~")
        at_s = float(created or "inf")
        while True:
            with self._client.pipeline(transaction=False) as pipe:
                pipe.zrangebyscore(self._index(tenant), at_s, at_s)
                pipe.zrevrangebyscore(self._index(tenant), f"({at_s!r}", "-inf", 0, at_once, withscores=True)
                same, older = pipe.execute()
            names = [name for name in map(text, reversed(same)) if name < last]
            names += [text(name) for name, _ in older]
            with self._client.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.hgetall(self._record(tenant, name))
                records = pipe.execute()
            yield from zip(names, records, strict=True)
            if not older:
                return
            last, at_s = names[-1], older[-1][1]

    def _forget(self, tenant: str, jobs: Sequence[str]) -> None:
        """Remove jobs without a record from the tenant's index."""
        if jobs:
            keys = [self._index(tenant), *(self._record(tenant, job) for job in jobs)]
            self._scripts.run("forget", keys, jobs)

    def _held(self, script: str, lease: Lease, args: Sequence[str | int | bytes]) -> Any:
        """Run a script that only the newest attempt may run."""
        answer = self._run(f"attempt/{script}", lease.tenant, lease.job, [lease.attempt, *args])
        if answer == -1:
            raise Superseded(f"attempt {lease.attempt} of job {lease.job} is no longer the newest")
        return answer

    def _run(self, script: str, tenant: str, job: str, args: Sequence[str | int | bytes]) -> Any:
        with redis_errors(outcome="unknown"):
            return self._scripts.run(script, self._keys(tenant, job), [_member(tenant, job), *args])

    def _keys(self, tenant: str, job: str) -> tuple[str, ...]:
        record = self._record(tenant, job)
        of_all = self._active, self._ended, events_key(record), self._retained, self._outcomes
        return record, history_key(record), *of_all, epochs_key(record), result_key(record)

    def _record(self, tenant: str, job: str) -> str:
        return f"{self._tag}:{_member(tenant, job)}"

    def _index(self, tenant: str) -> str:
        return f"{self._tag}:{self._index_name}:{tenant}"

    @property
    def _active(self) -> str:
        return f"{self._tag}:active"

    @property
    def _ended(self) -> str:
        return f"{self._tag}:ended"

    @property
    def _kept(self) -> tuple[str, str, str]:
        """The keys of keep.lua and uncount.lua."""
        return f"{self._tag}:kept", f"{self._tag}:kept_bytes", self._ended

    @property
    def _retained(self) -> str:
        return f"{self._tag}:retained"


def _member(tenant: str, job: str) -> str:
    return f"{tenant}/{job}"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _dump(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
