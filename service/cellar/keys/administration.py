"""Makes, rotates and revokes API keys."""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from cellar.errors import KeyUnknown
from cellar.keys.key_text import new_key_text
from cellar.keys.pepper import Pepper
from cellar.ports import ApiKey, Clock, KeyStore, Scope


class NewKey(NamedTuple):
    """A key that was just made, with its text, which is shown once and not stored."""

    key: ApiKey
    text: str


class KeyAdministration:
    """The operations on keys. All raise StoreUnavailable; those that name a key raise KeyUnknown."""

    def __init__(self, store: KeyStore, pepper: Pepper, clock: Clock) -> None:
        self.store = store
        self.pepper = pepper
        self.clock = clock

    def create(self, tenant: str, name: str, scopes: Iterable[Scope], *, lasts_s: float | None = None) -> NewKey:
        """Make a key that ends after `lasts_s` seconds, or never. Raise KeysFull."""
        text, now_s = new_key_text(), self.clock.now_s()
        key = ApiKey(
            text.id,
            tenant,
            name,
            tuple(sorted(set(scopes))),
            self.pepper.digest(text.secret),
            now_s,
            None if lasts_s is None else now_s + lasts_s,
        )
        self.store.put(key)
        return NewKey(key, str(text))

    def rotate(self, tenant: str, key_id: str, *, overlap_s: float) -> NewKey:
        """Make a key with the rights and the lifetime of another, which ends after `overlap_s` seconds at the latest.

        Raise KeyUnknown for a key that has ended, and KeysFull.
        """
        old, now_s = self.store.get(tenant, key_id), self.clock.now_s()
        if not old.is_live(now_s):
            raise KeyUnknown(f"the API key {key_id!r} has ended")
        lasts_s = None if old.expires_s is None else old.expires_s - old.created_s
        new = self.create(tenant, old.name, old.scopes, lasts_s=lasts_s)
        until_s = now_s + overlap_s
        self.store.put(replace(old, expires_s=min(until_s, old.expires_s or until_s)))
        return new

    def revoke(self, tenant: str, key_id: str) -> ApiKey:
        """End a key at once. A revoked key stays as it is."""
        key = self.store.get(tenant, key_id)
        if key.revoked_s is None:
            key = replace(key, revoked_s=self.clock.now_s())
            self.store.put(key)
        return key

    def get(self, tenant: str, key_id: str) -> ApiKey:
        """Return a key of a tenant."""
        return self.store.get(tenant, key_id)

    def list(self, tenant: str | None) -> list[ApiKey]:
        """Return the keys of a tenant, or of all if None, the oldest first."""
        return self.store.list(tenant)

    def find(self, key_id: str) -> ApiKey:
        """Return a key of any tenant."""
        for key in self.store.list(None):
            if key.id == key_id:
                return key
        raise KeyUnknown(f"no API key {key_id!r}")
