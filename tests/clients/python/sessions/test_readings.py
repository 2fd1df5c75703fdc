"""Readings by the names of columns, stepped by the blocking client."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellar_client import Client
from cellar_client import errors as client_errors
from tests.nn.readings.tables import fitted, network_of, weather

COLUMNS: list[dict[str, Any]] = [
    {"kind": "number", "name": "temp", "mask": True},
    {"kind": "time", "name": "at", "elapsed": True},
]

FORECAST: dict[str, Any] = {
    "type": "forecast",
    "targets": [{"name": "temp"}],
    "residuals": {"levels": [0.1, 0.9], "values": [-0.5, 0.5]},
}


def test_an_answer_has_the_scores_that_were_asked_for(client: Client) -> None:
    cell = {"type": "recurrent", "cell": {"equations": "h = 0.5 * h + 0.5 * x"}, "hidden_size": 1}
    client.models.create("scored", {"in_size": 1, "layers": [cell, FORECAST]})
    session = client.session(model="scored")
    assert session.step(3).score is None
    assert session.step(4, score=True).score.tolist() == [5]
    whole = client.session(model="scored").sequence(np.array([[3], [4]], np.float32), score=True)
    assert (np.isnan(whole.score).tolist(), whole.score[1].tolist()) == ([[True], [False]], [5])
    assert whole.output.tolist() == [[1.5], [2.75]]


def test_a_step_may_be_readings_by_name(client: Client, tmp_path: Path) -> None:
    network = network_of(fitted(COLUMNS, weather()), {"type": "dense", "out_size": 2}).document
    client.models.create("readings", network)
    session = client.session(model="readings", state=tmp_path / "state.json")
    at = datetime(2026, 1, 1, tzinfo=UTC)
    first = session.step({"temp": np.float32(20.5), "at": at})
    second = session.step({"temp": float("nan"), "at": at.replace(hour=1)})
    assert (first.step, second.step) == (1, 2)
    twin = client.session(model="readings")
    assert twin.step([20.5, 20454, 0]).output.tolist() == first.output.tolist()
    assert twin.step([None, 20454, 3600]).output.tolist() == second.output.tolist()
    whole = client.session(model="readings").sequence([{"temp": 20.5, "at": at}, {"at": at.replace(hour=1)}])
    assert whole.output.tolist() == [first.output.tolist(), second.output.tolist()]
    with pytest.raises(client_errors.IdUnknown, match="did you mean 'temp'"):
        session.step({"tmp": 1, "at": at})
    with pytest.raises(TypeError, match="arrays of numbers"):
        client.step_many([(session, {"temp": 1, "at": at})])
