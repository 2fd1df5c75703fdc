"""The caller of a request: its tenant, and the scopes of its API key."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The client of a request. Every session, model and job that it names is one of its tenant's."""

    tenant: str
    scopes: frozenset[str] = frozenset()
    """The permissions of the caller's API key; empty for a caller without a key."""


ANYBODY = Caller("default")
"""The caller of every request while there are no keys: one tenant owns everything."""

TENANTS = (ANYBODY.tenant,)
"""All tenants, for background work on expired sessions, shadows and deleted models."""
