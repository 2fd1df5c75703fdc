"""The caller of a request: its tenant, and the scopes of its API key."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

TenantScope = Literal["read", "step", "train", "admin"]
"""read: read everything of the tenant. step: read, and open, step and change sessions. train: read, make and change
models, and run jobs. admin: everything of the tenant, and make and revoke its keys."""

Scope = Literal["read", "step", "train", "admin", "metrics"]
"""metrics: read, and read the metrics of the whole service. It is for the operator: no other scope includes it, and
only the command line makes such keys."""

TENANT_SCOPES: tuple[TenantScope, ...] = get_args(TenantScope)
SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True, slots=True)
class Caller:
    """The client of a request. Every session, model and job that it names is one of its tenant's."""

    tenant: str
    scopes: frozenset[str] = frozenset()
    """The permissions of the caller, with those that others include."""
    key: str = ""
    """The id of the caller's API key, "" without one."""
    expires_s: float | None = None
    """When the caller must show new credentials, seconds since the Unix epoch; None: when its key ends."""
    signer: str = ""
    """The digest of the key that has signed the caller's token, "" without a token."""


def granted(scopes: Iterable[str]) -> frozenset[str]:
    """Return scopes with those that they include: `admin` has all of the tenant, and every scope has `read`.

    >>> sorted(granted(["step"]))
    ['read', 'step']
    """
    given = frozenset(scopes)
    return given | frozenset(TENANT_SCOPES) if "admin" in given else given | {"read"} if given else given


ANYBODY = Caller("default", frozenset(SCOPES))
"""The caller of every request while there are no keys: one tenant owns everything."""
