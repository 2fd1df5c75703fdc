"""Makes the specification of a job that trains on a dataset."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cellar.errors import InvalidInput, ModelUnknown
from cellar.jobs.recipe.planning.plan import Plan, make_plan, plan_again, window_bytes
from cellar.jobs.recipe.request import ForecastData
from cellar.models.registry import Registry
from cellar.nn.model.network import Network
from cellar.nn.training.memory import PROCESS_BYTES, WEIGHT_COPIES
from cellar.nn.training.shards.team import SHARDS
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import Extent
from cellar.nn.training.update.window_memory import LEAST_WINDOW_BYTES, WINDOW_BYTES
from cellar.ports import ModelVersion
from cellar.ports.catalogue.datasets import StoredDataset
from cellar.table import Table


class PinnedTables(Protocol):
    """Opens the tables of datasets, which cannot be deleted while a job needs them."""

    def pin(self, tenant: str, dataset: str, job: str) -> StoredDataset:
        """Return the record of a dataset, which cannot be deleted until the job has ended. Raise DatasetUnknown."""

    def table(self, stored: StoredDataset) -> Table:
        """Return the table of a record. Raise DatasetUnknown."""


NOT_FOR_DATASETS = ("state", "warmup")
"""Fields of a run that the recipe alone sets: it cuts windows itself."""

WINDOW_COPIES = 4
"""How often windows are in memory at most: as they are cut, aligned, and in a batch."""

PLAN = "plan"
"""The member of a job's specification with the plan."""


def asked_of(model: str, data: ForecastData, sent: Mapping[str, Any], layers: Any, publish: str) -> dict[str, Any]:
    """Return the parts of a request as JSON; two requests with the same key must agree in it."""
    document = {"model": model, "data": data.model_dump(mode="json"), "training": dict(sent), "publish": publish}
    found: dict[str, Any] = json.loads(json.dumps(document | ({} if layers is None else {"layers": layers})))
    return found


def sent_fields(training: TrainingSpec) -> dict[str, Any]:
    """Return the fields of a run that a request gave, as JSON. Raise InvalidInput for one that cannot be chosen."""
    # Documents do not have members that are null unless they have always been there.
    sent: dict[str, Any] = json.loads(training.model_dump_json(include=training.model_fields_set))
    for name in NOT_FOR_DATASETS:
        if name in sent:
            raise InvalidInput(
                "a job on a dataset cuts it into windows that begin with some steps that are not scored",
                pointer=f"/{name}",
                expected="nothing",
                actual=str(sent[name]),
            )
    return sent


def existing(registry: Registry, tenant: str, model: str) -> ModelVersion | None:
    """Return the version that a job continues, None for a new name. Raise ModelUnknown for a version or alias."""
    try:
        return registry.get(tenant, model)
    except ModelUnknown:
        if "@" in model:
            raise
        return None


def plan_of(
    network: Network | None,
    table: Table,
    data: ForecastData,
    sent: Mapping[str, Any],
    layers: Any,
) -> Plan:
    """Return the plan of a job, for a network that there is or for a new one.

    Raise InvalidInput, or what networks raise for the layers of the request.
    """
    _check_recipe(data, "the model has its layers" if network is not None else None, ("hidden_size", "cell", "lags"))
    _check_recipe(data, "the request has layers" if layers is not None else None, ("hidden_size", "cell"))
    if network is None:
        return make_plan(table, data, sent, layers)
    if layers is not None:
        raise InvalidInput(
            "the model has layers: those of a request make a new model",
            pointer="/layers",
            expected="nothing, or the name of a new model",
            actual="layers",
        )
    return plan_again(table, data, sent, network.spec)


def _check_recipe(data: ForecastData, reason: str | None, fields: Sequence[str]) -> None:
    """Raise InvalidInput for fields of the recipe's layers, if there is a reason for which it makes none."""
    for name in fields if reason is not None else ():
        if getattr(data, name):
            raise InvalidInput(
                f"{reason}: this is a field of those that the recipe makes for a new model",
                pointer=f"/data/{name}",
                expected="nothing",
                actual=str(getattr(data, name)),
            )


def memory_members(extent: Extent) -> dict[str, int]:
    """Return the members of a specification about memory."""
    found = {"memory_bytes": extent.memory_bytes}
    return found if extent.window_bytes == WINDOW_BYTES else found | {"window_bytes": extent.window_bytes}


def divided(others: int, most_bytes: int | None) -> int:
    """Return the most bytes of windows in a run that takes `others` besides: half of it as often as is needed."""
    bound = WINDOW_BYTES
    while most_bytes is not None and others + bound > most_bytes and bound > LEAST_WINDOW_BYTES:
        bound //= 2
    return bound


def specification(
    plan: Plan,
    model: str,
    asked: Mapping[str, Any],
    digest: str,
    most_bytes: int | None = None,
    processes: int | None = None,
) -> dict[str, Any]:
    """Return the specification of a job, whose windows are divided so that it takes at most `most_bytes`, if possible.

    The memory is that of all its processes. Raise InvalidInput if the network cannot be.
    """
    network = Network(plan.network)
    training = TrainingSpec.model_validate_json(json.dumps(plan.training))
    windows = window_bytes(plan.shape, len(plan.readings.features), plan.forecast.out_size)
    memory = PROCESS_BYTES + WEIGHT_COPIES * 4 * network.parameter_count
    memory += WINDOW_COPIES * 2 * plan.windows * windows
    count = processes or 1
    memory += 0 if processes is None else 4 * (SHARDS + 1) * network.parameter_count
    bound = divided(memory, None if most_bytes is None else most_bytes // count)
    return {
        "model": model,
        "data": {**asked.get("data", {}), "digest": digest},
        "publish": asked.get("publish"),
        "updates_total": plan.updates,
        "dataset_bytes": 0,
        **memory_members(Extent(plan.updates, count * (memory + bound), bound)),
        "asked": dict(asked),
        PLAN: plan.document(),
        **training.model_dump(mode="json"),
    }
