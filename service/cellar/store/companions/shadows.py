"""Shadows of sessions in Redis.

A shadow is a hash in a key of its own, which commits neither read nor write. It has no lifetime: it is deleted when its
session is deleted, found to have expired, or replaced by a new session of its name. A set has the names of the
sessions with a shadow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from secrets import token_bytes

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
        version = (b"SET", self._keys.shadow_version, token_bytes(8))
        answers = await self._client.execute([name, self._store(key, b"", shadow), name, version], in_order=True)
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

    async def load_all(self, keys: Sequence[SessionKey]) -> Mapping[SessionKey, Shadow]:
        """Return the shadows of those of the sessions that have one."""
        replies = await self._client.read([(b"HMGET", self._keys.shadow(key), b"j", b"a", b"b") for key in keys])
        found = [(key, items(reply)) for key, reply in zip(keys, replies, strict=True)]
        return {key: _unpack(*map(raw, fields)) for key, fields in found if fields[0] is not None}

    async def save_all(self, changes: Sequence[tuple[SessionKey, Shadow, Shadow]]) -> Sequence[Shadow | None]:
        """Replace shadows, each by another one; return the stored shadow, or None where another one is stored."""
        commands = [self._store(key, before.seal, after) for key, before, after in changes]
        replies = [answer.result() for answer in await self._client.execute(commands)]
        return [
            replace(after, seal=_pack(after)) if reply == 1 else None
            for reply, (_, _, after) in zip(replies, changes, strict=True)
        ]

    async def version(self) -> bytes | None:
        """Return a value that is another one when a session has got a shadow."""
        (reply,) = await self._client.read([(b"GET", self._keys.shadow_version)])
        return None if reply is None else raw(reply)

    async def names(self, tenant: str) -> set[SessionKey]:
        """Return the sessions of a tenant that have a shadow."""
        (reply,) = await self._client.read([(b"SMEMBERS", self._keys.shadows(tenant))])
        return {SessionKey(tenant, text(name)) for name in items(reply)}

    async def among(self, keys: Sequence[SessionKey]) -> Sequence[SessionKey]:
        """Return those with changes that their shadow has not followed, and remove names without a shadow."""
        found: list[SessionKey] = []
        for start in range(0, len(keys), AT_ONCE):
            found += await self._behind(keys[start : start + AT_ONCE])
        return found

    async def delete(self, key: SessionKey) -> bool:
        """Delete the shadow; return whether there was one."""
        gone, _ = await self._client.execute([(b"DEL", self._keys.shadow(key)), self._remove_name(key)], in_order=True)
        return gone.result() == 1 or gone.resent

    async def behind(self, tenant: str) -> Sequence[SessionKey]:
        """Return the sessions of a tenant whose shadow has changes to follow, and remove names without a shadow."""
        return await self.among(sorted(await self.names(tenant)))

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
