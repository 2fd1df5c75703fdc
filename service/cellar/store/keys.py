"""The Redis keys of sessions.

All keys of one session share the hash tag `{tenant/session}`, so that one script may touch them all in a cluster:

    cellar:{default/abc}            hash      the record (see `record_codec.py` for its fields)
    cellar:{default/abc}:t          string    tombstone: outlives the record, so that 410 can be told from 404
    cellar:{default/abc}:k:<key>    string    what a request with this Idempotency-Key was answered
    cellar:{default/abc}:l          stream    the inputs of its last changes, if it logs them
    cellar:{default/abc}:e          stream    its last events, if it may be watched
    cellar:{default/abc}:c          string    asks whether replicas have the rest; gone in a second
    cellar:{default/abc}:s          hash      its snapshots (see `copies.py`); has no lifetime, and goes with the record
    cellar:{default/abc}:x          hash      its shadow (see `shadows.py`); has no lifetime, and goes with the record
    cellar:{default/abc}:f:<mark>   hash      what it was when a request forked it, as long as that may come again
    cellar:default:sessions:<00-ff> zset      the tenant's sessions whose names hash to this bucket, by name
    cellar:default:of:<name@3>      set       the tenant's sessions that depend on this version (see `model_uses.py`)
    cellar:default:enlisted         string    there when all sessions of the tenant are in those sets
    cellar:default:sweep            string    how far the tenant's sessions were looked at for those that have expired
    cellar:sweep                    string    there while the next look at them is not due yet
    cellar:default:shadows          set       the tenant's sessions that have a shadow
    cellar:shadow                   string    there while shadows have been followed just now
    cellar:probe                    string    written by those who ask whether writes are taken; gone in a second
    cellar:window                   string    the replay window of the process that started last
"""

from zlib import crc32

from cellar.ports import SessionKey

BUCKETS = 256
"""A million sessions are then some 4,000 a bucket: one reply, and spread over the slots of a cluster."""


TOMBSTONE = b":t"
"""Behind the key of a record."""


class SessionKeys:
    """Names keys behind the prefix of the service."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.probe = f"{prefix}:probe".encode()
        """Written by a look at whether the store takes writes."""

        self.window = f"{prefix}:window".encode()
        """Left by who starts, for whoever starts next."""

        self.sweep_turn = f"{prefix}:sweep".encode()
        """Taken by who looks for expired sessions next."""

        self.shadow_turn = f"{prefix}:shadow".encode()
        """Taken by who lets shadows follow next."""

    def record(self, key: SessionKey) -> bytes:
        """Return the key of the record."""
        return f"{self._prefix}:{{{key.tenant}/{key.session}}}".encode()

    def tombstone(self, key: SessionKey) -> bytes:
        """Return the key that is there as long as the record, and a day longer."""
        return self.record(key) + TOMBSTONE

    def idempotency(self, key: SessionKey, name: str) -> bytes:
        """Return the key for an Idempotency-Key."""
        return self.record(key) + b":k:" + name.encode()

    def log(self, key: SessionKey) -> bytes:
        """Return the key of the input log."""
        return self.record(key) + b":l"

    def events(self, key: SessionKey) -> bytes:
        """Return the key of the events."""
        return self.record(key) + b":e"

    def mark(self, key: SessionKey) -> bytes:
        """Return the key of what is written to learn whether replicas have the rest."""
        return self.record(key) + b":c"

    def snapshots(self, key: SessionKey) -> bytes:
        """Return the key of the snapshots."""
        return self.record(key) + b":s"

    def shadow(self, key: SessionKey) -> bytes:
        """Return the key of the shadow."""
        return self.record(key) + b":x"

    def shadows(self, tenant: str) -> bytes:
        """Return the key of the names of the tenant's sessions that have a shadow."""
        return f"{self._prefix}:{tenant}:shadows".encode()

    def held(self, key: SessionKey, mark: bytes) -> bytes:
        """Return the key of a copy that is held for a request."""
        return self.record(key) + b":f:" + mark.hex().encode()

    def dependents(self, tenant: str, ref: str) -> bytes:
        """Return the key of the names of the tenant's sessions that depend on a version."""
        return f"{self._prefix}:{tenant}:of:{ref}".encode()

    def enlisted(self, tenant: str) -> bytes:
        """Return the key that is there when all of the tenant's sessions are in those sets."""
        return f"{self._prefix}:{tenant}:enlisted".encode()

    def model(self, tenant: str, name: str) -> tuple[bytes, bytes, bytes]:
        """Return the keys by which a version is found to be there or deleted (`lua/model_use.lua`)."""
        tag = f"{self._prefix}:{{models}}:{tenant}"
        return f"{tag}:highest".encode(), f"{tag}:model:{name}".encode(), f"{tag}:uses".encode()

    def bucket(self, tenant: str, bucket: int) -> bytes:
        """Return the key of a bucket of the tenant's listing."""
        return f"{self._prefix}:{tenant}:sessions:{bucket:02x}".encode()

    def sweep_cursor(self, tenant: str) -> bytes:
        """Return the key of the place up to which the tenant's listing was swept."""
        return f"{self._prefix}:{tenant}:sweep".encode()

    def bucket_of(self, key: SessionKey) -> bytes:
        """Return the key of the bucket that lists this session."""
        return self.bucket(key.tenant, crc32(key.session.encode()) % BUCKETS)
