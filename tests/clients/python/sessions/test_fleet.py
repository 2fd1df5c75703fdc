"""Many sessions that the client creates and deletes in one request each."""

from typing import Any

import pytest

from cellar_client import AsyncClient, Client, Problem
from cellar_client import errors as client_errors
from cellar_client.core.effects import ConnectionLost, Pause, Reply, Request
from cellar_client.sessions import fleet

pytestmark = pytest.mark.anyio


def test_each_session_has_its_outcome(client: Client) -> None:
    wanted = [{"session": f"fleet/{number}", "ttl_s": 60} for number in range(30)]
    found = client.create_sessions([*wanted, {"model": "unknown"}, {}], model="exact")
    assert isinstance(found[30], client_errors.ModelUnknown)
    documents = [each for each in found if not isinstance(each, Problem)]
    assert [each["session"] for each in documents[:30]] == [each["session"] for each in wanted]
    assert client.session(documents[30]["session"]).step([1]).step == 1
    again = client.create_sessions(wanted, model="exact")
    assert [each["position"] for each in again if not isinstance(each, Problem)] == [
        each["position"] for each in documents[:30]
    ]


async def test_sessions_are_deleted_by_a_filter(service_url: str) -> None:
    async with AsyncClient(service_url, give_up_s=20) as client:
        await client.create_sessions([{"session": f"old/{number}"} for number in range(20)], model="exact")
        counted = await client.delete_sessions(prefix="old/", dry_run=True)
        assert (counted["matched"], counted["deleted"]) == (20, 0)
        assert (await client.delete_sessions(prefix="old/", idle_s=3600))["deleted"] == 0
        deleted = await client.delete_sessions(prefix="old/", model="exact")
        assert (deleted["state"], deleted["deleted"]) == ("ended", 20)
        with pytest.raises(Problem):
            await client.delete_sessions()


def test_lines_that_were_not_answered_are_sent_again() -> None:
    """After a lost connection all of them, after an outage those that it concerns."""
    operation = fleet.create_all([{"session": "a"}, {"session": "b"}], "exact", 20)
    first = next(operation)
    assert isinstance(first, Request)
    assert isinstance(operation.throw(ConnectionLost("gone")), Pause)
    second: Any = operation.send(None)
    assert second.content == first.content
    problem = b'{"session":"b","type":"urn:cellar:problem:store_unavailable","title":"","status":503,"detail":"",'
    problem += b'"outcome":"unknown","retry_after_s":1}'
    assert isinstance(operation.send(Reply(200, {}, b'{"session":"a"}\n' + problem + b"\n")), Pause)
    third: Any = operation.send(None)
    assert third.content == b'{"session": "b", "model": "exact"}\n'
    with pytest.raises(StopIteration) as end:
        operation.send(Reply(200, {}, b'{"session":"b"}\n'))
    assert end.value.value == [{"session": "a"}, {"session": "b"}]
