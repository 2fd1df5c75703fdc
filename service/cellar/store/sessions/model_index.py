"""The index of sessions by model: for each version a sorted set of the sessions that depend on it, by name.

A name is added before the session depends on the version and again after it, and is removed with the session. It may
stay in the set of a version that the session has left; so a reader of a set reads the sessions as well, and removes
the names of those that do not depend on the version. The sets that have had a name are listed in a sorted set of their
own, by version, so that all versions of a model are found.

Older versions of Cellar had no such index, or unordered sets. `complete_some` reads all sessions of a tenant once, some
at a time, and adds them. Until that is done, lists are read from the listing of all sessions.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence

from cellar.ports import SessionKey
from cellar.store.connection.retry import RetryingClient
from cellar.store.keys import SessionKeys
from cellar.store.protocol.resp import Command, items, number, text
from cellar.store.sessions.index import SessionIndex

AT_ONCE = 256
"""Names that are read in one call."""

Refs = Callable[[Sequence[SessionKey]], Awaitable[Sequence[tuple[SessionKey, Iterable[str]]]]]
"""Returns sessions with the versions on which they depend."""


class ModelIndex:
    """Adds, removes and reads names by version."""

    def __init__(self, client: RetryingClient, keys: SessionKeys, listing: SessionIndex) -> None:
        self._client = client
        self._keys = keys
        self._listing = listing

    def add(self, tenant: str, ref: str, names: Sequence[bytes]) -> list[Command]:
        """Return the commands that add sessions to the set of a version."""
        scored = [part for name in names for part in (b"0", name)]
        return [
            (b"ZADD", self._keys.dependents(tenant, ref), *scored),
            (b"ZADD", self._keys.depended(tenant), b"0", ref.encode()),
        ]

    async def remove(self, keys: Sequence[SessionKey], ref: str) -> None:
        """Remove sessions of one tenant from the set of a version."""
        names = [key.session.encode() for key in keys]
        await self._client.execute([(b"ZREM", self._keys.dependents(keys[0].tenant, ref), *names)])

    async def count(self, tenant: str, ref: str) -> int:
        """Return the number of names in the set of a version."""
        (size,) = await self._client.read([(b"ZCARD", self._keys.dependents(tenant, ref))])
        return number(size)

    async def some(self, tenant: str, ref: str, count: int) -> list[SessionKey]:
        """Return some names from the set of a version, chosen at random."""
        command = (b"ZRANDMEMBER", self._keys.dependents(tenant, ref), b"%d" % count)
        return [SessionKey(tenant, text(name)) for name in items((await self._client.read([command]))[0])]

    async def names(
        self, tenant: str, refs: Sequence[str], last: str, limit: int, prefix: str = ""
    ) -> tuple[list[str], bool]:
        """Return names after `last` in the sets of these versions in ascending order of their UTF-8 bytes.

        The bool is whether all that are left were returned; otherwise there are at least `limit`, or as many as were
        read in one call.
        """
        begin, end = (b"[" + prefix.encode(), b"[" + prefix.encode() + b"\xff") if prefix else (b"-", b"+")
        after = b"(" + last.encode(errors="surrogateescape") if last and last >= prefix else begin
        most = max(8, min(limit, -(-4 * limit // max(1, len(refs)))))
        spans = await self._client.read(
            [
                (b"ZRANGEBYLEX", self._keys.dependents(tenant, ref), after, end, b"LIMIT", b"0", b"%d" % most)
                for ref in refs
            ]
        )
        found: set[str] = set()
        ends = []
        for span in spans:
            names = [text(name) for name in items(span)]
            found.update(names)
            if len(names) == most:
                ends.append(names[-1])
        ordered = sorted(found, key=_bytes)
        if not ends:
            return ordered, True
        until = min(map(_bytes, ends))  # behind it a set that was not read to its end may have others in between
        return [name for name in ordered if _bytes(name) <= until], False

    async def versions(self, tenant: str, name: str) -> list[str]:
        """Return the versions of a model that sessions have depended on."""
        begin, end = f"[{name}@".encode(), f"[{name}@\xff".encode()
        command = (b"ZRANGEBYLEX", self._keys.depended(tenant), begin, end)
        return [text(ref) for ref in items((await self._client.read([command]))[0])]

    async def forget_empty(self, tenant: str, refs: Sequence[str]) -> None:
        """Remove versions without names from the list of versions, and add those again that get one meanwhile."""
        empty = [ref for ref, size in zip(refs, await self._sizes(tenant, refs), strict=True) if not size]
        if not empty:
            return
        depended = self._keys.depended(tenant)
        await self._client.execute([(b"ZREM", depended, *[ref.encode() for ref in empty])])
        back = [ref for ref, size in zip(empty, await self._sizes(tenant, empty), strict=True) if size]
        await self._client.execute([(b"ZADD", depended, b"0", ref.encode()) for ref in back])

    async def _sizes(self, tenant: str, refs: Sequence[str]) -> list[int]:
        commands = [(b"ZCARD", self._keys.dependents(tenant, ref)) for ref in refs]
        return [number(size) for size in await self._client.read(commands)] if commands else []

    # --- data of older versions ---------------------------------------------------------------------------------------

    async def is_complete(self, tenant: str) -> bool:
        """Return whether the index has all sessions. It is read each time: a store may be restored from a backup."""
        (done,) = await self._client.read([(b"EXISTS", self._keys.indexed(tenant))])
        return done == 1

    async def complete_some(self, tenant: str, refs: Refs) -> bool:
        """Add some of the sessions that older versions of Cellar have created; return whether all are in the index.

        The place is kept in the store: another process continues there, and repeats at most one call.
        """
        done, cursor = await self._client.read(
            [(b"EXISTS", self._keys.indexed(tenant)), (b"GET", self._keys.index_cursor(tenant))]
        )
        if done == 1:
            return True
        keys, after = await self._listing.next_names(tenant, "" if cursor is None else text(cursor))
        commands: list[Command] = []
        for key, depends in await refs(keys) if keys else []:
            for ref in depends:
                commands += self.add(tenant, ref, [key.session.encode()])
        if commands:
            await self._client.execute(commands)
        place = self._keys.index_cursor(tenant)
        if after:
            await self._client.execute([(b"SET", place, after.encode())])
        else:
            await self._client.execute([(b"SET", self._keys.indexed(tenant), b""), (b"UNLINK", place)])
        return not after

    async def absorb(self, tenant: str, ref: str) -> None:
        """Move the names in the unordered set of a version, to which older processes may still add, to the index."""
        old, cursor = self._keys.unordered(tenant, ref), b"0"
        while True:
            cursor, found = items((await self._client.read([(b"SSCAN", old, cursor, b"COUNT", b"%d" % AT_ONCE)]))[0])
            names = [text(name).encode(errors="surrogateescape") for name in items(found)]
            if names:
                await self._client.execute(self.add(tenant, ref, names))
                await self._client.execute([(b"SREM", old, *names)])
            if cursor == b"0":
                return


def _bytes(name: str) -> bytes:
    return name.encode(errors="surrogateescape")
