"""Keys end at their time, changes are read once, and what another process writes is found."""

import uuid
from dataclasses import replace

import pytest

from cellar.errors import KeysFull, KeyUnknown, StoreUnavailable, Unauthenticated
from cellar.keys.administration import KeyAdministration
from cellar.keys.key_ring import KeyRing, Tenants
from cellar.keys.pepper import Pepper
from cellar.keys.tickets import LASTS_S
from cellar.ports import ANYBODY
from cellar.store.catalogue import keys as stored_keys
from cellar.store.catalogue.keys import RedisKeys
from cellar.store.topology.factory import sync_client

pytestmark = pytest.mark.anyio


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.time_s = 1_700_000_000.0

    def now_s(self) -> float:
        return self.time_s


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


@pytest.fixture
def keys(redis_url: str, clock: Clock) -> KeyAdministration:
    """Return the administration of an installation without keys."""
    store = RedisKeys(sync_client(redis_url), f"test-{uuid.uuid4().hex}")
    return KeyAdministration(store, Pepper("a pepper of tests"), clock)


async def test_a_ring_takes_no_key_before_it_has_read_them(keys: KeyAdministration) -> None:
    text, ring = keys.create("acme", "", ["step"]).text, KeyRing(keys)
    with pytest.raises(StoreUnavailable):
        ring.caller(text)
    await ring.refresh()
    caller = ring.caller(text)
    assert (caller.tenant, caller.scopes, caller.key) == ("acme", frozenset({"step", "read"}), text.split("_")[1])


async def test_a_key_that_another_process_revokes_changes_the_revision(keys: KeyAdministration) -> None:
    ring = KeyRing(keys)
    new, other = keys.create("acme", "", ["step"]), keys.create("acme", "", ["step"])
    await ring.refresh()
    caller, before = ring.caller(new.text), ring.revision
    await ring.refresh()
    assert ring.revision == before
    keys.revoke("acme", other.key.id)
    await ring.refresh()
    assert ring.revision != before
    assert ring.holds(caller)
    keys.revoke("acme", new.key.id)
    with ring.watch(caller) as ended:
        await ring.refresh()
        assert ended.done()
    assert not ring.holds(caller)
    with pytest.raises(Unauthenticated):
        ring.caller(new.text)


async def test_a_key_ends_at_its_time_although_nothing_is_written(keys: KeyAdministration, clock: Clock) -> None:
    ring = KeyRing(keys)
    new = keys.create("acme", "", ["step"], lasts_s=60)
    await ring.refresh()
    ring.caller(new.text)
    before = ring.revision
    clock.time_s += 59
    await ring.refresh()
    assert ring.revision == before
    clock.time_s += 1
    await ring.refresh()
    assert ring.revision != before
    with pytest.raises(Unauthenticated):
        ring.caller(new.text)


async def test_tickets_end_with_their_time_and_with_their_key(keys: KeyAdministration, clock: Clock) -> None:
    ring = KeyRing(keys)
    new = keys.create("acme", "", ["step"])
    await ring.refresh()
    ticket = ring.tickets.make(new.key.id)
    assert ring.caller_of_ticket(ticket.text) == ring.caller(new.text)
    for wrong in ("", "..", ticket.text[:-1], ticket.text.replace(new.key.id, "0" * 12), ticket.text + "é"):
        with pytest.raises(Unauthenticated):
            ring.caller_of_ticket(wrong)
    clock.time_s += LASTS_S
    with pytest.raises(Unauthenticated):
        ring.caller_of_ticket(ticket.text)
    ticket = ring.tickets.make(new.key.id)
    keys.revoke("acme", new.key.id)
    await ring.refresh()
    with pytest.raises(Unauthenticated):
        ring.caller_of_ticket(ticket.text)


async def test_tenants_are_those_with_keys_and_the_one_without(keys: KeyAdministration) -> None:
    ring = KeyRing(keys)
    tenants = Tenants(ring)
    assert list(tenants) == [ANYBODY.tenant]
    keys.create("zebra", "", ["read"])
    keys.create("acme", "", ["read"])
    await ring.refresh()
    assert list(tenants) == ["acme", "default", "zebra"]
    assert set(keys.store.tenants()) == {"acme", "zebra"}


def test_rotation_keeps_the_lifetime_and_never_lengthens_the_old_key(keys: KeyAdministration, clock: Clock) -> None:
    old = keys.create("acme", "gateway", ["step"], lasts_s=100).key
    clock.time_s += 90
    new = keys.rotate("acme", old.id, overlap_s=3600).key
    assert keys.get("acme", old.id).expires_s == old.expires_s
    assert new.expires_s == clock.time_s + 100
    keys.rotate("acme", new.id, overlap_s=5)
    assert keys.get("acme", new.id).expires_s == clock.time_s + 5
    clock.time_s += 5
    with pytest.raises(KeyUnknown):
        keys.rotate("acme", new.id, overlap_s=5)


def test_a_key_of_another_tenant_is_unknown(keys: KeyAdministration) -> None:
    key = keys.create("acme", "", ["step"]).key
    for act in (keys.get, keys.revoke):
        with pytest.raises(KeyUnknown):
            act("other", key.id)
    assert keys.list("other") == []
    assert keys.list(None) == keys.list("acme") == [key]


def test_the_number_of_keys_is_limited(keys: KeyAdministration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_keys, "MOST_KEYS", 2)
    first = keys.create("acme", "", ["step"]).key
    keys.create("acme", "", ["step"])
    with pytest.raises(KeysFull):
        keys.create("other", "", ["step"])
    assert keys.revoke("acme", first.id) == replace(first, revoked_s=first.created_s)


def test_the_secret_is_not_stored(keys: KeyAdministration, redis_url: str) -> None:
    secret = keys.create("acme", "", ["step"]).text.split("_", 2)[2].encode()
    client = sync_client(redis_url)
    dumps = [client.dump(name) or b"" for name in client.keys("*")]
    assert dumps
    assert not any(secret in dump for dump in dumps)
