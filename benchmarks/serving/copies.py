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
    copy_each(source, target, ((original, name) for name in names))


def copy_each(source: "redis.Redis", target: "redis.Redis", pairs: Iterable[tuple[str, str]]) -> None:
    """Copy sessions, each pair an original and a name, to another Redis, or to the same."""
    keys = SessionKeys(PREFIX)
    for some in _slices(pairs):
        originals = list(dict.fromkeys(original for original, _ in some))
        places = [of(SessionKey(TENANT, original)) for original in originals for of in (keys.record, keys.tombstone)]
        with source.pipeline(transaction=False) as pipe:
            for place in places:
                pipe.dump(place)
                pipe.pttl(place)
            found = pipe.execute()
        parts = {original: found[4 * at : 4 * at + 4] for at, original in enumerate(originals)}
        with target.pipeline(transaction=False) as pipe:
            for original, name in some:
                new, (record, record_ms, tombstone, tombstone_ms) = SessionKey(TENANT, name), parts[original]
                pipe.restore(keys.record(new), record_ms, record or b"", replace=True)
                pipe.restore(keys.tombstone(new), tombstone_ms, tombstone or b"", replace=True)
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


def _slices(pairs: Iterable[tuple[str, str]]) -> Iterator[Sequence[tuple[str, str]]]:
    rest = iter(pairs)
    while some := list(islice(rest, AT_ONCE)):
        yield some
