"""A combination as a training job: the request as JSON, a real store, and the function that a worker's child runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import redis
from numpy.typing import NDArray

from cellar.api.schemas.catalogue.jobs import JobRequest
from cellar.engine import KernelCache
from cellar.errors import CellarError
from cellar.jobs.attempt import runner
from cellar.jobs.queue import JobQueue
from cellar.jobs.submission.submission import Jobs
from cellar.models.registry import Registry
from cellar.nn.model.spec import NetworkSpec
from cellar.store.catalogue.blobs.redis import RedisBlobs
from cellar.store.catalogue.jobs import RedisJobs
from cellar.store.catalogue.models import RedisModels
from tests.matrix.cases import SEED, Array, Spec

TENANT, MODEL = "default", "m"


class Clock:
    """A clock that stands still."""

    def now_s(self) -> float:
        """Return the time."""
        return 1_700_000_000.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job: the loss of each epoch and the weights by name, or why there are none."""

    losses: NDArray[np.float64]
    weights: dict[str, NDArray[np.float32]]
    error: str | None = None
    refused: bool = False
    """The request was refused, and nothing begun."""


class AnyCase(Protocol):
    """A combination, or a setting of `tests.matrix.settings`."""

    @property
    def layout(self) -> str:
        """The axes of the data."""

    def network(self) -> Spec:
        """Return the specification of the network."""

    def training(self) -> Spec:
        """Return the settings of the run."""

    def data(self) -> tuple[Array, Array]:
        """Return inputs and targets, (T, B, F) each."""

    def data_members(self) -> Spec:
        """Return further members of the data of the request."""


class Rig:
    """Everything that a job stands on, with one model for each network."""

    def __init__(self, client: redis.Redis, prefix: str, kernels: Path | None) -> None:
        self._jobs = RedisJobs(client, prefix)
        self._blobs = RedisBlobs(client, prefix)
        self._registry = Registry(RedisModels(client, prefix), self._blobs, KernelCache(kernels), Clock())
        self._job_queue = JobQueue(client, f"{prefix}.jobs")
        self._made: dict[str, str] = {}

    def initial(self, case: AnyCase) -> dict[str, NDArray[np.float32]]:
        """Return the weights that the training of a combination begins with."""
        return self._registry.weights(self._registry.get(TENANT, f"{self._model(case)}@1"))

    def run(self, case: AnyCase) -> Outcome:
        """Submit the job as the api does, carry it out, and return what became of it."""
        jobs = Jobs(self._jobs, self._blobs, self._registry, self._job_queue, Clock())
        try:
            asked = JobRequest.model_validate(self._request(case))
            job = jobs.submit(TENANT, asked.model, asked.arrays.dataset(), asked.training(), publish=asked.publish).job
        except CellarError as error:
            return Outcome(np.zeros(0), {}, f"{getattr(error, 'pointer', None)}: {error.detail}", refused=True)
        runner.run(TENANT, job.job, jobs=self._jobs, blobs=self._blobs, prepare=lambda: self._registry, lease_s=60.0)
        ended = jobs.get(TENANT, job.job)
        losses = np.array([record["loss"] for record in jobs.history(TENANT, job.job)])
        if ended.state != "succeeded" or ended.result is None:
            return Outcome(losses, {}, ended.error or ended.state)
        return Outcome(losses, self._registry.weights(self._registry.get(TENANT, ended.result)))

    def _request(self, case: AnyCase) -> dict[str, Any]:
        inputs, targets = (laid_out(array, case.layout) for array in case.data())
        data = {"layout": case.layout, "inputs": inputs.tolist(), "targets": targets.tolist(), **case.data_members()}
        return {"model": f"{self._model(case)}@1", "data": data, "publish": "always", **case.training()}

    def _model(self, case: AnyCase) -> str:
        """Return the name of a combination's model, made on first use."""
        spec = case.network()
        key = repr(spec)
        if key not in self._made:
            self._made[key] = f"{MODEL}{len(self._made)}"
            self._registry.create(TENANT, self._made[key], NetworkSpec.model_validate(spec), SEED)
        return self._made[key]


def laid_out(array: Array, layout: str) -> Array:
    """Return (T, B, F) in a layout."""
    return array.transpose(["TBF".index(axis) for axis in layout])
