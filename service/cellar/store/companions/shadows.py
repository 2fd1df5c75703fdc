"""The port of shadows on Redis.

A shadow is a hash beside the record, in a key of its own: no commit touches it, and it touches no commit. It has no
lifetime; it goes with the record, by the hand of whoever deletes the session, finds that it has expired, or creates
another one of its name. A set names the sessions that have one.
"""

from collections.abc import Sequence
from dataclasses import fields

import orjson

from cellar.errors import SessionUnknown, StoreCorrupt
from cellar.ports import SessionKey, Shadow
from cellar.store.connection.retry import RetryingClient
from cellar.store.connection.router import Router
from cellar.store.keys import SessionKeys
from cellar.store.protocol.replies import items, raw, text
from cellar.store.protocol.resp import Command
from cellar.store.protocol.script import load_script
from cellar.store.sessions.record_codec import unpack_incarnation, unpack_revision

SHADOW = load_script("session/shadow")

_APART = {"incarnation", "state", "own_state", "seal"}
_TOLD = [field.name for field in fields(Shadow) if field.name not in _APART]

AT_ONCE = 256
"""Shadows that are looked at in one call."""


class RedisShadows:
    """Implements `cellar.ports.ShadowStore`."""

    def __init__(self, router: Router, *, prefix: str) -> None:
        self._client = RetryingClient(router)
        self._keys = SessionKeys(prefix)

    async def put(self, key: SessionKey, shadow: Shadow) -> None:
        """Store a shadow in the place of another one. Raise SessionUnknown."""
        # named before, so that it is found, and after, for those who have just found the name without a shadow
        name = (b"SADD", self._keys.shadows(key.tenant), key.session.encode())
        answers = await self._client.execute([name, self._store(key, b"", shadow), name], in_order=True)
        replies = [answer.result() for answer in answers]
        if replies[1] != 1:
            raise SessionUnknown(f"there is no session {key.session}")

    async def load(self, key: SessionKey) -> Shadow | None:
        """Return the shadow of the session, None if there is none."""
        (reply,) = await self._client.read([(b"HMGET", self._keys.shadow(key), b"j", b"a", b"b")])
        told, state, own_state = items(reply)
        return None if told is None else _unpack(raw(told), raw(state), raw(own_state))

    async def save(self, key: SessionKey, before: Shadow, after: Shadow) -> bool:
        """Store how far it has come, if it is still where it was; return whether that was so."""
        (answer,) = await self._client.execute([self._store(key, before.seal, after)])
        return answer.result() == 1

    async def delete(self, key: SessionKey) -> bool:
        """Delete the shadow; return whether there was one."""
        gone, _ = await self._client.execute([(b"DEL", self._keys.shadow(key)), self._deny(key)], in_order=True)
        return gone.result() == 1 or gone.resent

    async def behind(self, tenant: str) -> Sequence[SessionKey]:
        """Return the sessions of a tenant whose shadows have something to follow; forget those that have none."""
        (reply,) = await self._client.read([(b"SMEMBERS", self._keys.shadows(tenant))])
        keys = [SessionKey(tenant, text(name)) for name in items(reply)]
        found: list[SessionKey] = []
        for start in range(0, len(keys), AT_ONCE):
            found += await self._behind(keys[start : start + AT_ONCE])
        return found

    async def take_turn(self, every_s: float) -> bool:
        """Return whether it is for this process to let shadows follow now."""
        return await self._client.take_turn(self._keys.shadow_turn, every_s)

    async def _behind(self, keys: Sequence[SessionKey]) -> list[SessionKey]:
        looks: list[Command] = []
        for key in keys:
            looks += (b"HGET", self._keys.record(key), b"h"), (b"HGET", self._keys.shadow(key), b"j")
        replies = await self._client.read(looks)
        pairs = list(zip(keys, replies[::2], replies[1::2], strict=True))
        dead = [key for key, head, told in pairs if head is None or told is None]
        if dead:
            await self._client.execute([self._deny(key) for key in dead])
        return [key for key, head, told in pairs if key not in dead and _has_more(raw(head), raw(told))]

    def _deny(self, key: SessionKey) -> Command:
        return (b"SREM", self._keys.shadows(key.tenant), key.session.encode())

    def _store(self, key: SessionKey, expected: bytes, shadow: Shadow) -> Command:
        keys = (self._keys.record(key), self._keys.shadow(key))
        states = (shadow.state, shadow.own_state)
        return SHADOW.call(keys, shadow.incarnation, expected, _pack(shadow), *states)


def _has_more(head: bytes, told: bytes) -> bool:
    """Return whether the session has moved on, or is another one, since the shadow has followed it."""
    shadow = _unpack(told, b"", b"")
    present = unpack_revision(head), unpack_incarnation(head)
    return shadow.stopped is None and present != (shadow.revision, shadow.incarnation)


def _pack(shadow: Shadow) -> bytes:
    found = {name: getattr(shadow, name) for name in _TOLD}
    return orjson.dumps({"birth": shadow.incarnation.hex(), **found})


def _unpack(told: bytes, state: bytes, own_state: bytes) -> Shadow:
    try:
        found = orjson.loads(told)
        found["incarnation"] = bytes.fromhex(found.pop("birth"))
        found["last"] = tuple((position, largest) for position, largest in found["last"])
        return Shadow(**found, state=state, own_state=own_state, seal=told)
    except (ValueError, TypeError, KeyError) as error:
        raise StoreCorrupt("a damaged shadow of a session") from error
