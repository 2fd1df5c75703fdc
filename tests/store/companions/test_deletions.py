"""Deletions of many sessions that are interrupted: each session is deleted and counted once, whoever continues."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import NamedTuple

import pytest

from cellar.ports import Deletion, SessionFilter, SessionKey, SessionSummary
from cellar.sessions.operations import bulk_deletion
from cellar.sessions.operations.bulk_deletion import BulkDeletions
from cellar.store.companions.deletions import RedisDeletions
from cellar.store.sessions.store import RedisSessions
from cellar.store.topology.factory import open_router
from tests.store.committing import commit_all
from tests.store.session_values import a_commit, a_record

pytestmark = pytest.mark.anyio


class Known:
    """Stands in for the sessions of a process: notes the ones that are forgotten."""

    def __init__(self) -> None:
        self.forgotten: list[SessionKey] = []

    def forget(self, key: SessionKey) -> None:
        """Note it."""
        self.forgotten.append(key)


class Clock:
    """A clock that stands."""

    def now_s(self) -> float:
        """Return a time."""
        return 1000.0


class Dying(RedisDeletions):
    """A store whose process dies at the n-th call of `advance`, or after the n-th of `purge`."""

    left = 0
    after_purge = 0

    async def advance(self, before: Deletion, after: Deletion) -> bool:
        """Replace the record, or die."""
        if self.left == 0:
            raise RuntimeError("the process died")
        self.left -= 1
        return await super().advance(before, after)

    async def purge(self, deletion: Deletion, batch: Mapping[str, SessionSummary | None]) -> list[SessionKey]:
        """Delete half of the sessions and die, or delete all of them."""
        if self.after_purge:
            await super().purge(deletion, dict([*batch.items()][: len(batch) // 2]))
            raise RuntimeError("the process died")
        return await super().purge(deletion, batch)


class Process(NamedTuple):
    """A process that deletes, and its store."""

    deletions: BulkDeletions
    store: RedisDeletions


@pytest.fixture
async def begin(redis_url: str, sessions: RedisSessions) -> AsyncIterator[Callable[..., Process]]:
    """Yield a function that begins a process."""
    routers = []

    def process(kind: type[RedisDeletions] = RedisDeletions) -> Process:
        """Return a process."""
        routers.append(open_router(redis_url))
        store = kind(routers[-1], sessions, prefix=sessions.keys._prefix)
        # the test's stand-in or text for it
        return Process(BulkDeletions(store, sessions, Known(), Clock()), store)  # type: ignore[arg-type]

    yield process
    for router in routers:
        await router.aclose()


async def create(store: RedisSessions, names: Sequence[str]) -> None:
    """Create sessions."""
    found = await store.create_all([(a_record(name), None, "create") for name in names])
    assert found == [None] * len(names)


async def ended(process: BulkDeletions, name: str) -> Deletion:
    """Wait for the end of a deletion."""
    async with asyncio.timeout(20):
        while (found := await process.get("default", name)).ended_s is None:
            await process.resume("default")
            await asyncio.sleep(0.02)
    return found


@pytest.mark.parametrize("at", [*range(8), "half"])
async def test_a_deletion_survives_its_process(
    at: int | str,
    sessions: RedisSessions,
    begin: Callable[..., Process],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bulk_deletion, "PART", 10)
    names = [f"gone/{number}" for number in range(35)]
    await create(sessions, [*names, "kept"])
    first, store = begin(Dying)
    assert isinstance(store, Dying)
    store.left, store.after_purge = (1000, 1) if at == "half" else (int(at), 0)
    begun, _ = await first.begin("default", SessionFilter(prefix="gone/"), dry_run=False, key=None)
    await first.aclose()
    second, _ = begin()
    found = await ended(second, begun.deletion)
    assert (found.matched, found.deleted) == (35, 35)
    left, _ = await sessions.list("default", "", 100)
    assert [each.key.session for each in left] == ["kept"]


async def test_a_session_that_is_stepped_in_between_is_not_idle(
    sessions: RedisSessions,
    begin: Callable[..., Process],
) -> None:
    """It was selected, and stays."""
    records = [a_record(f"idle/{number}") for number in range(4)]
    await sessions.create_all([(record, None, "create") for record in records])
    process, store = begin()
    wanted = SessionFilter(prefix="idle/", idle_s=0)
    deletion = await store.create(Deletion("default", "d1", wanted, 1.0))
    page, _ = await sessions.list("default", "", 100, wanted)
    await commit_all(sessions, [a_commit(records[2], 1.0)])
    selected = {each.key.session: each for each in page}
    assert [key.session for key in await store.purge(deletion, selected)] == ["idle/0", "idle/1", "idle/3"]
    assert (await sessions.load(records[2].key)).position.step == 1
    await process.aclose()


async def test_two_processes_continue_one_deletion(
    sessions: RedisSessions,
    begin: Callable[..., Process],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lease of the first has ended although it runs: one of them is stopped, and each session is counted once."""
    monkeypatch.setattr(bulk_deletion, "PART", 5)
    await create(sessions, [f"both/{number}" for number in range(60)])
    (first, store), (second, _) = begin(), begin()
    begun = await store.create(Deletion("default", "d2", SessionFilter(prefix="both/"), 1.0))
    await asyncio.gather(first._continue(begun), second._continue(begun))
    found = await ended(first, "d2")
    assert (found.matched, found.deleted) == (60, 60)


async def test_a_name_that_is_taken_again_is_not_deleted_twice(
    sessions: RedisSessions,
    begin: Callable[..., Process],
) -> None:
    """A part that is repeated deletes no session that was created after the first time."""
    await create(sessions, ["again"])
    _, store = begin()
    deletion = await store.create(Deletion("default", "d3", SessionFilter(prefix="again"), 1.0))
    page, _ = await sessions.list("default", "", 10)
    assert len(await store.purge(deletion, {"again": page[0]})) == 1
    await create(sessions, ["again"])
    page, _ = await sessions.list("default", "", 10)
    assert len(await store.purge(deletion, {"again": page[0]})) == 1, "deleted by this part before"
    assert (await sessions.load(page[0].key)).position.step == 0
