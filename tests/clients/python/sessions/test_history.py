"""Logs, other versions, shadows and the parts of a state, with both clients."""

import asyncio

import numpy as np
import pytest

from cellar_client import AsyncClient, Client
from cellar_client import errors as client_errors
from tests.clients.python.sessions.test_session import outputs
from tests.faults.cell import NETWORK
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def other_version(service_url: str) -> str:
    """Return a version of another model with the same states and half the weights."""
    with Client(service_url) as client:
        client.models.create("other", NETWORK)
    return "other@1"


def test_the_log_is_read_page_by_page(client: Client) -> None:
    session = client.session(model="exact", log=1000)
    for number in range(150):
        session.step([number])
    session.sequence([[1], [2]])
    session.reset()
    entries = list(session.log())
    assert [entry.change for entry in entries] == list(range(153))
    assert [entry.kind for entry in entries[-3:]] == ["step", "sequence", "reset"]
    assert entries[0].inputs is None
    assert entries[150].inputs is not None
    assert entries[150].inputs.tolist() == [[[149]]]
    assert [entry.change for entry in session.log(after=150)] == [151, 152]
    assert session.history()["step"] == 0


def test_states_are_read_and_written_by_parts(client: Client) -> None:
    session = client.session(model="exact", batch_size=2)
    session.step([[1], [2]])
    assert list(session.state(layer=0, name="n")) == ["layers.0.n"]
    session.update_state({"layers.0.n": [[7], [8]]})
    assert session.state(name="n")["layers.0.n"].tolist() == [[7], [8]]
    assert session.state(name="a")["layers.0.a"].ravel().tolist() == [*outputs(1), *outputs(2)]
    session.reset(rows=[False, True])
    assert session.state(name="n")["layers.0.n"].tolist() == [[7], [0]]


def test_snapshots_are_listed_and_deleted(client: Client) -> None:
    session = client.session(model="exact")
    assert session.snapshot("one")["step"] == 0
    assert [snapshot["snapshot"] for snapshot in session.snapshots()] == ["one"]
    session.delete_snapshot("one")
    assert session.snapshots() == []
    with pytest.raises(client_errors.SnapshotUnknown):
        session.restore("one")


def test_a_forecast_leaves_the_session_where_it_is(client: Client) -> None:
    equations = {"equations": "h = 0.5 * h + x"}
    layers = [{"type": "recurrent", "cell": equations, "hidden_size": 1}]
    client.models.create("halves", {"in_size": 1, "layers": layers})
    session = client.session(model="halves")
    output = session.step([1]).output.tolist()
    found = session.forecast(3, last=[output], seed=1)
    assert found["targets"]["0"]["point"] == [1, 1.5, 2.25]
    assert found["position"] == session.position
    with pytest.raises(client_errors.Problem, match="keeps no outputs"):
        client.session(model="halves").forecast()


def test_forks_are_counted_or_named(client: Client) -> None:
    session = client.session(model="exact")
    session.step([1])
    children = session.fork(count=2, ttl_s=50)
    assert [child.step([2]).output.tolist() for child in children] == [outputs(1, 2)[1:]] * 2
    assert children[0].refresh()["ttl_s"] == 50
    with pytest.raises(client_errors.AlreadyExists):
        session.fork([children[0].name])


def test_a_session_runs_on_another_version(client: Client, other_version: str) -> None:
    session = client.session(model="exact", log=100)
    session.sequence([[1], [2]])
    compared = session.replay(other_version)
    assert compared["differences"] is not None
    assert (compared["steps"], compared["differences"]["largest"]) == (2, 0)
    created = session.replay(other_version, f"{session.name}-copy")["session"]
    assert created is not None
    assert client.session(created).step([3]).output.tolist() == outputs(1, 2, 3)[2:]
    shadow = session.start_shadow(other_version)
    assert (shadow["model"], shadow["behind"]) == (other_version, 0)
    session.step([3])
    wait_until(lambda: session.shadow()["steps"] == 1, 30, "the shadow has run a step")
    session.end_shadow()
    with pytest.raises(client_errors.ShadowUnknown):
        session.shadow()
    session.migrate(other_version)
    assert session.step([4]).output.tolist() == outputs(1, 2, 3, 4)[3:]
    session.rewind(to=session.position)
    assert session.writer("none")["seq"] == 0


def test_the_client_for_asyncio_does_the_same(service_url: str, other_version: str) -> None:
    async def conversation() -> None:
        async with AsyncClient(service_url) as client:
            session = await client.session(model="exact", log=10, history=2)
            await session.sequence(np.array([[1], [2]]))
            await session.snapshot("two")
            [child] = await session.fork(count=1)
            await session.step([3])
            assert [entry.kind async for entry in session.log()] == ["create", "sequence", "step"]
            await session.restore("two")
            assert (await session.step([3])).output.tolist() == outputs(1, 2, 3)[2:]
            await session.rewind(step=0)
            assert (await child.step([3])).output.tolist() == outputs(1, 2, 3)[2:]
            await session.migrate(other_version)
            await session.write_state(await child.state())
            assert (await session.step([4])).output.tolist() == outputs(1, 2, 3, 4)[3:]
            names = [each["session"] async for each in client.sessions(prefix=session.name)]
            assert names == [session.name]
            both = await client.step_many([(session, [5]), (child, [4])])
            assert len(both) == 2
            await session.delete()
            assert await client.is_ready()
            assert (await client.ready())["status"] == "ready"

    asyncio.run(conversation())
