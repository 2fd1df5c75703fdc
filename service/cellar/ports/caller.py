"""Who asks for something: the owner of what is asked for, and what the owner's key allows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The client of a request. Every session, model and job that it names is one of its tenant's."""

    tenant: str
    scopes: frozenset[str] = frozenset()
    """What it may do, as its key says; of a caller without a key they are empty."""


ANYBODY = Caller("default")
"""Every caller, as long as there are no keys: one tenant owns everything."""

TENANTS = (ANYBODY.tenant,)
"""All tenants, whose expired sessions, shadows and deleted models a service looks after."""
