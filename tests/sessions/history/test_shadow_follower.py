"""Shadows that are followed from commits: as from the log, once, together, and without a command while idle."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from cellar.ports import APPEND, SessionKey, Shadow
from cellar.sessions.history import shadow_follower
from cellar.sessions.history.shadows import Shadows
from cellar.store.connection.retry import RetryingClient
from cellar.store.protocol.resp import Command
from tests.sessions.conftest import Service, StartService
from tests.sessions.exact import ExactNetwork
from tests.sessions.history.test_shadows import followed, shadows_of, stepped
from tests.sessions.session_calls import a_sequence, begin, step
from tests.sessions.versions import Versions

pytestmark = pytest.mark.anyio


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the names of the commands that are sent for shadows and histories from now on."""
    sent: list[bytes] = []
    send = RetryingClient._send

    async def noting(self: RetryingClient, some: Sequence[Command], *arguments: Any, **named: Any) -> Any:
        """Note the commands and send them."""
        sent.extend(bytes(command[0]) if isinstance(command, tuple) else b"script" for command in some)
        return await send(self, some, *arguments, **named)

    monkeypatch.setattr(RetryingClient, "_send", noting)
    return sent


async def present(shadows: Shadows, key: SessionKey) -> Shadow:
    """Return the shadow of a session after a turn, which is not behind."""
    await shadows.run(["default"])
    found = await shadows.get(key)
    assert found.behind == 0
    return found.shadow


async def test_commits_give_what_the_log_gives(versions: Service) -> None:
    shadows = shadows_of(versions)
    one, other = [await stepped(versions, 1, 2) for _ in range(2)]
    for key in (one, other):
        await shadows.put(key, "exact@3")
    for part in ([3, 4], [5]):
        for key in (one, other):
            for value in part:
                await step(versions, key, value)
            await versions.sessions.sequence(key, a_sequence(6, 7, 8), APPEND)
    from_commits = await present(shadows, one)
    versions.sessions.call_with_logged(lambda _: None)
    from_log = (await followed(shadows_of(versions), other)).shadow
    for name in ("steps", "numbers", "largest", "total", "state", "own_state", "missed", "stopped"):
        assert getattr(from_commits, name) == getattr(from_log, name), name
    assert [each for _, each in from_commits.last] == [each for _, each in from_log.last]
    assert from_commits.position == str((await versions.store.load(one)).position)


@pytest.mark.parametrize("edit", ["reset", "rows"])
async def test_other_changes_are_read_from_the_log(edit: str, versions: Service) -> None:
    key, shadows = await stepped(versions, 1), shadows_of(versions)
    await shadows.put(key, "exact@2")
    await step(versions, key, 2)
    if edit == "reset":
        await versions.sessions.reset(key, APPEND)
    elif edit == "rows":
        await versions.sessions.step(key, a_sequence(5)[0], APPEND, reset=True)
    await step(versions, key, 3)
    shadow = await present(shadows, key)
    assert (shadow.steps, shadow.largest) == (3 if edit == "rows" else 2, 0.0)
    await step(versions, key, 4)
    assert (await present(shadows, key)).steps == shadow.steps + 1


@pytest.mark.pure
async def test_many_shadows_of_a_model_share_a_call_and_are_not_read(
    versions: Service, commands: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    shadows = shadows_of(versions)
    keys = [await stepped(versions, 1) for _ in range(20)]
    for key in keys:
        await shadows.put(key, "exact@2")
    for _ in range(2):  # first the log is read, then each shadow for the first time
        for key in keys:
            await step(versions, key, 2)
        await shadows.run(["default"])
    for key in keys:
        await step(versions, key, 3)
    rows: list[int] = []
    run = ExactNetwork.run

    def counting(self: ExactNetwork, inputs: Any, *arguments: Any, **named: Any) -> Any:
        """Count the rows of a call."""
        rows.append(inputs.shape[1])
        return run(self, inputs, *arguments, **named)

    monkeypatch.setattr(ExactNetwork, "run", counting)
    commands.clear()
    await shadows.run(["default"])
    assert rows == [20]
    assert commands == [b"GET", b"HGET", *20 * [b"script"]]  # whether there are others; the version; the changes
    for key in keys:
        found = await shadows.get(key)
        assert (found.behind, found.shadow.steps) == (0, 3)


@pytest.mark.pure
async def test_nothing_is_sent_for_shadows_that_are_idle(versions: Service, commands: list[bytes]) -> None:
    shadows = shadows_of(versions)
    for _ in range(10):
        await shadows.put(await stepped(versions, 1), "exact@2")
    await shadows.run(["default"])
    commands.clear()
    for _ in range(5):
        await shadows.run(["default"])
    assert commands == 5 * [b"GET"]


async def test_processes_that_step_one_session_in_turn_count_each_change_once(
    redis_url: str, start_service: StartService
) -> None:
    services = [start_service(redis_url, models=Versions()) for _ in range(2)]
    each = [shadows_of(service) for service in services]
    key = await stepped(services[0], 1)
    await each[0].put(key, "exact@2")
    for turn in range(30):
        await step(services[turn % 2], key, turn)
        if turn % 3 == 0:
            await asyncio.gather(*(shadows.run(["default"]) for shadows in each))
    for shadows in each:
        await shadows.run(["default"])
    found = await each[0].get(key)
    assert (found.behind, found.shadow.steps, found.shadow.largest) == (0, 30, 0.0)
    assert found.shadow.state == (await services[0].store.load(key)).state


async def test_a_process_learns_of_shadows_that_another_one_has_created(
    redis_url: str, start_service: StartService
) -> None:
    one, other = (start_service(redis_url, models=Versions()) for _ in range(2))
    creating, stepping = shadows_of(one), shadows_of(other)
    await stepping.run(["default"])
    key = await stepped(one, 1)
    await creating.put(key, "exact@2")
    await step(other, key, 2)  # before it knows
    assert (await present(stepping, key)).steps == 1
    await step(other, key, 3)
    assert (await present(stepping, key)).steps == 2


async def test_what_a_killed_process_had_noted_is_found_by_the_poll(
    redis_url: str, start_service: StartService
) -> None:
    one, other = (start_service(redis_url, models=Versions()) for _ in range(2))
    creating, polling = shadows_of(one), shadows_of(other)
    await polling.run(["default"])
    key = await stepped(one, 1)
    await creating.put(key, "exact@2")
    await polling.run(["default"])
    await step(one, key, 2)
    await polling.run(["default"])
    assert (await polling.get(key)).behind == 1
    await polling.poll(["default"])
    assert (await polling.get(key)).behind == 0


async def test_notes_are_bounded(versions: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_follower, "NOTED_BYTES", 100)
    key, shadows = await stepped(versions, 1), shadows_of(versions)
    await shadows.put(key, "exact@2")
    for value in range(50):
        await step(versions, key, value)
    assert not shadows._follower._noted
    assert (await present(shadows, key)).steps == 50


async def test_a_session_that_takes_the_name_of_another_one_is_not_followed(versions: Service) -> None:
    key, shadows = await stepped(versions, 1, session="name"), shadows_of(versions)
    await shadows.put(key, "exact@2")
    await step(versions, key, 2)
    await versions.sessions.delete(key)
    assert await begin(versions, session="name", model="exact@1", log=100) == key
    await step(versions, key, 3)
    await shadows.run(["default"])
    assert await shadows._shadows.load(key) is None
