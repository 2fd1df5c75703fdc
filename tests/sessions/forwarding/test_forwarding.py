"""Each session is run by one process, and a step that comes to another one is forwarded, whatever becomes of them."""

import asyncio
from pathlib import Path

import pytest

from cellar.errors import NotReached, Overloaded, StoreUnavailable
from cellar.ports import APPEND, Identity, SessionKey, StepResult
from cellar.ports.peers import Peers
from cellar.sessions.forwarding import owner_connection
from cellar.sessions.forwarding.forwarding import Forwarding
from cellar.sessions.forwarding.messages import GREETING, MessageReader, Plain
from tests.sessions.conftest import Service, StartService
from tests.sessions.exact import history
from tests.sessions.forwarding.conftest import StartSiblings
from tests.sessions.forwarding.siblings import Sibling, listeners, name_owned_by
from tests.sessions.gate import Gate
from tests.sessions.session_calls import a_sequence, begin, output, state, step, until

pytestmark = pytest.mark.anyio


def calls(sibling: Sibling) -> int:
    """Return how many calls of the network a process has made."""
    return len(sibling.service.models.network.calls)


async def outcome(waiting: object) -> object:
    """Return the result, or the error."""
    # the kind or order is a variable
    (found,) = await asyncio.gather(waiting, return_exceptions=True)  # type: ignore[call-overload]
    return found


async def test_the_owner_runs_the_steps_of_a_session_wherever_they_come(start_siblings: StartSiblings) -> None:
    siblings = await start_siblings(3)
    for owner in range(3):
        key = await begin(siblings[0].service, session=name_owned_by(owner, 3))
        before = [calls(each) for each in siblings]
        for at, sibling in enumerate(siblings):
            assert output(await step(sibling.service, key, at)) == history(range(at + 1))
        assert [calls(each) - count for each, count in zip(siblings, before, strict=True)] == [
            3 if slot == owner else 0 for slot in range(3)
        ]


async def test_a_lost_connection_loses_and_doubles_nothing(start_siblings: StartSiblings) -> None:
    """What is recognised runs again; what is not may have been applied, and says so."""
    origin, owner = await start_siblings(2)
    key = await begin(origin.service, session=name_owned_by(1, 2))
    gate = Gate(owner.service.models.network)
    ask = origin.service.sessions.ask
    first = ask(key, "step", a_sequence(0), Identity(step=0))
    await gate.reached()
    second = ask(key, "step", a_sequence(1), Identity(step=1), after=first)
    appended = ask(key, "step", a_sequence(2))
    await asyncio.sleep(0.05)
    unsent = ask(key, "step", a_sequence(3), after=second)
    for connection in [*owner.forwarding._origins]:
        connection.close()
    origin.forwarding._owners[1].connection_lost(None)  # in this turn, before `unsent` is sent
    found = [await outcome(each) for each in (first, second, appended, unsent)]
    gate.open()
    assert [output(each) for each in found if isinstance(each, StepResult)] == [
        history([0]),
        history([0, 1]),
        history([0, 1, 3]),
    ]
    assert isinstance(found[2], StoreUnavailable)
    assert found[2].outcome == "unknown"
    await until(lambda: origin.knows({0, 1}))
    assert output(await step(origin.service, key, 4)) == await state(owner.service, key) == history([0, 1, 3, 4])


async def test_a_process_that_leaves_answers_what_it_has_and_others_wait_for_that(
    start_siblings: StartSiblings,
) -> None:
    origin, owner = await start_siblings(2)
    key = await begin(origin.service, session=name_owned_by(1, 2))
    gate = Gate(owner.service.models.network)
    first = origin.service.sessions.ask(key, "step", a_sequence(0))
    await gate.reached()
    owner.peers.drain()
    await until(lambda: origin.owners == {0})
    later = [origin.service.sessions.ask(key, "step", a_sequence(value)) for value in (1, 2)]
    given_up = origin.service.sessions.ask(key, "step", a_sequence(3))
    given_up.cancel()
    batch = origin.service.sessions.ask_batch(key, a_sequence(4, 5))
    gate.open()
    assert output(await first) == history([0])
    assert [output(await each) for each in later] == [history([0, 1]), history([0, 1, 2])]
    assert output(await batch) == await state(owner.service, key) == history([0, 1, 2, 4, 5])
    assert calls(owner) == 1


async def test_a_cancelled_step_is_not_applied(start_siblings: StartSiblings) -> None:
    origin, owner = await start_siblings(2)
    key = await begin(origin.service, session=name_owned_by(1, 2))
    gate = Gate(owner.service.models.network)
    first = origin.service.sessions.ask(key, "step", a_sequence(0))
    await gate.reached()
    cancelled = origin.service.sessions.ask(key, "step", a_sequence(1))
    behind = origin.service.sessions.ask(key, "step", a_sequence(2), after=cancelled)
    await asyncio.sleep(0.05)
    cancelled.cancel()
    gate.open()
    assert output(await first) == history([0])
    assert isinstance(await outcome(behind), NotReached)
    assert output(await step(origin.service, key, 3)) == history([0, 3])
    await until(lambda: not origin.forwarding.steps._in_flight)
    assert owner.service.sessions.steps.admission.waiting == 0


async def test_no_more_steps_are_in_flight_than_may_wait(
    redis_url: str, start_service: StartService, start_siblings: StartSiblings
) -> None:
    origin, owner = await start_siblings(2)
    key = await begin(origin.service, session=name_owned_by(1, 2))
    origin.forwarding._owners[1]._most_steps = 3
    gate = Gate(owner.service.models.network)
    asked = [origin.service.sessions.ask(key, "step", a_sequence(value)) for value in range(3)]
    with pytest.raises(Overloaded, match="CELLAR_QUEUE_LIMIT"):
        origin.service.sessions.ask(key, "step", a_sequence(9))
    gate.open()
    assert [output(await each) for each in asked] == [history(range(at)) for at in (1, 2, 3)]
    assert output(await step(origin.service, key, 3)) == history(range(4))


async def test_a_session_that_is_busy_here_stays_until_it_rests(start_siblings: StartSiblings) -> None:
    """Its next steps would overtake those that wait."""
    origin, owner = await start_siblings(2)
    key = await begin(origin.service, session=name_owned_by(1, 2))
    origin.peers.update({0: 1})
    gate = Gate(origin.service.models.network)
    asked = [origin.service.sessions.ask(key, "step", a_sequence(0))]
    await gate.reached()
    origin.peers.update({0: 1, 1: 1})
    asked.append(origin.service.sessions.ask(key, "step", a_sequence(1)))
    gate.open()
    assert [output(await each) for each in asked] == [history([0]), history([0, 1])]
    assert calls(owner) == 0
    assert output(await step(origin.service, key, 2)) == history([0, 1, 2])
    assert calls(owner) == 1


class Silent(asyncio.Protocol):
    """A process that greets, and says nothing more."""

    def __init__(self, greeting: bytes, heard: list[bytes]) -> None:
        self._greeting = greeting
        self._heard = heard

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        transport.write(self._greeting)  # type: ignore[attr-defined]  # the object has it

    def data_received(self, data: bytes) -> None:
        """Note it."""
        self._heard.append(data)


async def beside_silent(
    service: Service, directory: Path, greeting: bytes
) -> tuple[Forwarding, asyncio.AbstractServer, list[bytes]]:
    """Let a service forward to a process that greets only."""
    heard: list[bytes] = []
    paths, sockets = listeners(directory, 2)
    server = await asyncio.get_running_loop().create_unix_server(lambda: Silent(greeting, heard), sock=sockets[1])
    peers = Peers(0, sockets[0], paths)
    forwarding = Forwarding(service.sessions.steps, peers)
    service.sessions.steps = forwarding.steps
    await forwarding.start()
    peers.update({0: 1, 1: 2})
    await until(lambda: bool(heard))
    await asyncio.sleep(0.05)
    return forwarding, server, heard


async def test_steps_that_come_in_one_turn_are_one_message_and_keep_their_order(
    service: Service, tmp_path: Path
) -> None:
    forwarding, server, heard = await beside_silent(service, tmp_path, GREETING)
    key = await begin(service, session=name_owned_by(1, 2))
    asked = [service.sessions.ask(key, "step", a_sequence(value), Identity(step=value)) for value in range(100)]

    def messages() -> list[Plain]:
        reader = MessageReader()
        return [message for data in heard for message in reader.feed(data) if message]

    await until(lambda: bool(messages()))
    forwarding._owners[1].close()  # the steps are run here, in their order
    found = [output(await each) for each in asked]
    assert found == [history(range(at)) for at in range(1, 101)]
    ((_, commands, cancelled),) = messages()
    assert (len(commands), cancelled) == (100, [])
    server.close()
    await forwarding.leave(0.1)
    await forwarding.aclose()


async def test_a_process_that_hangs_is_given_up(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner_connection, "CHECK_S", 0.02)
    forwarding, server, heard = await beside_silent(service, tmp_path, GREETING)
    key = await begin(service, session=name_owned_by(1, 2))
    ask = service.sessions.ask
    asked = [ask(key, "step", a_sequence(value), Identity(step=value)) for value in range(3)]
    late = ask(key, "step", a_sequence(3), Identity(step=3), deadline_s=0.01)
    appended = ask(key, "step", a_sequence(4), APPEND)
    assert [output(await each) for each in asked] == [history(range(at)) for at in (1, 2, 3)]
    for each in (late, appended):
        found = await outcome(each)
        assert isinstance(found, StoreUnavailable)
        assert found.outcome == "unknown"
    assert len(heard) > 1
    server.close()
    await forwarding.leave(0.1)
    await forwarding.aclose()


async def test_a_process_of_another_version_is_not_used(service: Service, tmp_path: Path) -> None:
    forwarding, server, heard = await beside_silent(service, tmp_path, b"cellar 99 steps 1 python 3.99\n")
    key = SessionKey("default", name_owned_by(1, 2))
    await begin(service, session=key.session)
    assert output(await step(service, key, 0)) == history([0])
    assert set(heard) == {GREETING}
    server.close()
    await forwarding.leave(0.1)
    await forwarding.aclose()
