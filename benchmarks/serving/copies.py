"""Creates many sessions quickly, as copies of one that the service created.

DUMP and RESTORE copy the record and its tombstone, and the name is added to the index as by the service.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import redis

from cellar.ports import SessionKey
from cellar.store.keys import SessionKeys

PREFIX = "cellar"

TENANT = "default"

AT_ONCE = 1000
"""Copies in one pipeline."""


def copy(source: "redis.Redis", target: "redis.Redis", original: str, names: Iterable[str]) -> None:
    """Copy a session under other names to another Redis, or to the same."""
    keys = SessionKeys(PREFIX)
    key = SessionKey(TENANT, original)
    parts = [(of, source.dump(of(key)) or b"", source.pttl(of(key))) for of in (keys.record, keys.tombstone)]
    for some in _slices(names):
        with target.pipeline(transaction=False) as pipe:
            for name in some:
                new = SessionKey(TENANT, name)
                for of, data, ttl_ms in parts:
                    pipe.restore(of(new), ttl_ms, data, replace=True)
                pipe.zadd(keys.bucket_of(new), {name: 0})
            pipe.execute()


def record_bytes(client: "redis.Redis", name: str) -> int:
    """Return the memory of the record and tombstone of a session, as MEMORY USAGE counts all fields."""
    keys, key = SessionKeys(PREFIX), SessionKey(TENANT, name)
    return sum(int(client.memory_usage(of(key), samples=0) or 0) for of in (keys.record, keys.tombstone))


def in_buckets(count: int, buckets: int) -> Iterator[str]:
    """Yield `count` names that belong to the first `buckets` buckets of the index."""
    keys = SessionKeys(PREFIX)
    wanted = {keys.bucket(TENANT, bucket) for bucket in range(buckets)}
    numbers = (f"m{number:023d}" for number in range(1 << 62))
    yield from islice((name for name in numbers if keys.bucket_of(SessionKey(TENANT, name)) in wanted), count)


def _slices(names: Iterable[str]) -> Iterator[Sequence[str]]:
    rest = iter(names)
    while some := list(islice(rest, AT_ONCE)):
        yield some
