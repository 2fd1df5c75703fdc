"""The suite of the port ModelUses: who depends on a version is found, counted and marked, whoever comes in between."""

from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from cellar.errors import ModelDeleted, SessionUnknown
from cellar.ports import (
    Applied,
    CommitConflict,
    DeletedModel,
    Dependents,
    ModelVersion,
    SessionFilter,
    SessionKey,
    SessionRecord,
    Shadow,
)
from cellar.store.catalogue.models import RedisModels
from cellar.store.companions.shadows import RedisShadows
from cellar.store.companions.snapshots import RedisSnapshots
from cellar.store.sessions import model_uses
from cellar.store.sessions.store import RedisSessions
from cellar.store.topology.factory import open_router, sync_client
from tests.store.committing import commit_all
from tests.store.conftest import OpenSessions
from tests.store.session_values import a_commit, a_record

pytestmark = pytest.mark.anyio

GONE = DeletedModel(1, 3, False, ((0, "h", 2, "gru"), (1, "c", 6, "lstm")))
REF = "co2@1"


@pytest.fixture
def models(redis_url: str, sessions: RedisSessions) -> RedisModels:
    """Return the models beside the sessions, with one version of `co2`."""
    models = RedisModels(sync_client(redis_url), sessions.keys._prefix)
    models.create(ModelVersion("default", "co2", 0, "d" * 64, {"in_size": 1}, "a" * 64, 1.5))
    return models


async def create(sessions: RedisSessions, session: str | None = None, model: str = REF) -> SessionRecord:
    """Create a session."""
    record = a_record(session, model=model)
    assert await sessions.create(record) is None
    return record


def a_shadow(record: SessionRecord, model: str = REF) -> Shadow:
    """Return a shadow of a session."""
    about = {"began": "", "began_s": 1.5, "revision": 0, "position": "", "state": b"", "own_state": b""}
    # the test's stand-in or text for it
    return Shadow(record.meta.incarnation, model, "d" * 64, record.meta.model, "d" * 64, **about)  # type: ignore[arg-type]


async def count(sessions: RedisSessions, ref: str = REF) -> Dependents:
    """Count what depends on a version."""
    return await sessions.uses.count("default", ref)


async def test_sessions_are_counted_by_version(sessions: RedisSessions) -> None:
    made = [await create(sessions) for _ in range(3)]
    await create(sessions, model="co2@2")
    await create(sessions, model="co2.more@1")
    assert await count(sessions) == Dependents(3, 0, 0)
    await sessions.delete(made[0].key)
    assert await count(sessions) == Dependents(2, 0, 0)
    assert await count(sessions, "co2@2") == Dependents(1, 0, 0)
    assert await count(sessions, "co2@3") == Dependents(0, 0, 0)


async def test_the_version_that_a_reference_means_is_that_of_the_catalogue(
    sessions: RedisSessions, models: RedisModels
) -> None:
    version = sessions.uses.version
    assert await version("default", "co2") == await version("default", REF) == models.get("default", "co2")
    models.add(replace(models.get("default", "co2"), digest="e" * 64), token="a second one")
    assert await version("default", "co2") == models.get("default", "co2", 2)
    assert [await version(*each) for each in (("default", "co2@3"), ("default", "co"), ("other", "co2"))] == [None] * 3


async def test_a_session_that_has_expired_is_not_counted(sessions: RedisSessions, redis_url: str) -> None:
    kept, gone = await create(sessions), await create(sessions)
    with closing(sync_client(redis_url)) as client:
        client.delete(sessions.keys.record(gone.key))
        assert await count(sessions) == Dependents(1, 0, 0)
        assert client.zrange(sessions.keys.dependents("default", REF), 0, -1) == [kept.key.session.encode()]


async def test_shadows_and_snapshots_are_counted(sessions: RedisSessions, redis_url: str) -> None:
    prefix = sessions.keys._prefix
    route = open_router(redis_url)
    shadows, snapshots = RedisShadows(route, prefix=prefix), RedisSnapshots(route, sessions, prefix=prefix)
    record = await create(sessions)
    await snapshots.take(record.key, "kept", None, bytes(16), 1.5)
    other = await create(sessions, model="co2@2")
    await sessions.uses.enlist(other.key, REF)
    await shadows.put(other.key, a_shadow(other))
    commit = a_commit(record, 1.0)
    commit.meta = replace(record.meta, model="co2@2")
    await sessions.uses.enlist(record.key, "co2@2")
    assert await commit_all(sessions, [commit]) == [Applied()]
    assert await count(sessions) == Dependents(0, 1, 1)
    assert await count(sessions, "co2@2") == Dependents(2, 0, 0)
    assert await sessions.uses.fence("default", REF, GONE) == [other.key]
    stopped = replace(a_shadow(other), stopped="for a reason")
    await shadows.put(other.key, stopped)
    await snapshots.delete(record.key, "kept")
    await sessions.uses.enlist(other.key, REF)
    assert await count(sessions) == Dependents(0, 0, 0)
    await route.aclose()


async def test_of_very_many_sessions_the_number_is_an_estimate(
    sessions: RedisSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        await create(sessions, f"s{number}")
    monkeypatch.setattr(model_uses, "COUNTED", 10)
    assert (await count(sessions)).sessions == 40


async def test_a_marked_session_takes_no_commit(sessions: RedisSessions) -> None:
    record, other = await create(sessions), await create(sessions, model="co2@2")
    assert await sessions.uses.fence("default", REF, GONE) == []
    (moved,) = await commit_all(sessions, [a_commit(record, 1.0)])
    assert isinstance(moved, CommitConflict)
    assert moved.record.meta == replace(record.meta, deleted=GONE)
    assert (moved.record.position, moved.record.state) == (record.position, record.state)
    assert await commit_all(sessions, [a_commit(other, 1.0)]) == [Applied()]
    commit = a_commit(moved.record, 1.0)  # a migration
    commit.meta = replace(record.meta, model="co2@2", migrated=1)
    assert await commit_all(sessions, [commit]) == [Applied()]
    assert (await sessions.load(record.key)).meta == commit.meta


async def test_a_session_whose_metadata_change_meanwhile_is_marked_all_the_same(sessions: RedisSessions) -> None:
    record = await create(sessions)
    (seen,) = await sessions.uses._look([record.key])
    commit = a_commit(record, 1.0)
    commit.meta = replace(record.meta, ttl_s=77)
    assert await commit_all(sessions, [commit]) == [Applied()]
    (again,) = await sessions.uses._fence([seen], REF, GONE)
    assert await sessions.uses._fence([again], REF, GONE) == []
    assert (await sessions.load(record.key)).meta == replace(commit.meta, deleted=GONE)


async def test_one_session_is_marked_if_it_is_of_the_version(sessions: RedisSessions) -> None:
    record, other = await create(sessions), await create(sessions, model="co2@2")
    assert [await sessions.uses.fence_one(each.key, REF, GONE) for each in (record, other)] == [True, False]
    assert [(await sessions.load(each.key)).meta.deleted for each in (record, other)] == [GONE, None]


async def test_a_session_of_a_model_that_was_deleted_is_not_created(
    sessions: RedisSessions, models: RedisModels
) -> None:
    kept = await create(sessions)
    assert models.uses("default", "co2") == 1
    models.delete("default", "co2")
    record = a_record()
    with pytest.raises(ModelDeleted):
        await sessions.create(record)
    with pytest.raises(SessionUnknown):
        await sessions.load(record.key)
    assert not await sessions.uses.confirm(record.key, REF)
    there = await sessions.create(a_record(kept.key.session))
    assert there is not None, "a session that is there stays, whoever asks for its name"
    assert there.meta == kept.meta


async def test_a_deletion_takes_note_of_what_begins_to_depend_on_the_model(
    sessions: RedisSessions, models: RedisModels
) -> None:
    uses = models.uses("default", "co2")
    await create(sessions)
    assert models.delete("default", "co2", uses=uses) is None
    assert models.get("default", "co2").ref == REF
    assert models.delete("default", "co2", uses=models.uses("default", "co2")) == ["a" * 64]
    (deleted,) = models.deleted("default")
    assert (deleted.ref, deleted.network) == (REF, {"in_size": 1})
    models.forget(deleted)
    assert models.deleted("default") == []


async def test_sessions_of_before_there_were_sets_are_found(
    sessions: RedisSessions, redis_url: str, open_sessions: OpenSessions
) -> None:
    made = [await create(sessions) for _ in range(20)]
    with closing(sync_client(redis_url)) as client:
        client.delete(sessions.keys.dependents("default", REF))
    another = open_sessions(redis_url)
    assert await count(another) == Dependents(20, 0, 0)
    await another.uses.fence("default", REF, GONE)
    assert {(await sessions.load(each.key)).meta.deleted for each in made} == {GONE}


async def test_they_are_found_again_in_an_older_copy_of_the_store(sessions: RedisSessions, redis_url: str) -> None:
    """From before there were sets, put in place while the service runs that has made them."""
    record = await create(sessions)
    assert await count(sessions) == Dependents(1, 0, 0)
    with closing(sync_client(redis_url)) as client:
        client.delete(sessions.keys.dependents("default", REF), sessions.keys.indexed("default"))
    assert await count(sessions) == Dependents(1, 0, 0)
    await sessions.uses.fence("default", REF, GONE)
    assert (await sessions.load(record.key)).meta.deleted == GONE


async def test_a_record_that_cannot_be_read_keeps_no_model_and_is_left_alone(
    sessions: RedisSessions, redis_url: str
) -> None:
    record, damaged, other = await create(sessions), await create(sessions), await create(sessions)
    with closing(sync_client(redis_url)) as client:
        place = sessions.keys.record(damaged.key)
        client.delete(place)
        client.set(place, "no session")
        client.hset(sessions.keys.record(other.key), "m", "[]")
        assert await count(sessions) == Dependents(1, 0, 0)
        await sessions.uses.fence("default", REF, GONE)
        assert client.get(place) == b"no session"
    assert (await sessions.load(record.key)).meta.deleted == GONE


async def test_names_of_sessions_that_are_gone_leave_the_set_as_others_come(
    sessions: RedisSessions, redis_url: str
) -> None:
    with closing(sync_client(redis_url)) as client:
        names = [SessionKey("default", f"old{number}") for number in range(60)]
        client.zadd(sessions.keys.dependents("default", REF), {key.session: 0 for key in names})
        for _ in range(40):
            await create(sessions)
        members = client.zrange(sessions.keys.dependents("default", REF), 0, -1)
    assert isinstance(members, list)
    assert len(members) < 40 + 30


async def listed(sessions: RedisSessions, model: str, limit: int = 3, **more: Any) -> list[str]:
    """Return the names of all sessions of a model, in the order of the pages."""
    found, cursor, begun = list[str](), "", False
    while cursor or not begun:
        page, cursor = await sessions.list("default", cursor, limit, SessionFilter(model=model, **more))
        assert len(page) <= limit
        found += [summary.key.session for summary in page]
        begun = True
    return found


async def complete(sessions: RedisSessions) -> None:
    """Complete the index, as a task in the background does."""
    while not await sessions.uses.complete_some("default"):
        pass


async def test_the_sessions_of_a_model_are_listed_from_the_index(sessions: RedisSessions, redis_url: str) -> None:
    """Every page has the same sessions as without it, and no session of another model is read."""
    models = [f"{name}@{version}" for name in ("co2", "co2.more", "wind") for version in (1, 2, 12)]
    made = [await create(sessions, f"{'ab'[index % 2]}/{index}", models[index % 9]) for index in range(40)]
    wanted = [(name, prefix) for name in ("co2", "co2@1", "co2@2", "wind", "none") for prefix in ("", "a", "b/1", "c")]
    before = [sorted(await listed(sessions, model, prefix=prefix)) for model, prefix in wanted]
    await complete(sessions)
    after = [await listed(sessions, model, prefix=prefix) for model, prefix in wanted]
    assert after == before, "and in the order of their names"
    with closing(sync_client(redis_url)) as client:
        for record in made:
            if not record.meta.model.startswith("co2@"):
                client.hset(sessions.keys.record(record.key), "m", "damaged")
    assert await listed(sessions, "co2") == after[0]


async def test_the_index_has_sessions_while_they_are_of_the_version(sessions: RedisSessions, redis_url: str) -> None:
    """It loses them when they are deleted, expire, are moved, or are found to be gone."""
    names = ("deleted", "expired", "kept", "moved", "unknown")
    made = {name: await create(sessions, name) for name in names}
    await complete(sessions)
    commit = a_commit(made["moved"], 1.0)
    commit.meta = replace(made["moved"].meta, model="co2@2")
    await sessions.uses.enlist(made["moved"].key, "co2@2")
    assert await commit_all(sessions, [commit]) == [Applied()]
    assert await sessions.uses.confirm(made["moved"].key, "co2@2")
    await sessions.delete(made["deleted"].key)
    dependents = sessions.keys.dependents("default", REF)
    with closing(sync_client(redis_url)) as client:
        client.delete(sessions.keys.record(made["expired"].key))
        await sessions.list("default", "", 10)
        assert client.zrange(dependents, 0, -1) == [b"kept", b"moved", b"unknown"]
        client.delete(sessions.keys.record(made["unknown"].key), sessions.keys.tombstone(made["unknown"].key))
        assert await listed(sessions, REF) == ["kept"]
        assert client.zrange(dependents, 0, -1) == [b"kept"]
        assert await listed(sessions, "co2@2") == ["moved"]
        client.delete(sessions.keys.record(made["moved"].key))
        await sessions.list("default", "", 10)
        assert client.zrange(sessions.keys.dependents("default", "co2@2"), 0, -1) == [], (
            "the tombstone knows its version"
        )
        assert await listed(sessions, "co2") == ["kept"]
        assert client.zrange(sessions.keys.depended("default"), 0, -1) == [REF.encode()]


async def test_a_list_that_was_begun_before_the_index_is_continued(sessions: RedisSessions) -> None:
    made = {(await create(sessions, f"s{number}")).key.session for number in range(20)}
    page, cursor = await sessions.list("default", "", 7, SessionFilter(model="co2"))
    await complete(sessions)
    found = [summary.key.session for summary in page]
    while cursor:
        page, cursor = await sessions.list("default", cursor, 7, SessionFilter(model="co2"))
        found += [summary.key.session for summary in page]
    assert (set(found), len(found)) == (made, 20)


async def test_sessions_of_older_versions_are_added_to_the_index_once_and_from_where_it_was_left(
    sessions: RedisSessions, redis_url: str, open_sessions: OpenSessions
) -> None:
    """Such sessions have their names in sets without an order, or in none; until all are added, lists are complete."""
    made = sorted([(await create(sessions, f"s{number:03}")).key.session for number in range(300)])
    with closing(sync_client(redis_url)) as client:
        client.delete(sessions.keys.dependents("default", REF), sessions.keys.depended("default"))
        assert not await sessions.uses.complete_some("default")
        assert sorted(await listed(sessions, "co2", 100)) == made
        another = open_sessions(redis_url)
        await complete(another)
        assert await listed(another, "co2", 100) == made
        client.zrem(sessions.keys.dependents("default", REF), made[7])
        client.sadd(sessions.keys.unordered("default", REF), made[7], "s000", "gone")
        assert await listed(another, REF, 100) == made, "an older process beside this one has added a session"
        assert not client.exists(sessions.keys.unordered("default", REF))
        assert (await count(another)).sessions == 300


async def test_versions_in_great_number_are_merged_in_order(sessions: RedisSessions) -> None:
    made = [
        (await create(sessions, f"s{number % 10}/{number}", f"co2@{1 + number}")).key.session for number in range(90)
    ]
    await complete(sessions)
    for limit in (1, 7, 1000):
        assert await listed(sessions, "co2", limit) == sorted(made)
