"""Jobs on datasets, from a file to a published version that answers in raw units."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellar.errors import DatasetInUse, DatasetUnknown, FingerprintMismatch, InvalidInput, ModelUnknown
from cellar.jobs.attempt.work import work_of
from cellar.jobs.options import JobOptions
from cellar.jobs.recipe.request import ForecastData
from cellar.jobs.verdict import refusal_of
from cellar.jobs.warnings import evaluation_of, warnings_of
from cellar.nn.model.layers.forecast import ForecastSpec
from cellar.nn.training.data.alignment import objective_of
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.update.window_memory import WINDOW_BYTES, WindowMemory
from cellar.ports import Job
from tests.datasets.files import build
from tests.jobs.attempt.test_runner import KilledError, interrupted, kill
from tests.jobs.conftest import Workshop

DATA = ForecastData.model_validate({"dataset": "readings", "targets": ["temp"], "horizon": 6})
DAYS = 25


def readings(*, missing: bool = True, noise: bool = False) -> str:
    """Return hourly readings as CSV: a wave of a day on a slow one, with a reading that is missing."""
    random, lines = np.random.default_rng(4), ["at,temp,volts"]
    for hour in range(DAYS * 24):
        value = 15 + 5 * math.sin(hour * math.pi / 12) + 3 * math.sin(hour / 60) + random.normal(0, 0.2)
        value = random.normal() if noise else value
        cell = "" if missing and hour % 97 == 5 else f"{value:.3f}"
        lines.append(f"2026-01-{1 + hour // 24:02}T{hour % 24:02}:00:00Z,{cell},{random.normal():.3f}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def shop(workshop: Workshop, tmp_path: Path) -> Workshop:
    """Return a workshop with the dataset `readings`."""
    add(workshop, tmp_path, "readings", readings())
    return workshop


def add(workshop: Workshop, directory: Path, name: str, text: str) -> None:
    """Add a dataset."""
    built = build(directory / name, text)
    with built.file:
        workshop.datasets.add("default", name, built, "text/csv")


def submit(shop: Workshop, model: str = "temp", data: ForecastData = DATA, **fields: object) -> Job:
    """Submit a job as the api does."""
    publish = fields.pop("publish", "if_better")
    key = fields.pop("key", None)
    training = TrainingSpec.model_validate(fields)
    return shop.jobs.submit_forecast("default", model, data, training, publish=publish, key=key).job  # type: ignore[arg-type]  # they were taken from fields


def test_a_new_model_is_trained_and_published_with_readings_and_forecast(shop: Workshop) -> None:
    job = submit(shop)
    assert job.spec["updates_total"] >= 600
    assert all(each["why"] for each in job.spec["plan"]["chosen"])
    with pytest.raises(DatasetInUse):
        shop.datasets.delete("default", "readings")
    job = shop.run(job)
    assert (job.state, job.result, job.error) == ("succeeded", "temp@1", None)
    found = evaluation_of(job)
    assert found is not None
    assert found.better_by is not None
    assert min(found.better_by.values()) > 0
    assert warnings_of(job) == []
    network = shop.registry.network(shop.registry.get("default", "temp"))
    forecast = network.spec.layers[-1]
    assert isinstance(forecast, ForecastSpec)
    assert forecast.residuals is not None
    assert network.readings is not None
    assert network.readings.layout.names == ("temp", "volts")
    shop.datasets.delete("default", "readings")


def test_the_same_weights_also_when_it_was_killed(shop: Workshop) -> None:
    weights = []
    for number, kills in enumerate(([], [40, 11])):
        job = submit(shop, f"m{number}", epochs=12, publish="always")
        for updates in kills:
            with pytest.raises(KilledError):
                shop.run(job, interrupted(updates, kill))
            shop.lapse(job)
        assert shop.run(job).state == "succeeded"
        weights.append(shop.registry.get("default", f"m{number}").digest)
    assert weights[0] == weights[1]


def test_a_limit_of_memory_divides_windows_and_changes_no_bit(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = submit(shop, "whole", epochs=2, publish="always")
    monkeypatch.setattr("cellar.jobs.submission.forecast_submission.LEAST_WINDOW_BYTES", 4096)  # the windows are small
    options = JobOptions(max_memory_bytes=whole.spec["memory_bytes"] - WINDOW_BYTES + 8192)
    training = TrainingSpec(epochs=2)
    divided = shop.jobs.submit_forecast("default", "divided", DATA, training, publish="always", options=options).job
    assert divided.spec["memory_bytes"] <= options.max_memory_bytes < whole.spec["memory_bytes"]
    work = work_of(divided, shop.registry, shop.room.blobs, shop.datasets)
    objective = objective_of(work.network.network.out_size, work.data, work.spec)
    steps, rows = len(work.data.inputs), min(work.spec.batch_size, work.data.inputs.shape[1])
    lengths = [
        WindowMemory(work.network.network, objective, most).length(steps, rows, None)
        for most in (WINDOW_BYTES, divided.spec["window_bytes"])
    ]
    assert lengths[1] < lengths[0] == steps, "it is divided"
    assert [shop.run(job).result for job in (whole, divided)] == ["whole@1", "divided@1"]
    first, second = (shop.registry.get("default", name).digest for name in ("whole", "divided"))
    assert first == second


def test_a_model_that_is_no_better_is_published_only_when_asked(workshop: Workshop, tmp_path: Path) -> None:
    add(workshop, tmp_path, "readings", readings(noise=True))
    refused = workshop.run(submit(workshop, epochs=1))
    assert refused.state == "failed"
    assert refused.error is not None
    assert "no better than" in refused.error
    assert '"publish": "always"' in refused.error
    with pytest.raises(ModelUnknown):
        workshop.registry.get("default", "temp")
    published = workshop.run(submit(workshop, epochs=1, publish="always"))
    assert published.result == "temp@1"
    assert any("is as good a forecast" in warning for warning in warnings_of(published))


def test_a_second_job_goes_on_with_the_model(shop: Workshop) -> None:
    assert shop.run(submit(shop, epochs=3, publish="always")).result == "temp@1"
    job = submit(shop, epochs=2, publish="always")
    assert job.spec["model"] == "temp@1"
    assert shop.run(job).result == "temp@2"
    version = shop.registry.get("default", "temp@2")
    assert version.parent == "temp@1"
    for member, value in (
        ("forecasts other horizon", 5),
        ("reads other inputs", ("rain",)),
        ("reads other times", True),
    ):
        with pytest.raises(InvalidInput, match=member):
            submit(shop, data=DATA.model_copy(update={member.split()[-1]: value}))
    with pytest.raises(InvalidInput, match="reads no columns of a table"):
        submit(shop, "walk")


def test_a_request_with_the_same_key_is_the_same_job(shop: Workshop) -> None:
    first = submit(shop, key="k", epochs=2, publish="always")
    assert shop.run(first).result == "temp@1"
    assert submit(shop, key="k", epochs=2, publish="always").job == first.job
    with pytest.raises(FingerprintMismatch):
        submit(shop, key="k", epochs=3, publish="always")


def test_unknown_datasets_versions_and_windows_longer_than_the_data_are_refused(shop: Workshop) -> None:
    with pytest.raises(DatasetUnknown):
        submit(shop, data=DATA.model_copy(update={"dataset": "others"}))
    with pytest.raises(ModelUnknown):
        submit(shop, "temp@3")
    with pytest.raises(InvalidInput) as raised:
        submit(shop, window=5000)
    assert raised.value.pointer == "/window"
    with pytest.raises(InvalidInput) as raised:
        submit(shop, state="carry")
    assert raised.value.pointer == "/state"
    assert shop.room.store.list("default", 10, None, "")[0] == []


def test_layers_of_the_request_take_the_place_of_those_of_the_recipe(shop: Workshop) -> None:
    training = TrainingSpec.model_validate({"epochs": 2})
    layers = [{"type": "recurrent", "cell": "gru", "hidden_size": 4}]
    job = shop.jobs.submit_forecast("default", "own", DATA, training, layers=layers, publish="always").job
    assert shop.run(job).result == "own@1"
    network = shop.registry.network(shop.registry.get("default", "own")).spec
    assert [layer.type for layer in network.layers] == ["readings", "recurrent", "dense", "forecast"]


def test_a_dataset_that_was_replaced_is_not_trained_on(shop: Workshop, tmp_path: Path) -> None:
    job = submit(shop)
    shop.room.store.cancel("default", job.job)
    shop.datasets.delete("default", "readings")
    add(shop, tmp_path, "readings", readings(missing=False))
    retried = shop.jobs.retry("default", job.job)
    failed = shop.run(retried)
    assert failed.state == "failed"
    assert failed.error is not None
    assert "another one has its name now" in failed.error


def test_an_evaluation_of_a_job_on_arrays_is_refused_for_its_version_alone(shop: Workshop) -> None:
    job = shop.run(shop.submit())
    found = evaluation_of(job)
    assert found is not None
    assert refusal_of(job, found) is None


def test_fields_may_be_null(shop: Workshop) -> None:
    nothing: dict[str, Any] = {name: None for name, each in TrainingSpec.model_fields.items() if each.default is None}
    assert "target_weights" in nothing
    assert submit(shop, **nothing).state == "queued"
