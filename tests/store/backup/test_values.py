"""Values of every type come back from a backup as they were."""

import uuid

from cellar.store.backup import values
from cellar.store.topology.factory import sync_client


def test_every_type_comes_back(redis_url: str) -> None:
    client = sync_client(redis_url)
    prefix = f"test-{uuid.uuid4().hex}"
    client.set(f"{prefix}:string", b"\x00\xff")
    client.hset(f"{prefix}:hash", mapping={str(number): number for number in range(values.AT_ONCE)})
    client.sadd(f"{prefix}:set", b"a", b"b")
    client.zadd(f"{prefix}:zset", {"a": 0.1, "b": 1e300, "c": float("-inf")})
    client.rpush(f"{prefix}:list", b"a", b"b", b"a")
    client.xadd(f"{prefix}:stream", {"a": 1, "b": 2}, id="5-1")
    client.xadd(f"{prefix}:stream", {"c": 3}, id="6-0")
    client.xadd(f"{prefix}:trimmed", {"a": 1}, id="7-3", maxlen=0, approximate=False)
    for name in ("string", "hash", "set", "zset", "list", "stream", "trimmed"):
        kind = "stream" if name == "trimmed" else name
        key, copy = (f"{prefix}:{name}{end}".encode() for end in ("", ":copy"))
        before = _read(client, kind, key)
        assert before is not None
        for command in values.writing(kind, copy, before):
            client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py is typed in parts
        after = _read(client, kind, copy)
        unordered = kind in ("hash", "set")
        assert (sorted(after or []) == sorted(before)) if unordered else (after == before), name
        client.delete(key, copy)


def _read(client: object, kind: str, key: bytes) -> list[bytes] | None:
    # the object has it
    replies = [client.execute_command(*command) for command in values.reading(kind, key)]  # type: ignore[attr-defined]
    return values.packed(kind, replies)
