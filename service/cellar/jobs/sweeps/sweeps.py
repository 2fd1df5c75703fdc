"""Makes sweeps, carries them on, and ends them, in the api processes.

The record of a sweep is changed by compare-and-set, and each action that a change records can be repeated: trials are
submitted under keys that their place determines. So any process continues a sweep that another one has left.
"""

import hashlib
import logging
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from cellar.errors import (
    CellarError,
    FingerprintMismatch,
    JobActive,
    JobUnknown,
    Overloaded,
    QuotaExceeded,
    StoreUnavailable,
    SweepActive,
    SweepNotOpen,
    SweepUnknown,
)
from cellar.jobs.options import publish_of
from cellar.jobs.submission.submission import Jobs
from cellar.jobs.sweeps.contention import overtaken, tries
from cellar.jobs.sweeps.plan import (
    EXTERNAL,
    OPEN,
    best,
    cancelling,
    changed,
    check_open,
    events_of_change,
    next_rung,
    objective_of,
    value_of,
)
from cellar.jobs.verdict import refusal_of
from cellar.jobs.warnings import evaluation_of
from cellar.models.registry import Registry
from cellar.ports import BlobStore, Clock, Job, Sweep, SweepStore, Trial
from cellar.ports.failure_log import FailureLog

logger = logging.getLogger(__name__)

DATASET_BYTES = "dataset_bytes"
"""The member of the spec of a sweep with the bytes of its data, which earlier versions have not stored."""


class TrialJobs(Protocol):
    """Makes the jobs of trials."""

    def submit(self, sweep: Sweep, trial: Trial) -> Job:
        """Submit the job of a trial; a repetition returns the same job. Raise a CellarError."""

    def check(self, sweep: Sweep, trial: Trial) -> None:
        """Raise InvalidInput for a trial that cannot be."""


@dataclass(frozen=True, slots=True)
class SweepSubmission:
    """A sweep, and whether the same request had made it before."""

    sweep: Sweep
    replayed: bool


class Sweeps:
    """The sweeps of all tenants. Synchronous and safe to call from several threads."""

    def __init__(
        self, store: SweepStore, jobs: Jobs, blobs: BlobStore, registry: Registry, trials: TrialJobs, clock: Clock
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._blobs = blobs
        self._registry = registry
        self._trials = trials
        self._clock = clock
        self._failures = FailureLog(logger, "sweeps can be carried on again")

    def create(
        self,
        tenant: str,
        spec: dict[str, Any],
        trials: tuple[Trial, ...],
        pack: Callable[[str], bytes | None],
        key: str | None = None,
    ) -> SweepSubmission:
        """Store a sweep with its first trials, and submit their jobs.

        `pack` packs the data of the jobs under the name of the sweep, or pins their dataset and returns None. A second
        call with the same `key` returns the sweep of the first. Raise FingerprintMismatch if the first was another
        request, what `pack` raises, QuotaExceeded, Overloaded or StoreUnavailable.
        """
        name = uuid.uuid4().hex if key is None else hashlib.sha256(f"{tenant}\nsweep\n{key}".encode()).hexdigest()[:32]
        packed = pack(name)
        if packed is not None:
            spec = spec | {"blob": hashlib.sha256(packed).hexdigest(), DATASET_BYTES: len(packed)}
        sweep = Sweep(tenant, name, spec, self._clock.now_s(), trials=trials)
        if key is not None:
            with suppress(SweepUnknown):
                return self._made(sweep)
        if packed is not None:
            if self._jobs.quota is not None:
                self._jobs.quota.admit_dataset(tenant, len(packed))
            self._blobs.put(packed)
        if not self._store.write(sweep, [("state", {"state": "running", "trials": len(trials)})]):
            return self._made(sweep)
        with suppress(CellarError):  # the next step begins its jobs
            self.carry_on(tenant, name)
        return SweepSubmission(self.get(tenant, name), replayed=False)

    def _made(self, sweep: Sweep) -> SweepSubmission:
        """Return the sweep that there is. Raise SweepUnknown, or FingerprintMismatch if it is not the same."""
        found = self.get(sweep.tenant, sweep.sweep)
        asked = sweep.spec | {"job": sweep.spec["job"] | {"model": found.spec["job"]["model"]}}
        asked = {name: value for name, value in asked.items() if name != DATASET_BYTES or name in found.spec}
        if found.spec != asked:
            raise FingerprintMismatch("this Idempotency-Key was used for another sweep")
        return SweepSubmission(found, replayed=True)

    def add_trial(
        self, tenant: str, sweep: str, parameters: Mapping[str, Any], key: str | None = None
    ) -> tuple[Trial, bool]:
        """Add a trial of a client; return it, and whether the same key has added it before.

        Raise SweepUnknown, SweepNotOpen, FingerprintMismatch, InvalidInput after MOST_TRIALS, or StoreUnavailable.
        """
        for tried in tries():
            found = self.get(tenant, sweep)
            for trial in found.trials:
                if key is not None and trial.key == key:
                    if trial.parameters != parameters:
                        raise FingerprintMismatch("this Idempotency-Key was used for another trial")
                    return trial, True
            check_open(found)
            added = Trial(len(found.trials) + 1, dict(parameters), key=key)
            if tried == 0:  # this takes long: the sweep is read again after it
                self._trials.check(found, added)
            elif self._store.write(replace(found, trials=(*found.trials, added))):
                with suppress(CellarError):  # the next step begins its job
                    self.carry_on(tenant, sweep)
                return self.get(tenant, sweep).trials[added.number - 1], False
        raise overtaken(sweep)

    def finish(self, tenant: str, sweep: str) -> Sweep:
        """End a sweep of a client when its trials have ended. Raise SweepUnknown or SweepNotOpen."""

        def finishing(found: Sweep) -> Sweep:
            """Return the sweep without further trials."""
            if found.spec["search"]["type"] != EXTERNAL:
                raise SweepNotOpen(f"the sweep {sweep!r} chooses its trials itself, and ends by itself")
            return replace(found, finishing=found.finishing or found.state == "running")

        return self._changed(tenant, sweep, finishing)

    def _changed(self, tenant: str, sweep: str, change: Callable[[Sweep], Sweep]) -> Sweep:
        """Store what `change` makes of a sweep, carry it on, and return it. Raise SweepUnknown or Overloaded."""
        for _ in tries():
            found = self.get(tenant, sweep)
            now = change(found)
            if now == found or self._store.write(now):
                break
        else:
            raise overtaken(sweep)
        with suppress(CellarError):  # the next step does it
            self.carry_on(tenant, sweep)
        return self.get(tenant, sweep)

    def get(self, tenant: str, sweep: str) -> Sweep:
        """Return a sweep. Raise SweepUnknown or StoreUnavailable."""
        return self._store.get(tenant, sweep)

    def list(self, tenant: str, limit: int, after: str = "") -> tuple[list[Sweep], str]:
        """Return a page of sweeps, the newest first, and the cursor that continues. Raise StoreUnavailable."""
        return self._store.list(tenant, limit, after)

    def cancel(self, tenant: str, sweep: str) -> Sweep:
        """Ask a sweep to end, with its jobs; one that has ended stays as it is. Raise SweepUnknown."""
        return self._changed(tenant, sweep, cancelling)

    def delete(self, tenant: str, sweep: str) -> None:
        """Delete an ended sweep with its jobs. Raise SweepUnknown, SweepActive or StoreUnavailable."""
        found = self.get(tenant, sweep)
        if found.state == "running":
            raise SweepActive(f"the sweep {sweep!r} has not ended: cancel it, and delete it when it has")
        for trial in found.trials:
            if trial.job is not None:
                with suppress(JobUnknown, JobActive):
                    self._jobs.delete(tenant, trial.job)
        self._store.delete(tenant, sweep)

    # --- one step after the other

    def carry_on_all(self) -> None:
        """Carry on all sweeps that have not ended. Errors are logged: the next call tries again."""
        try:
            for tenant, sweep in self._store.active():
                self._try_to_carry_on(tenant, sweep)
            self._failures.worked()
        except StoreUnavailable as error:
            self._failures.failed(f"sweeps cannot be carried on now: {error}")

    def _try_to_carry_on(self, tenant: str, sweep: str) -> None:
        """Carry on a sweep, and log a fault, so that others continue. Raise StoreUnavailable."""
        try:
            self.carry_on(tenant, sweep)
        except StoreUnavailable:
            raise
        except Exception:
            logger.exception("the sweep %s of tenant %s cannot be carried on", sweep, tenant)

    def carry_on(self, tenant: str, name: str) -> None:
        """Note which trials have ended, and begin the next ones, or end the sweep. Raise SweepUnknown."""
        sweep = self.get(tenant, name)
        if sweep.state != "running":
            return
        now = self._read(sweep)
        if now.cancelling:
            now = self._cancelled(now)
        elif now.publishing is not None:
            now = self._published(now)
        else:
            now = self._begun(now)
        if now != sweep and not self._store.write(now, events_of_change(sweep, now)):
            return  # another process has carried it on
        self._tidy(now)

    def _read(self, sweep: Sweep) -> Sweep:
        """Return the sweep with the present states of its trials' jobs."""
        for trial in sweep.trials:
            if trial.state != "running" or trial.job is None:
                continue
            try:
                job = self._jobs.get(sweep.tenant, trial.job)
            except JobUnknown:
                lost = {"state": "failed", "error": "its job was deleted"}
                sweep = replace(sweep, trials=changed(sweep.trials, trial, **lost))
                continue
            if job.state not in ("queued", "running"):
                evaluation = evaluation_of(job) if job.state == "succeeded" else None
                value = None if evaluation is None else value_of(evaluation, objective_of(sweep))
                ended = {"state": job.state, "value": value, "error": job.error}
                sweep = replace(sweep, trials=changed(sweep.trials, trial, **ended))
        return sweep

    def _begun(self, sweep: Sweep) -> Sweep:
        """Submit waiting trials, those of the next rung when the last has ended, or begin the end of the sweep."""
        if not any(trial.state in OPEN for trial in sweep.trials):
            more = next_rung(sweep.spec["search"], sweep.trials, sweep.spec["epochs"], objective_of(sweep))
            if not more:
                is_open = sweep.spec["search"]["type"] == EXTERNAL and not sweep.finishing
                return sweep if is_open else self._chosen(sweep)
            sweep = replace(sweep, trials=(*sweep.trials, *more))
        free = sweep.spec["max_parallel"] - sum(trial.state == "running" for trial in sweep.trials)
        for trial in [trial for trial in sweep.trials if trial.state == "waiting"][: max(0, free)]:
            try:
                job = self._trials.submit(sweep, trial)
            except (QuotaExceeded, Overloaded, StoreUnavailable) as error:
                logger.info("sweep %s waits: %s", sweep.sweep, error)
                break
            except CellarError as error:
                members: dict[str, Any] = {"state": "failed", "error": error.detail}
            else:
                members = {"state": "running", "job": job.job}
            sweep = replace(sweep, trials=changed(sweep.trials, trial, **members))
        return sweep

    def _chosen(self, sweep: Sweep) -> Sweep:
        """Return the sweep at its end, or while the best result is published."""
        found = best(sweep.trials, objective_of(sweep))
        if found is None or found.job is None:
            reasons = {trial.error for trial in sweep.trials if trial.error}
            reason = min(reasons, default="none has a finite value" if sweep.trials else "there was none")
            return self._ended(sweep, "failed", error=f"no trial has succeeded: {reason}")
        if sweep.spec["publish"] is None:
            return self._ended(sweep, "succeeded")
        try:
            job = self._jobs.get(sweep.tenant, found.job)
        except JobUnknown:
            return self._ended(sweep, "failed", error="the job of the best trial was deleted")
        evaluation = evaluation_of(job)
        if publish_of(job) == "if_better" and evaluation is not None:
            refusal = refusal_of(job, evaluation)
            error = f"no trial has made the model better than it was: the best one is {found.number}"
            if refusal is not None and not evaluation.worse:
                error = f"the result of the best trial, {found.number}, is {refusal}"
            if refusal is not None or evaluation.worse:
                return self._ended(sweep, "failed", error=error)
        self._jobs.publish_result(job)
        return replace(sweep, publishing=job.job)

    def _published(self, sweep: Sweep) -> Sweep:
        """Return the sweep at its end once its best job has published its weights."""
        assert sweep.publishing is not None
        try:
            job = self._jobs.get(sweep.tenant, sweep.publishing)
        except JobUnknown:
            return self._ended(sweep, "failed", error="the job of the best trial was deleted")
        if job.state in ("queued", "running"):
            return sweep
        if job.result is None:
            return self._ended(sweep, "failed", error=job.error or "the best result was not published")
        alias = sweep.spec["publish"].get("alias")
        if alias is not None:
            try:
                name, _, version = job.result.partition("@")
                self._registry.move_alias(sweep.tenant, name, alias, int(version))
            except StoreUnavailable:
                raise
            except CellarError as error:
                failed = f"the alias was not moved: {error.detail}"
                return replace(self._ended(sweep, "failed", error=failed), result=job.result)
        return replace(self._ended(sweep, "succeeded"), result=job.result)

    def _cancelled(self, sweep: Sweep) -> Sweep:
        """Cancel the jobs of a sweep; return it at its end once they have ended."""
        for trial in sweep.trials:
            if trial.state == "running" and trial.job is not None:
                with suppress(JobUnknown):
                    self._jobs.cancel(sweep.tenant, trial.job)
            elif trial.state == "waiting":
                sweep = replace(sweep, trials=changed(sweep.trials, trial, state="cancelled"))
        sweep = self._read(sweep)
        is_open = any(trial.state in OPEN for trial in sweep.trials)
        return sweep if is_open else self._ended(sweep, "cancelled")

    def _ended(self, sweep: Sweep, state: Any, *, error: str | None = None) -> Sweep:
        return replace(sweep, state=state, error=error, ended_s=self._clock.now_s())

    def _tidy(self, sweep: Sweep) -> None:
        """Delete what an ended sweep no longer needs: its data, and weights that were not published."""
        if sweep.state == "running":
            return
        for trial in sweep.trials:
            if trial.job is not None:
                with suppress(JobUnknown):
                    outcome = self._jobs.get(sweep.tenant, trial.job).outcome
                    if outcome is not None:
                        self._registry.forget_weights(outcome["weights"])
        if "blob" in sweep.spec:
            self._blobs.delete(sweep.spec["blob"])
