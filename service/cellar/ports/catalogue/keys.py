"""API keys: values and protocol of their store."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from cellar.ports.caller import Scope


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as stored. The secret itself is not stored."""

    id: str
    """The public part of the key, by which it is found."""
    tenant: str
    name: str
    """The purpose of the key, in its owner's words."""
    scopes: tuple[Scope, ...]
    digest: bytes
    """32 bytes: HMAC-SHA-256 of the secret under the pepper of the installation."""
    created_s: float
    expires_s: float | None = None
    """When it ends; None if it does not. Seconds since the Unix epoch, as all times here."""
    revoked_s: float | None = None

    def is_live(self, now_s: float) -> bool:
        """Return whether the key may be used."""
        return self.revoked_s is None and (self.expires_s is None or now_s < self.expires_s)


class KeyChanges(NamedTuple):
    """The keys that were made or changed after a revision, and the revision after them."""

    revision: int
    keys: list[ApiKey]


class KeyStore(Protocol):
    """Stores API keys. Synchronous and safe to call from several threads. All methods raise StoreUnavailable."""

    def put(self, key: ApiKey) -> None:
        """Store a new key, or a new form of one. Raise KeysFull if there are too many."""

    def get(self, tenant: str, key_id: str) -> ApiKey:
        """Return a tenant's key. Raise KeyUnknown."""

    def list(self, tenant: str | None) -> list[ApiKey]:
        """Return the keys of a tenant, or of all if None, the oldest first."""

    def changes(self, since: int) -> KeyChanges:
        """Return the changes since a revision; 0 is before the first change."""

    def add_tenants(self, tenants: Iterable[str]) -> None:
        """Remember tenants that have no key, because their clients send tokens. It is a change."""

    def tenants(self) -> Iterable[str]:
        """Return the tenants that have or had a key, and those that were added."""

    def check_pepper(self, mark: bytes) -> bool:
        """Return whether keys are stored under the pepper with this mark; the first call sets it."""
        ...
