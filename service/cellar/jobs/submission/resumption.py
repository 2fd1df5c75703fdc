"""Jobs that continue other jobs, which have ended: with their weights and the state of their optimiser.

A job has a copy of that state, whose digest is part of its specification. So the other one may be deleted meanwhile,
and every attempt begins with the same state.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cellar.errors import BlobUnknown, JobActive, JobNotResumable, KernelRevisionMismatch, ModelUnknown, StoreCorrupt
from cellar.jobs.job_blobs import unwrap_checkpoint, wrap_checkpoint
from cellar.jobs.options import training_spec
from cellar.jobs.recipe.planning.plan import Plan, read_plan
from cellar.jobs.submission.forecast_submission import PLAN
from cellar.models.registry import Registry
from cellar.nn.model.network import Network
from cellar.nn.training.checkpoints.resumption import Begin, Ended, continued
from cellar.nn.training.spec import TrainingSpec
from cellar.ports import BlobStore, Job, JobStore, Lease

RESUME_FROM = "resume_from"
"""The member of a job's specification with the name of the job that it continues."""

BEGIN = "begin"
"""The member with the blob of the state with which it begins, and the epochs and batches before."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The state with which a job begins, as it is stored."""

    blob: bytes
    epochs: int
    updates: int

    def members(self, digest: str) -> dict[str, Any]:
        """Return the members of a job's specification."""
        return {BEGIN: {"blob": digest, "epochs": self.epochs, "updates": self.updates}}


class Resumption:
    """Reads the ends of jobs. Safe to call from several threads."""

    def __init__(self, store: JobStore, blobs: BlobStore, registry: Registry) -> None:
        self._store = store
        self._blobs = blobs
        self._registry = registry

    def network(self, tenant: str, name: str) -> Network | None:
        """Return the network of the plan of a job on a dataset, None for other jobs. Raise JobUnknown."""
        job = self._store.get(tenant, name)
        return None if PLAN not in job.spec else Network(_plan_of(job).network)

    def begin(self, tenant: str, name: str, by: str, network: Network, training: TrainingSpec | Plan) -> Stored:
        """Return the state with which the job `by` begins if it continues the job `name`, and trains this network.

        Raise JobUnknown, JobActive, JobNotResumable, InvalidInput if network or optimiser are others, or
        StoreUnavailable.
        """
        job = self._store.get(tenant, name)
        if job.state in ("queued", "running"):
            raise JobActive(f"the job {name!r} is {job.state}: it can be resumed from when it has ended")
        trained, spec = (network, training) if isinstance(training, TrainingSpec) else _trained(training)
        try:
            if job.checkpoint is None:
                raise BlobUnknown("no checkpoint")
            state = unwrap_checkpoint(self._blobs.get(job.checkpoint))
            begin = continued(self._ended(job, state, network), trained, spec)
        except (BlobUnknown, StoreCorrupt) as error:
            kept = "is no longer kept" if job.checkpoint else "was never stored: it has ended before its first update"
            raise JobNotResumable(
                f"the state of the job {name!r} {kept}. A job without resume_from begins with the weights of a version",
            ) from error
        except KernelRevisionMismatch as error:
            raise JobNotResumable(error.detail) from error
        blob = wrap_checkpoint(Lease(tenant, by, 0), begin.state)
        return Stored(blob, begin.epochs, begin.updates)

    def _ended(self, job: Job, state: bytes, wanted: Network) -> Ended:
        before = job.spec.get(BEGIN, {"epochs": 0, "updates": 0})
        if PLAN in job.spec:
            plan = _plan_of(job)
            network, spec = _trained(plan)
            if Network(plan.network).digest != wanted.digest:  # the scales of its readings are others
                network = Network(plan.network)
        else:
            network, spec = self._network(job), training_spec(job)
        return Ended(network, spec, state, before["epochs"], before["updates"], job.progress["updates"])

    def _network(self, job: Job) -> Network:
        """Return the network that a job has trained. Raise ModelUnknown if none of its versions is left."""
        try:
            version = self._registry.get(job.tenant, job.spec["model"])
        except ModelUnknown:
            if job.result is None:
                raise
            version = self._registry.get(job.tenant, job.result)
        return self._registry.network(version)


def begin_of(job: Job, blobs: BlobStore) -> Begin | None:
    """Return the state with which a job begins; None if it begins with the weights of a version."""
    found: Mapping[str, Any] | None = job.spec.get(BEGIN)
    if found is None:
        return None
    return Begin(unwrap_checkpoint(blobs.get(found["blob"])), found["epochs"], found["updates"])


def _plan_of(job: Job) -> Plan:
    return read_plan(job.spec[PLAN], json.loads(training_spec(job).model_dump_json()))


def _trained(plan: Plan) -> tuple[Network, TrainingSpec]:
    return Network(plan.trained_network), plan.trained_spec
