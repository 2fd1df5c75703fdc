"""Streams of both clients: lost connections, refused steps, lost steps, and continuing from a file or a name."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from cellar_client import AsyncClient, Client
from cellar_client import errors as client_errors
from tests.clients.python.conftest import RedisKeys
from tests.clients.python.proxy import running_proxy
from tests.faults.cell import replay


def outputs(*values: int) -> list[int]:
    """Return the outputs of a replay from the initial state."""
    return [state.a for state in replay(values)]


def test_answers_come_in_order(client: Client) -> None:
    readings = [[value] for value in range(200)]
    with client.session(model="exact").stream() as stream:
        answers = list(stream.run(readings))
        assert [answer.output.tolist()[0] for answer in answers] == outputs(*range(200))
        assert [answer.number for answer in answers] == [answer.step for answer in answers] == list(range(1, 201))
        stream.send_sequence(np.array([[1], [2]]))
        stream.send([3])
        assert stream.waiting == 2
        with pytest.raises(ValueError, match="were not received"):
            stream.step([4])
        assert stream.receive().output.shape == (2, 1)
    assert client.session(model="exact", batch_size=2).stream().taken == 0


def test_an_iterator_is_not_read_ahead_of_its_answers(client: Client) -> None:
    taken: list[int] = []

    def live() -> object:
        for value in range(5):
            taken.append(value)
            yield [value]

    with client.session(model="exact").stream() as stream:
        for answer in stream.run(live()):
            assert len(taken) == answer.number


def test_rows_are_reset_on_a_stream(client: Client) -> None:
    with client.session(model="exact", batch_size=2).stream() as stream:
        stream.step([[1], [2]])
        assert stream.step([[3], [4]], reset=[False, True]).output.tolist() == [outputs(1, 3)[1:], outputs(4)]


def test_a_refused_step_is_left_out_and_those_behind_it_are_numbered_again(client: Client) -> None:
    session = client.session(model="exact")
    with session.stream("gauge") as stream:
        for reading in ([1], [2, 2], [3], [4, 4], [5]):
            stream.send(reading)
        found: list[object] = []
        for _ in range(5):
            try:
                found.append(stream.receive().output.tolist()[0])
            except client_errors.ShapeMismatch:
                found.append("refused")
        first, second, third = outputs(1, 3, 5)
        assert found == [first, "refused", second, "refused", third]
    with session.stream("gauge") as again:
        assert again.taken == 3
        assert again.step([7]).step == 4


@pytest.mark.parametrize("cut_after", [1, 5, 17])
def test_a_stream_connects_again_and_loses_nothing(client: Client, service_url: str, cut_after: int) -> None:
    name = client.session(model="exact").name

    async def through_a_proxy() -> list[int]:
        async with running_proxy(service_url) as proxy, AsyncClient(proxy.url) as lossy:
            session = await lossy.session(name)
            found = []
            async with session.stream() as stream:
                async for answer in stream.run([[value] for value in range(60)]):
                    found.append(answer.output.tolist()[0])
                    if len(found) % cut_after == 0 and len(found) < 50:
                        proxy.cut()
            return found

    assert asyncio.run(through_a_proxy()) == outputs(*range(60))
    assert client.session(name).refresh()["step"] == 60


def test_an_asynchronous_iterator_is_waited_for_beside_the_answers(service_url: str) -> None:
    async def conversation() -> list[int]:
        answered = asyncio.Event()

        async def live() -> AsyncIterator[list[int]]:
            yield [1]
            await asyncio.wait_for(answered.wait(), 60)  # the next reading comes after the answer to the first one
            for value in range(2, 40):
                yield [value]

        async with AsyncClient(service_url) as client:
            session = await client.session(model="exact")
            found = []
            async with session.stream() as stream:
                async for answer in stream.run(live(), ahead=4):
                    found.append(answer.output.tolist()[0])
                    answered.set()
            return found

    assert asyncio.run(conversation()) == outputs(*range(1, 40))


def test_a_stream_continues_from_its_state_file(client: Client, tmp_path: Path) -> None:
    path, session = tmp_path / "stream.json", client.session(model="exact")
    with closing(session.stream(state=path).__enter__()) as stream:
        stream.step([1])
        stream.send([2])
        stream.send([3])  # the process ends here, before the answers
        with session.stream(state=path) as again:
            assert (again.taken, again.writer) == (3, stream.writer)
            kept = [again.receive().output.tolist()[0] for _ in range(again.waiting)]
            assert kept == outputs(1, 2, 3)[-len(kept) :]
            assert len(kept) in (2, 3)
            assert again.step([4]).output.tolist() == outputs(1, 2, 3, 4)[3:]
    with session.stream(state=path) as last:
        assert (last.taken, last.waiting) == (4, 0)


def test_steps_that_redis_has_lost_are_sent_again(client: Client, redis_keys: RedisKeys) -> None:
    session = client.session(model="exact")
    with session.stream() as stream:
        list(stream.run([[1], [2]]))
        kept = redis_keys.dump(session.name)
        list(stream.run([[3], [4], [5]]))
        redis_keys.restore(kept)
        assert [answer.output.tolist()[0] for answer in stream.run([[6], [7]])] == outputs(1, 2, 3, 4, 5, 6, 7)[5:]
    assert session.refresh()["step"] == 7


def test_all_steps_of_a_writer_were_lost(client: Client, redis_keys: RedisKeys) -> None:
    session = client.session(model="exact")
    kept = redis_keys.dump(session.name)
    with session.stream() as stream:
        list(stream.run([[1], [2]]))
        redis_keys.restore(kept)
        assert stream.step([3]).output.tolist() == outputs(1, 2, 3)[2:]


def test_more_steps_are_lost_than_are_remembered(client: Client, redis_keys: RedisKeys) -> None:
    session = client.session(model="exact")
    with session.stream(remember=1) as stream:
        stream.step([1])
        kept = redis_keys.dump(session.name)
        list(stream.run([[2], [3], [4]]))
        redis_keys.restore(kept)
        stream.send([5])
        with pytest.raises(client_errors.Regressed):
            stream.receive()
        stream.core.queue.pending.clear()


def test_a_stream_of_a_session_that_does_not_exist(client: Client) -> None:
    session = client.session(model="exact")
    with session.stream() as stream:
        session.delete()
        stream.send([1])
        with pytest.raises(client_errors.SessionUnknown):
            stream.receive()
        stream.core.queue.pending.clear()
