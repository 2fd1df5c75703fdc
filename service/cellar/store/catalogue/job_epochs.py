"""The finished epochs of training jobs in Redis: a string with a row for each epoch, at the place of its number.

So an epoch that is written again, by the next attempt after a crash, replaces itself. Jobs of earlier releases have no
rows; of these the newest 1,000 epochs are read from the hash of the newest.
"""

import json
import math
import struct
from collections.abc import Sequence
from typing import Any

import redis

from cellar.errors import JobUnknown
from cellar.store.protocol.errors import redis_errors

ROW = struct.Struct("<Qddd")
"""Number (0: no epoch), loss, validation loss and learning rate; what is not there is NaN."""

FIELDS = ("loss", "validation_loss", "learning_rate")


def epochs_key(record: str) -> str:
    """Return the key of the rows of the job with this record."""
    return f"{record}:epochs"


def history_key(record: str) -> str:
    """Return the key of the newest epochs of the job with this record, a hash."""
    return f"{record}:history"


def packed(history: Sequence[dict[str, Any]]) -> tuple[int, bytes]:
    """Return the number of the first epoch and the rows of epochs in ascending order; no bytes without epochs."""
    if not history:
        return 0, b""
    first = int(history[0]["epoch"])
    rows = bytearray(ROW.size * (int(history[-1]["epoch"]) - first + 1))
    for epoch in history:
        values = (epoch.get(name) for name in FIELDS)
        numbers = [math.nan if value is None else value for value in values]
        ROW.pack_into(rows, ROW.size * (int(epoch["epoch"]) - first), int(epoch["epoch"]), *numbers)
    return first, bytes(rows)


def unpacked(rows: bytes) -> list[dict[str, Any]]:
    """Return the epochs in rows."""
    found = []
    for number, *values in ROW.iter_unpack(rows[: len(rows) // ROW.size * ROW.size]):
        if number:
            numbers = [None if math.isnan(value) else value for value in values]
            found.append({"epoch": number, **dict(zip(FIELDS, numbers, strict=True))})
    return found


def read_epochs(
    client: redis.Redis, record: str, job: str, after: int, limit: int
) -> tuple[list[dict[str, Any]], int | None]:
    """Return up to `limit` epochs behind a number, and the number that continues, None at the end.

    Raise JobUnknown or StoreUnavailable.
    """
    with redis_errors():
        state, begun = client.hmget(record, "state", "epochs_from")
        if state is None:
            raise JobUnknown(f"no job {job!r}")
        first = None if begun is None else int(begun)
        found = []
        if first is None or after < first - 1:
            kept = client.hgetall(history_key(record))
            numbers = [number for number in sorted(map(int, kept)) if after < number < (first or math.inf)]
            found = [json.loads(kept[b"%d" % number]) for number in numbers[:limit]]
        if first is None or len(found) == limit:
            return found, found[-1]["epoch"] if len(found) == limit else None
        begin, count = max(after - first + 1, 0), limit - len(found)
        read = client.getrange(epochs_key(record), ROW.size * begin, ROW.size * (begin + count) - 1)
        rows = read if isinstance(read, bytes) else b""
    found += unpacked(rows)
    return found, first + begin + count - 1 if len(rows) == ROW.size * count else None
