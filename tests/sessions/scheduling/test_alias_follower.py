"""Sessions that follow an alias: each step runs on its version, the state is carried, and nothing is applied twice."""

import asyncio

import pytest

from cellar.errors import AlreadyExists, ModelDeleted, ModelUnfit, ModelUnknown
from cellar.ports import APPEND, DeletedModel, Identity, ModelVersion, SessionKey
from cellar.sessions.history.replay_migrate import Replays
from cellar.sessions.values.deleted_model import known_of
from tests.proxy import LossyProxy, first
from tests.sessions.conftest import FakeClock, Service, StartService
from tests.sessions.exact import ExactModel, Sizes, history
from tests.sessions.session_calls import at, begin, position, state, step
from tests.sessions.versions import Versions

pytestmark = pytest.mark.anyio

LIVE = "exact@live"


async def move(service: Service, version: int | None, *others: Service) -> None:
    """Move the alias, and let these processes notice it."""
    service.models.move("live", version)
    for each in (service, *others):
        await each.sessions.aliases.refresh("default")


async def model_of(service: Service, key: SessionKey) -> tuple[str, str | None]:
    """Return the version of a session, and the alias that it follows."""
    answer = await service.sessions.get(key)
    return answer.meta.model, answer.meta.follows


async def following(service: Service, version: int = 1, **options: int) -> SessionKey:
    """Return a session that follows the alias, which names that version."""
    service.models.move("live", version)
    return await begin(service, model=LIVE, **options)


async def test_steps_run_on_the_version_that_the_alias_names(versions: Service) -> None:
    key, pinned = await following(versions), await begin(versions, model="exact@1")
    before = await position(versions, key)
    assert (await step(versions, key, 1, at(before))).model == "exact@1"
    assert (await step(versions, pinned, 1)).model is None, "a pinned session does not name its version"
    await move(versions, 2)
    there = await position(versions, key)
    answer = await step(versions, key, 2, at(there))
    assert answer.model == "exact@2"
    assert answer.position.epoch == before.epoch, "the client does not notice"
    assert await model_of(versions, key) == ("exact@2", LIVE)
    assert await model_of(versions, pinned) == ("exact@1", None)
    assert await state(versions, key) == history([1, 2])
    await move(versions, 1)
    assert (await step(versions, key, 3)).model == "exact@1"
    assert await state(versions, key) == history([1, 2, 3])


async def test_a_step_is_answered_again_with_the_version_that_ran_it(versions: Service) -> None:
    key = await following(versions)
    asked = [at(await position(versions, key)), Identity(key="k"), Identity(writer="w", seq=1)]
    done = [await step(versions, key, value, identity) for value, identity in enumerate(asked, 1)]
    await move(versions, 2)
    more = Identity(writer="w", seq=2)
    assert (await step(versions, key, 4, more)).model == "exact@2"
    for value, (identity, before) in enumerate(zip(asked, done, strict=True), 1):
        again = await step(versions, key, value, identity)
        assert (again.model, again.replayed, again.position) == ("exact@1", True, before.position)
    again = await step(versions, key, 4, more)
    assert (again.model, again.replayed) == ("exact@2", True)
    assert await state(versions, key) == history([1, 2, 3, 4])


async def test_a_version_with_other_states_is_refused_and_the_session_can_migrate(versions: Service) -> None:
    key = await following(versions)
    await step(versions, key, 1)
    kept = await position(versions, key)
    await move(versions, 3)
    for _ in range(2):
        with pytest.raises(ModelUnfit, match="follows exact@live, which is exact@3 now and has different states") as no:
            await step(versions, key, 2)
        assert (no.value.expected, no.value.actual) == ("0.h:1,1.h:1,1.c:1", "0.other:3")
    assert await state(versions, key) == history([1]), "it can be read"
    assert await position(versions, key) == kept
    assert (await versions.sessions.update(key, ttl_s=60)).session.meta.ttl_s == 60
    await move(versions, 2)
    assert (await step(versions, key, 2)).model == "exact@2", "the alias was moved to a version that fits"
    await move(versions, 4)
    with pytest.raises(ModelUnfit, match="different inputs"):
        await step(versions, key, 3)
    await replays_of(versions).migrate(key, "exact@1", "carry", APPEND)
    assert await model_of(versions, key) == ("exact@1", None), "it is pinned by now"
    assert (await step(versions, key, 3)).model is None
    assert await state(versions, key) == history([1, 2, 3])


async def test_a_session_that_migrates_to_an_alias_follows_it(versions: Service) -> None:
    key = await begin(versions, model="exact@1")
    await step(versions, key, 1)
    versions.models.move("live", 2)
    await replays_of(versions).migrate(key, LIVE, "carry", APPEND)
    assert await model_of(versions, key) == ("exact@2", LIVE)
    await move(versions, 1)
    assert (await step(versions, key, 2)).model == "exact@1"
    assert await state(versions, key) == history([1, 2])


async def test_a_process_that_has_not_noticed_does_not_move_a_session_back(
    redis_url: str, start_service: StartService
) -> None:
    models = Versions()
    one, late = (start_service(redis_url, models=models) for _ in range(2))
    key = await following(one)
    await step(one, key, 1)
    assert (await step(late, key, 2)).model == "exact@1"
    await move(one, 2)
    assert (await step(late, key, 3)).model == "exact@1", "it asks once a second"
    assert (await step(one, key, 4)).model == "exact@2"
    assert (await step(late, key, 5)).model == "exact@2", "the session itself has moved"
    assert (await step(one, key, 6)).model == "exact@2"
    revision = (await one.store.load(key)).revision
    assert revision == 6 + 1, "it was moved once"
    await late.sessions.aliases.refresh("default")
    assert (await step(late, key, 7)).model == "exact@2"
    assert await state(one, key) == history([1, 2, 3, 4, 5, 6, 7])


async def test_many_steps_at_once_are_applied_once_each_while_the_alias_moves(
    redis_url: str, start_service: StartService
) -> None:
    models = Versions()
    services = [start_service(redis_url, models=models) for _ in range(2)]
    key = await following(services[0])

    async def write(service: Service, writer: str) -> None:
        for seq in range(1, 31):
            await step(service, key, 1, Identity(writer=writer, seq=seq))

    async def keep_moving() -> None:
        for number in range(20):
            await move(services[0], 1 + number % 2, services[1])
            await asyncio.sleep(0.005)

    await asyncio.gather(*(write(service, f"w{number}") for number, service in enumerate(services)), keep_moving())
    assert await state(services[0], key) == history([1] * 60)


async def test_a_move_whose_reply_is_lost_happens_once(redis_url: str, start_service: StartService) -> None:
    async with LossyProxy(redis_url, first(0)) as proxy:
        service = start_service(proxy.url, models=Versions())
        key = await following(service)
        await step(service, key, 1)
        await move(service, 2)
        proxy._loses = first(3)
        assert (await step(service, key, 2, Identity(key="k"))).model == "exact@2"
        assert proxy.cuts >= 2
        assert await state(service, key) == history([1, 2])
        record = await service.store.load(key)
        assert (record.revision, record.meta.following and record.meta.following.versions) == (
            3,
            ((0, "exact@1"), (2, "exact@2")),
        )


async def test_a_session_stays_where_it_is_while_its_alias_is_deleted(versions: Service) -> None:
    key = await following(versions)
    await step(versions, key, 1)
    await move(versions, None)
    assert (await step(versions, key, 2)).model == "exact@1"
    with pytest.raises(ModelUnknown):
        await begin(versions, model=LIVE)
    await move(versions, 2)
    assert (await step(versions, key, 3)).model == "exact@2"
    assert await state(versions, key) == history([1, 2, 3])


async def test_a_session_whose_version_was_deleted_goes_on_where_its_alias_leads(versions: Service) -> None:
    key = await following(versions)
    await step(versions, key, 1)
    await move(versions, None)
    gone: DeletedModel = known_of(Sizes())
    await versions.store.uses.fence("default", "exact@1", gone)
    with pytest.raises(ModelDeleted):
        await step(versions, key, 2)
    await move(versions, 3)
    with pytest.raises(ModelUnfit):
        await step(versions, key, 2)
    await move(versions, 2)
    assert (await step(versions, key, 2)).model == "exact@2"
    assert await state(versions, key) == history([1, 2])


async def test_an_alias_of_a_version_that_cannot_be_loaded_is_an_error(
    redis_url: str, start_service: StartService
) -> None:
    class Lost(Versions):
        def load(self, version: ModelVersion) -> ExactModel:
            if version.version == 2:
                raise ModelUnknown("its weights are gone")
            return super().load(version)

    service = start_service(redis_url, models=Lost())
    key = await following(service)
    await step(service, key, 1)
    await move(service, 2)
    async with asyncio.timeout(5):
        with pytest.raises(ModelUnknown):
            await step(service, key, 2)
    await move(service, 1)
    assert (await step(service, key, 2)).model == "exact@1"


async def test_the_same_creation_is_the_same_session_wherever_the_alias_is(versions: Service) -> None:
    key = await following(versions, session="s")  # type: ignore[arg-type]  # the test's stand-in or text for it
    versions.models.move("live", 2)
    again = await versions.sessions.create("default", model=LIVE, session=key.session)
    assert (again.created, again.session.meta.model) == (False, "exact@1")
    for other in ("exact@1", "exact"):
        with pytest.raises(AlreadyExists):
            await versions.sessions.create("default", model=other, session=key.session)


def replays_of(service: Service) -> Replays:
    """Return the replays of a service."""
    history_of = service.histories._history
    return Replays(service.sessions, service.store, history_of, service.store.uses, FakeClock(), kernel_rev=1)
