"""Forks: children of one state, made once each, and completed by the same request after whatever has gone wrong."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
import redis

from cellar.errors import (
    AlreadyExists,
    FingerprintMismatch,
    ForkTooLarge,
    Regressed,
    SessionUnknown,
    StepTaken,
    StoreCorrupt,
    StoreUnavailable,
)
from cellar.ports import APPEND, Identity, Position, SessionKey
from cellar.sessions.operations.forks import ForkAnswer, Forks
from cellar.store.companions.snapshots import RedisSnapshots
from tests.proxy import LossyProxy
from tests.redis_process import RedisProcess
from tests.sessions.conftest import FakeClock, Service, StartService
from tests.sessions.exact import history
from tests.sessions.session_calls import at, begin, output, position, state, step

pytestmark = pytest.mark.anyio


def forks_of(service: Service, most_bytes: int = 1 << 20) -> Forks:
    """Return the forks of a service."""
    prefix = service.store.keys.probe.decode().removesuffix(":probe")
    copies = RedisSnapshots(service.store._router, service.store, prefix=prefix)
    return Forks(service.sessions, service.store, copies, FakeClock(), most_bytes=most_bytes)


async def a_parent(service: Service) -> SessionKey:
    """Return a session that has made two steps."""
    key = await begin(service)
    await step(service, key, 1)
    await step(service, key, 2)
    return key


def keys_of(answer: ForkAnswer) -> list[SessionKey]:
    """Return the children, all of which were made."""
    assert all(child.problem is None for child in answer.children)
    return [SessionKey("default", child.session) for child in answer.children]


async def states(service: Service, keys: Sequence[SessionKey]) -> list[list[float]]:
    """Return what the sessions hold."""
    return [await state(service, key) for key in keys]


async def test_children_go_on_from_their_parent_each_for_itself(service: Service) -> None:
    key = await a_parent(service)
    answer = await forks_of(service).fork(key, 3, APPEND)
    assert answer.position == await position(service, key)
    children = keys_of(answer)
    assert len({*children}) == len({str(child.position) for child in answer.children}) == 3
    assert await states(service, children) == [history([1, 2])] * 3
    for number, child in enumerate(children):
        await step(service, child, 10 + number)
    assert await states(service, [*children, key]) == [
        history([1, 2, 10]),
        history([1, 2, 11]),
        history([1, 2, 12]),
        history([1, 2]),
    ]
    again = await forks_of(service).fork(key, 3, APPEND)
    assert not {*children} & {*keys_of(again)}


async def test_children_have_what_their_parent_has_but_for_its_pin(service: Service) -> None:
    made = await service.sessions.create("default", model="exact", batch_size=2, ttl_s=50, history=2, pinned=True)
    key = made.session.key
    await forks_of(service).fork(key, ["a"], APPEND)
    await forks_of(service).fork(key, ["b"], APPEND, ttl_s=7)
    for name, ttl_s in (("a", 50), ("b", 7)):
        child = await service.sessions.get(SessionKey("default", name))
        assert (child.meta.model, child.meta.batch_size, child.meta.history, child.meta.pinned) == (
            "exact@1",
            2,
            2,
            False,
        )
        assert child.meta.ttl_s == ttl_s
        assert child.position.step == 0


@pytest.mark.parametrize("identity", ["position", "key"])
@pytest.mark.parametrize("children", [2, ["a", "b"]], ids=["count", "names"])
async def test_the_same_request_again_is_the_same_children(
    service: Service, identity: str, children: int | list[str]
) -> None:
    """Of the state that the parent had, wherever it and they are by then."""
    key = await a_parent(service)
    who = at(await position(service, key)) if identity == "position" else Identity(key="k")
    first = await forks_of(service).fork(key, children, who)
    one, other = keys_of(first)
    await step(service, key, 3)
    await step(service, one, 4)
    await service.sessions.delete(other)
    assert await forks_of(service).fork(key, children, who) == replace(first, replayed=True)
    assert await states(service, [one, other]) == [history([1, 2, 4]), history([1, 2])]


async def test_another_request_is_other_children(service: Service) -> None:
    key = await a_parent(service)
    here = at(await position(service, key))
    forks = forks_of(service)
    by_key = await forks.fork(key, 2, Identity(key="k"))
    for children in (3, ["a", "b"]):
        with pytest.raises(FingerprintMismatch):
            await forks.fork(key, children, Identity(key="k"))
    answers = [await forks.fork(key, 2, here), await forks.fork(key, 3, here), by_key]
    names = [child.session for answer in answers for child in answer.children]
    assert len({*names}) == 7


async def test_a_position_where_the_parent_is_not_is_refused(service: Service) -> None:
    key = await a_parent(service)
    where = await position(service, key)
    await step(service, key, 3)
    with pytest.raises(StepTaken):
        await forks_of(service).fork(key, 2, at(where))
    with pytest.raises(Regressed):
        await forks_of(service).fork(key, 2, at(Position(where.epoch, 9, where.digest)))
    with pytest.raises(SessionUnknown):
        await forks_of(service).fork(SessionKey("default", "nobody"), 2, APPEND)


async def test_a_name_that_is_taken_is_a_problem_of_its_own(service: Service) -> None:
    key = await a_parent(service)
    taken = await begin(service)
    answer = await forks_of(service).fork(key, ["a", taken.session, key.session], Identity(key="k"))
    assert [type(child.problem) for child in answer.children] == [type(None), AlreadyExists, AlreadyExists]
    assert await state(service, taken) == history([])
    await service.sessions.delete(taken)
    again = await forks_of(service).fork(key, ["a", taken.session, key.session], Identity(key="k"))
    assert [type(child.problem) for child in again.children] == [type(None), type(None), AlreadyExists]
    assert await state(service, taken) == history([1, 2])


async def test_what_is_half_done_is_completed(
    redis_url: str, start_service: StartService, redis_client: "redis.Redis"
) -> None:
    """By another process, after the parent has moved on: the children are of one state all the same."""
    one, other = start_service(redis_url), start_service(redis_url)
    key = await a_parent(one)
    who = at(await position(one, key))
    names = ["a", "b", "c"]
    in_the_way = one.store.keys.record(SessionKey("default", "b"))
    redis_client.set(in_the_way, "no session")
    half = await forks_of(one).fork(key, names, who)
    assert [type(child.problem) for child in half.children] == [type(None), StoreCorrupt, type(None)]
    redis_client.delete(in_the_way)
    await step(one, key, 3)
    whole = await forks_of(other).fork(key, names, who)
    assert await states(other, keys_of(whole)) == [history([1, 2])] * 3
    assert [child.position for child in half.children if child.position] == [
        whole.children[index].position for index in (0, 2)
    ]


async def test_children_whose_replies_were_lost_are_found_again(
    redis_process: RedisProcess, start_service: StartService
) -> None:
    other = start_service(redis_process.url)
    key = await a_parent(other)
    who = at(await position(other, key))
    async with LossyProxy(redis_process.url, lambda request: b"ZADD" in request and b"child" in request) as proxy:
        one = start_service(proxy.url, patience_s=0.0)
        lost = await forks_of(one).fork(key, ["child.1", "child.2"], who)
        await one.store.aclose()
    assert [type(child.problem) for child in lost.children] == [StoreUnavailable] * 2
    await step(other, key, 3)
    found = await forks_of(other).fork(key, ["child.1", "child.2"], who)
    assert await states(other, keys_of(found)) == [history([1, 2])] * 2


async def test_two_processes_that_are_asked_at_once_make_one_set(redis_url: str, start_service: StartService) -> None:
    one, other = start_service(redis_url), start_service(redis_url)
    key = await a_parent(one)
    answers = await asyncio.gather(*(forks_of(each).fork(key, 20, Identity(key="k")) for each in (one, other) * 2))
    assert len({tuple(answer.children) for answer in answers}) == 1
    children = keys_of(answers[0])
    assert await states(other, children) == [history([1, 2])] * 20
    assert output(await step(other, children[0], 3)) == history([1, 2, 3])


async def test_what_a_request_leaves_behind_has_an_end(service: Service, redis_client: "redis.Redis") -> None:
    key = await a_parent(service)
    await forks_of(service).fork(key, 1, APPEND)
    pattern = service.store.keys.record(key).replace(b"[", b"\\[") + b":f:*"
    assert not list(redis_client.scan_iter(pattern))
    await forks_of(service).fork(key, 1, Identity(key="k"))
    [held] = redis_client.scan_iter(pattern)
    assert 86_000_000 < redis_client.pttl(held) <= 86_400_000


@pytest.mark.parametrize("identity", [APPEND, Identity(key="once")])
async def test_a_fork_that_would_write_too_much_writes_nothing(
    service: Service, identity: Identity, redis_url: str
) -> None:
    key = await a_parent(service)
    size = len((await service.store.load(key)).state)
    forks, before = forks_of(service, most_bytes=3 * size), keys_of_prefix(service, redis_url)
    for children, pointer in ((4, "/count"), (["a", "b", "c", "d"], "/names")):
        with pytest.raises(ForkTooLarge) as raised:
            await forks.fork(key, children, identity)
        assert (raised.value.pointer, raised.value.expected, raised.value.actual) == (pointer, "at most 3", "4")
    assert keys_of_prefix(service, redis_url) == before
    assert len(keys_of(await forks.fork(key, 3, identity))) == 3


def keys_of_prefix(service: Service, redis_url: str) -> set[bytes]:
    """Return all Redis keys of a service."""
    with redis.Redis.from_url(redis_url) as client:
        return set(client.scan_iter(f"{service.prefix}:*"))
