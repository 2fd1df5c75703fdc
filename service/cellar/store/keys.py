"""The Redis keys of sessions.

All keys of one session share the hash tag `{tenant/session}`, so that one script may touch them all in a cluster. In
it `}` is written `%7D` and `%` is written `%25`, so that the tag ends with the name and no two sessions share a key:

    cellar:{default/abc}            hash      the record (see `record_codec.py` for its fields)
    cellar:{default/abc}:t          string    tombstone: outlives the record, so that 410 can be told from 404
    cellar:{default/abc}:k          hash      the last answers for Idempotency-Keys (see `keyed_answer.py`)
    cellar:{default/abc}:k:<key>    string    the answer for this Idempotency-Key, from an earlier version of Cellar
    cellar:{default/abc}:l          stream    the inputs of its last changes, if it has a log
    cellar:{default/abc}:e          stream    its last events, if it has events
    cellar:{default/abc}:c          string    written to check that replicas have the rest; expires in a second
    cellar:{default/abc}:s          hash      its snapshots (see `snapshots.py`); deleted with the record
    cellar:{default/abc}:x          hash      its shadow (see `shadows.py`); deleted with the record
    cellar:{default/abc}:f:<mark>   hash      a copy of the session for a fork, while that request may be repeated
    cellar:default:sessions:<00-ff> zset      the tenant's sessions whose names hash to this bucket, by name
    cellar:default:by:<name@3>      zset      the tenant's sessions that depend on this version, by name
    cellar:default:depended         zset      the versions of which there is such a set, by reference
    cellar:default:indexed          string    exists when all sessions of the tenant are in those sets
    cellar:default:indexing         string    how far the tenant's sessions have been added to them
    cellar:default:of:<name@3>      set       what older versions of Cellar have in their place
    cellar:default:sweep            string    how far the tenant's sessions have been searched for expired ones
    cellar:sweep                    string    exists while the next part of that search is not due
    cellar:default:shadows          set       the tenant's sessions that have a shadow
    cellar:shadows                  string    random bytes, others after a session has got a shadow
    cellar:shadow                   string    exists while the next run of the shadows is not due
    cellar:{default/abc}:d:<id>:<n> string    mark that part n of a deletion of many sessions has deleted it
    cellar:{deletions}:default      set       the deletions of many sessions that have not ended
    cellar:{deletions}:default:<id> hash      one of them, as JSON (see `deletions.py`)
    cellar:probe                    string    written to check that Redis takes writes; expires in a second
    cellar:window                   string    the replay window of the process that started last
"""

from zlib import crc32

from cellar.ports import SessionKey

BUCKETS = 256
"""Buckets of a tenant's listing: a million sessions are about 4,000 in each, which is one reply, and the buckets are
spread over the slots of a cluster."""


TOMBSTONE = b":t"
"""Suffix of the key of a tombstone."""

ANSWERS, LOG, EVENTS, SNAPSHOTS, SHADOW = b":k", b":l", b":e", b":s", b":x"

COMPANIONS = LOG, EVENTS, SNAPSHOTS, SHADOW, ANSWERS
"""Suffixes of the keys that a session may have besides its record and its tombstone."""


class SessionKeys:
    """Returns keys with the prefix of the service."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.probe = f"{prefix}:probe".encode()
        """Written to check that the store takes writes."""

        self.window = f"{prefix}:window".encode()
        """Holds the replay window of the process that started last."""

        self.sweep_turn = f"{prefix}:sweep".encode()
        """Held by the process that searches for expired sessions now."""

        self.shadow_turn = f"{prefix}:shadow".encode()
        """Held by the process that looks for shadows that are behind."""

        self.shadow_version = f"{prefix}:shadows".encode()
        """Set to another value when a session gets a shadow."""

    def record(self, key: SessionKey) -> bytes:
        """Return the key of the record."""
        session = key.session
        if "}" in session or "%" in session:  # a brace would end the hash tag
            session = session.replace("%", "%25").replace("}", "%7D")
        return f"{self._prefix}:{{{key.tenant}/{session}}}".encode()

    def tombstone(self, key: SessionKey) -> bytes:
        """Return the key that exists as long as the record, and a day longer."""
        return self.record(key) + TOMBSTONE

    def answers(self, key: SessionKey) -> bytes:
        """Return the key of the last answers for Idempotency-Keys."""
        return self.record(key) + ANSWERS

    def older_answer(self, key: SessionKey, name: str) -> bytes:
        """Return the key under which an earlier version of Cellar has stored the answer for an Idempotency-Key."""
        return self.record(key) + b":k:" + name.encode()

    def log(self, key: SessionKey) -> bytes:
        """Return the key of the input log."""
        return self.record(key) + LOG

    def events(self, key: SessionKey) -> bytes:
        """Return the key of the events."""
        return self.record(key) + EVENTS

    def mark(self, key: SessionKey) -> bytes:
        """Return the key that is written to check that replicas have the rest."""
        return self.record(key) + b":c"

    def snapshots(self, key: SessionKey) -> bytes:
        """Return the key of the snapshots."""
        return self.record(key) + SNAPSHOTS

    def shadow(self, key: SessionKey) -> bytes:
        """Return the key of the shadow."""
        return self.record(key) + SHADOW

    def shadows(self, tenant: str) -> bytes:
        """Return the key of the names of the tenant's sessions that have a shadow."""
        return f"{self._prefix}:{tenant}:shadows".encode()

    def held(self, key: SessionKey, mark: bytes) -> bytes:
        """Return the key of a copy that is kept for a request."""
        return self.record(key) + b":f:" + mark.hex().encode()

    def deletions(self, tenant: str) -> bytes:
        """Return the key of the names of the tenant's deletions that have not ended."""
        return f"{self._prefix}:{{deletions}}:{tenant}".encode()

    def deletion(self, tenant: str, deletion: str) -> bytes:
        """Return the key of a deletion of many sessions."""
        return f"{self._prefix}:{{deletions}}:{tenant}:{deletion}".encode()

    def deleted_by(self, key: SessionKey, deletion: str, part: int) -> bytes:
        """Return the key of the mark that a part of a deletion has deleted the session."""
        return self.record(key) + f":d:{deletion}:{part}".encode()

    def dependents(self, tenant: str, ref: str) -> bytes:
        """Return the key of the names of the tenant's sessions that depend on a version."""
        return f"{self._prefix}:{tenant}:by:{ref}".encode()

    def depended(self, tenant: str) -> bytes:
        """Return the key of the versions on which sessions of the tenant have depended."""
        return f"{self._prefix}:{tenant}:depended".encode()

    def indexed(self, tenant: str) -> bytes:
        """Return the key that exists when all of the tenant's sessions are in the sets of `dependents`."""
        return f"{self._prefix}:{tenant}:indexed".encode()

    def index_cursor(self, tenant: str) -> bytes:
        """Return the key of the place up to which the tenant's sessions have been added to these sets."""
        return f"{self._prefix}:{tenant}:indexing".encode()

    def unordered(self, tenant: str, ref: str) -> bytes:
        """Return the key of the set that older versions of Cellar have in the place of that of `dependents`."""
        return f"{self._prefix}:{tenant}:of:{ref}".encode()

    def model(self, tenant: str, name: str) -> tuple[bytes, bytes, bytes]:
        """Return the keys that tell whether a version exists or was deleted (`lua/model/use.lua`)."""
        tag = f"{self._prefix}:{{models}}:{tenant}"
        return f"{tag}:highest".encode(), f"{tag}:model:{name}".encode(), f"{tag}:uses".encode()

    def versions(self, tenant: str, name: str) -> tuple[bytes, bytes]:
        """Return the keys of the numbers of the newest versions, by name, and of the versions of a model."""
        tag = f"{self._prefix}:{{models}}:{tenant}"
        return f"{tag}:newest".encode(), f"{tag}:model:{name}".encode()

    def bucket(self, tenant: str, bucket: int) -> bytes:
        """Return the key of a bucket of the tenant's listing."""
        return f"{self._prefix}:{tenant}:sessions:{bucket:02x}".encode()

    def sweep_cursor(self, tenant: str) -> bytes:
        """Return the key of the place up to which the tenant's listing was searched for expired sessions."""
        return f"{self._prefix}:{tenant}:sweep".encode()

    def bucket_of(self, key: SessionKey) -> bytes:
        """Return the key of the bucket that lists this session."""
        return self.bucket(key.tenant, crc32(key.session.encode()) % BUCKETS)
