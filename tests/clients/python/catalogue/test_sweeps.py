"""Sweeps: trials that a client adds, on arrays and on a dataset, from a thread and from asyncio."""

import math
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from cellar_client import AsyncClient, Client, TrialFailed
from cellar_client.errors import InvalidInput, SweepNotOpen, SweepUnknown

WAVE = [math.sin(step / 3) for step in range(40)]

NETWORK = {
    "in_size": 1,
    "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 2}, {"type": "dense", "out_size": 1}],
}


@pytest.fixture(scope="module")
def training(service_url: str) -> Iterator[Client]:
    """Yield a client of a service that has the model `swept`."""
    with Client(service_url, give_up_s=20) as client:
        client.models.create("swept", NETWORK)
        yield client


def test_trials_are_added_followed_and_cancelled_and_the_best_is_published(training: Client) -> None:
    sweep = training.sweep("swept", WAVE[:-1], WAVE[1:], alias="told", validation=0.2, epochs=3, publish="always")
    good = sweep.add_trial({"optimiser.learning_rate": 0.05}, key="first")
    assert sweep.add_trial({"optimiser.learning_rate": 0.05}, key="first").number == good.number == 1
    epochs = list(good.epochs())
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3]
    value = good.wait()
    assert value is not None
    assert value == min(epoch["validation_loss"] for epoch in epochs), "the best epoch is published"
    with pytest.raises(InvalidInput, match="cannot be"):
        sweep.add_trial({"batch_size": 0})
    long = sweep.add_trial({"epochs": 100_000})
    next(long.epochs())
    long.cancel()
    with pytest.raises(TrialFailed, match="cancelled"):
        long.wait()
    sweep.finish()
    with pytest.raises(SweepNotOpen):
        sweep.add_trial({"seed": 1})
    assert sweep.wait() == training.models.get("swept@told")["model"] != "swept@1"
    assert sweep.best == sweep.trial(1).document
    with pytest.raises(SweepUnknown):
        sweep.trial(3)


@pytest.mark.anyio
async def test_a_sweep_on_a_dataset_is_awaited(service_url: str, tmp_path: Path) -> None:
    file = tmp_path / "wave.csv"
    file.write_text("\n".join(["temp", *(f"{value:.3f}" for value in WAVE * 4)]) + "\n")
    async with AsyncClient(service_url, give_up_s=20) as client:
        await client.datasets.add("swept-waves", file)
        sweep = await client.sweep_dataset(
            "swept-temp",
            "swept-waves",
            targets=["temp"],
            objective="skill",
            max_parallel=1,
            epochs=1,
            window=8,
            publish="always",
        )
        trials = [await sweep.add_trial({"data.horizon": horizon, "data.hidden_size": 2}) for horizon in (1, 2)]
        assert [trial.state for trial in trials] == ["running", "waiting"]
        with anyio.fail_after(60):
            assert [epoch["epoch"] async for epoch in trials[1].epochs()] == [1]
            values = [await trial.wait() for trial in trials]
        await sweep.finish()
        assert await sweep.wait() == "swept-temp@1"
        assert sweep.document["best"]
        assert sweep.document["best"]["value"] == max(value for value in values if value is not None)
