"""The work of an attempt: a version that is trained on arrays, or a plan that is trained on a dataset."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from cellar.engine import Floats
from cellar.errors import BlobUnknown, DatasetUnknown
from cellar.jobs.options import training_spec
from cellar.jobs.recipe.planning.plan import read_plan
from cellar.jobs.recipe.run import ForecastRun
from cellar.jobs.submission.dataset import unpack_dataset
from cellar.jobs.submission.forecast_submission import PLAN
from cellar.jobs.submission.resumption import begin_of
from cellar.models.registry import Registry
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from cellar.nn.training.checkpoints.progress import Evaluation
from cellar.nn.training.checkpoints.resumption import Begin, state_of
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import evaluate
from cellar.nn.training.update.weight_vector import named
from cellar.ports import BlobStore, Job
from cellar.ports.catalogue.datasets import StoredDataset
from cellar.table import Table

Weights = Mapping[str, Floats]


class Tables(Protocol):
    """Opens the tables of datasets."""

    def get(self, tenant: str, dataset: str) -> StoredDataset:
        """Return the record of a dataset. Raise DatasetUnknown."""

    def table(self, stored: StoredDataset) -> Table:
        """Return the table of a record. Raise DatasetUnknown."""


class Work(Protocol):
    """The network, the data and the settings of a run, and the publication of its result."""

    network: CompiledNetwork
    weights: Weights
    data: Dataset
    spec: TrainingSpec
    bound: dict[str, Any]
    """Further arguments of `fit`."""

    def evaluate(self, result: Weights) -> Evaluation:
        """Return the evaluation of a result."""

    def published(self, result: Weights) -> tuple[dict[str, Any] | None, Weights]:
        """Return the network to publish as JSON, None for that of the version, and its weights."""


class ArrayWork:
    """A version that is trained on the arrays of a request."""

    def __init__(self, job: Job, registry: Registry, blobs: BlobStore) -> None:
        version = registry.get(job.tenant, job.spec["model"])
        self.weights: Weights = registry.weights(version)
        try:
            self.data = unpack_dataset(blobs.get(job.spec["data"]["blob"]))
        except BlobUnknown as error:
            raise BlobUnknown("the dataset of the job is gone") from error
        self.network = registry.compile(registry.network(version))
        self.spec = training_spec(job)
        self.window = {name: job.spec[name] for name in ("window_bytes",) if name in job.spec}
        self.bound: dict[str, Any] = self.window | _begin(begin_of(job, blobs))

    def evaluate(self, result: Weights) -> Evaluation:
        """Return the losses of the result and of the version."""
        return evaluate(self.network, self.weights, result, self.data, self.spec, **self.window)

    def published(self, result: Weights) -> tuple[dict[str, Any] | None, Weights]:
        """Return the weights as they are, for the network of the version."""
        return None, result


class ForecastWork:
    """A plan that is trained on a dataset."""

    def __init__(self, job: Job, registry: Registry, blobs: BlobStore, tables: Tables) -> None:
        spec = job.spec
        stored = tables.get(job.tenant, spec["data"]["dataset"])
        if stored.digest != spec["data"]["digest"]:
            raise DatasetUnknown(f"the dataset {stored.dataset!r} was deleted, and another one has its name now")
        plan = read_plan(spec[PLAN], json.loads(training_spec(job).model_dump_json()))
        self._run = ForecastRun(plan, tables.table(stored), _compiler(registry))
        full = registry.weights(registry.get(job.tenant, spec["model"])) if "@" in spec["model"] else None
        self.network = self._run.trained
        self.spec = plan.trained_spec
        self.weights = self._run.weights(full, self.spec.seed)
        self.data = self._run.data
        begin = begin_of(job, blobs)
        window = {name: spec[name] for name in ("window_bytes",) if name in spec}
        self.bound: dict[str, Any] = window | _begin(begin)
        if full is None and begin is not None:
            self.weights = named(self.network.network, state_of(begin).result)

    def evaluate(self, result: Weights) -> Evaluation:
        """Return the errors of the result, of the weights at the begin, and of the naive forecasts."""
        return self._run.evaluate(self.weights, result)

    def published(self, result: Weights) -> tuple[dict[str, Any] | None, Weights]:
        """Return the network with readings and forecast, and all its weights."""
        spec, weights = self._run.published(result)
        document: dict[str, Any] = json.loads(spec.model_dump_json())
        return document, weights


def _begin(begin: Begin | None) -> dict[str, Any]:
    return {} if begin is None else {"begin": begin}


def _compiler(registry: Registry) -> Callable[[NetworkSpec], CompiledNetwork]:
    return lambda spec: registry.compile(Network(spec))


def work_of(job: Job, registry: Registry, blobs: BlobStore, tables: Tables | None) -> Work:
    """Return the work of a job. Raise ModelUnknown, BlobUnknown, DatasetUnknown or StoreUnavailable."""
    if PLAN not in job.spec:
        return ArrayWork(job, registry, blobs)
    assert tables is not None
    return ForecastWork(job, registry, blobs, tables)
