"""Datasets that the blocking client sends, reads and deletes."""

import uuid
from pathlib import Path

import pytest

from cellar.cli.remote.training.datasets import TYPES as OF_THE_COMMAND
from cellar.datasets.formats import TYPES as READ_BY_THE_SERVICE
from cellar_client import Client
from cellar_client import errors as client_errors
from cellar_client.catalogue.datasets import TYPES as OF_THE_CLIENT


def test_a_file_becomes_a_dataset(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "readings.csv"
    path.write_text("time,room,temp\n2024-03-01,hall,20.5\n2024-03-02,hall,-999\n2024-03-01,attic,3\n")
    made = client.datasets.add("readings", path, targets="temp", series="room", options={"missing": "-999"})
    assert (made["rows"], made["series"]) == (3, 2)
    assert client.datasets.get("readings") == made
    assert [row[2] for row in client.datasets.rows("readings", series="hall")] == [20.5, None]
    assert client.datasets.statistics("readings")["columns"][2]["missing"] == 1
    assert client.datasets.export("readings", "ndjson").splitlines()[2] == (
        b'{"time":"2024-03-01T00:00:00Z","room":"attic","temp":3.0}'
    )
    assert "readings" in [each["dataset"] for each in client.datasets.list()]
    path.write_text("temp\n1\n2\nwarm\n")
    with pytest.raises(client_errors.DatasetInvalid) as caught:
        client.datasets.add("faulty", path)
    assert (caught.value.document["row"], caught.value.document["column"]) == (4, "temp")
    with pytest.raises(ValueError, match="its name ends with none of"):
        client.datasets.add("faulty", tmp_path / "readings.xls")
    client.datasets.delete("readings")
    with pytest.raises(client_errors.DatasetUnknown):
        client.datasets.get("readings")


def test_a_job_reads_columns_of_a_dataset(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "waves.csv"
    path.write_text("temp,volts\n" + "".join(f"{step % 7},{step * step % 5}\n" for step in range(90)))
    client.datasets.add("waves", path)
    job = client.train_dataset("waves", "waves", targets=["temp"], inputs=[], horizon=2, epochs=1, key="waves")
    chosen = {choice["field"]: choice["value"] for choice in job.document["chosen"]}
    assert (chosen["data.targets"], chosen["data.inputs"]) == (["temp"], [])
    assert (
        client.train_dataset("waves", "waves", targets=["temp"], inputs=[], horizon=2, epochs=1, key="waves").id
        == job.id
    )
    with pytest.raises(client_errors.InvalidInput) as caught:
        client.train_dataset("waves", "waves", targets=["tmp"])
    assert caught.value.document["pointer"] == "/data/targets/0"
    job.cancel()
    begun = client.session("begun", model="exact", warm_up={"dataset": "waves", "inputs": ["temp"]})
    stepped = client.session("stepped", model="exact")
    stepped.sequence([[step % 7] for step in range(90)])
    assert begun.state() == stepped.state()


def test_logged_steps_of_sessions_become_a_dataset(client: Client) -> None:
    name = f"logged-{uuid.uuid4().hex}"
    session = client.session(name, model="exact", log=9)
    with pytest.raises(client_errors.NotKept):
        client.datasets.add_sessions("logged", prefix=name)
    session.step([1])
    session.step([2])
    made = client.datasets.add_sessions("logged", prefix=name, model="exact", targets=["x0"])
    assert (made["rows"], made["source"]) == (2, "sessions")
    assert [*client.datasets.rows("logged")] == [[name, 1], [name, 2]]
    client.datasets.delete("logged")


def test_client_and_command_line_read_the_same_endings() -> None:
    """Each has a table of its own, because each is installed without the other."""
    assert OF_THE_CLIENT == OF_THE_COMMAND
    assert set(OF_THE_CLIENT.values()) == set(READ_BY_THE_SERVICE)
