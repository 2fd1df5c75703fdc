"""Shadows of sessions in Redis.

A shadow is a hash in a key of its own, which commits neither read nor write. It has no lifetime: it is deleted when its
session is deleted, found to have expired, or replaced by a new session of its name. A set has the names of the
sessions with a shadow.
"""

from collections.abc import Sequence
from dataclasses import fields

import orjson

from cellar.errors import SessionUnknown, StoreCorrupt
from cellar.ports import SessionKey, Shadow
from cellar.store.connection.retry import RetryingClient
from cellar.store.connection.router import Router
from cellar.store.keys import SessionKeys
from cellar.store.protocol.resp import Command, items, raw, text
from cellar.store.protocol.script import load_script
from cellar.store.sessions.record_codec import unpack_incarnation, unpack_revision

SHADOW = load_script("session/shadow")

_APART = {"incarnation", "state", "own_state", "seal"}
_TOLD = [field.name for field in fields(Shadow) if field.name not in _APART]

AT_ONCE = 256
"""Most shadows that are read in one call."""


class RedisShadows:
    """Implements `cellar.ports.ShadowStore`."""

    def __init__(self, router: Router, *, prefix: str) -> None:
        self._client = RetryingClient(router)
        self._keys = SessionKeys(prefix)

    async def put(self, key: SessionKey, shadow: Shadow) -> None:
        """Store a shadow; it replaces an earlier one. Raise SessionUnknown."""
        # the name is added before the shadow, so that the shadow is found, and again after it, because another process
        # may have removed a name without a shadow in between
        name = (b"SADD", self._keys.shadows(key.tenant), key.session.encode())
        answers = await self._client.execute([name, self._store(key, b"", shadow), name], in_order=True)
        replies = [answer.result() for answer in answers]
        if replies[1] != 1:
            raise SessionUnknown(f"there is no session {key.session}")

    async def load(self, key: SessionKey) -> Shadow | None:
        """Return the shadow of the session, None if there is none."""
        (reply,) = await self._client.read([(b"HMGET", self._keys.shadow(key), b"j", b"a", b"b")])
        packed, state, own_state = items(reply)
        return None if packed is None else _unpack(raw(packed), raw(state), raw(own_state))

    async def save(self, key: SessionKey, before: Shadow, after: Shadow) -> bool:
        """Replace the shadow `before` by `after`; return False if another shadow is stored."""
        (answer,) = await self._client.execute([self._store(key, before.seal, after)])
        return answer.result() == 1

    async def delete(self, key: SessionKey) -> bool:
        """Delete the shadow; return whether there was one."""
        gone, _ = await self._client.execute([(b"DEL", self._keys.shadow(key)), self._remove_name(key)], in_order=True)
        return gone.result() == 1 or gone.resent

    async def behind(self, tenant: str) -> Sequence[SessionKey]:
        """Return the sessions of a tenant whose shadow has changes to follow, and remove names without a shadow."""
        (reply,) = await self._client.read([(b"SMEMBERS", self._keys.shadows(tenant))])
        keys = [SessionKey(tenant, text(name)) for name in items(reply)]
        found: list[SessionKey] = []
        for start in range(0, len(keys), AT_ONCE):
            found += await self._behind(keys[start : start + AT_ONCE])
        return found

    async def take_turn(self, every_s: float) -> bool:
        """Return whether this process is to run the shadows now: one process does so in each `every_s`."""
        return await self._client.take_turn(self._keys.shadow_turn, every_s)

    async def _behind(self, keys: Sequence[SessionKey]) -> list[SessionKey]:
        looks: list[Command] = []
        for key in keys:
            looks += (b"HGET", self._keys.record(key), b"h"), (b"HGET", self._keys.shadow(key), b"j")
        replies = await self._client.read(looks)
        pairs = list(zip(keys, replies[::2], replies[1::2], strict=True))
        dead = [key for key, head, packed in pairs if head is None or packed is None]
        if dead:
            await self._client.execute([self._remove_name(key) for key in dead])
        return [key for key, head, packed in pairs if key not in dead and _has_more(raw(head), raw(packed))]

    def _remove_name(self, key: SessionKey) -> Command:
        return (b"SREM", self._keys.shadows(key.tenant), key.session.encode())

    def _store(self, key: SessionKey, expected: bytes, shadow: Shadow) -> Command:
        keys = (self._keys.record(key), self._keys.shadow(key))
        states = (shadow.state, shadow.own_state)
        return SHADOW.call(keys, shadow.incarnation, expected, _pack(shadow), *states)


def _has_more(head: bytes, packed: bytes) -> bool:
    """Return whether the session has changes that the shadow has not followed, or is another session."""
    shadow = _unpack(packed, b"", b"")
    present = unpack_revision(head), unpack_incarnation(head)
    return shadow.stopped is None and present != (shadow.revision, shadow.incarnation)


def _pack(shadow: Shadow) -> bytes:
    found = {name: getattr(shadow, name) for name in _TOLD}
    return orjson.dumps({"birth": shadow.incarnation.hex(), **found})


def _unpack(packed: bytes, state: bytes, own_state: bytes) -> Shadow:
    try:
        found = orjson.loads(packed)
        found["incarnation"] = bytes.fromhex(found.pop("birth"))
        found["last"] = tuple((position, largest) for position, largest in found["last"])
        return Shadow(**found, state=state, own_state=own_state, seal=packed)
    except (ValueError, TypeError, KeyError) as error:
        raise StoreCorrupt("a damaged shadow of a session") from error
