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
