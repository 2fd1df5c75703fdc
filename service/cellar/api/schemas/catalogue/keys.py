"""Requests that make and rotate API keys, and answers about keys and tickets."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field

from cellar.api.schemas.names import Answer, time_of
from cellar.keys.administration import NewKey
from cellar.keys.tickets import Ticket
from cellar.nn.spec.base import Frozen
from cellar.ports import ApiKey, Scope, TenantScope

MOST_LASTS_S = 100 * 365 * 24 * 3600
"""A hundred years: later times cannot be written in all formats."""

Scopes = Annotated[
    list[TenantScope],
    Field(
        min_length=1,
        description="Permissions of the key. `read`: read everything of its tenant. `step`: read, and open, step and"
        " change sessions. `train`: read, make and change models, and run jobs. `admin`: everything, and make and"
        " revoke keys.",
    ),
]


class KeyRequest(Frozen):
    """A new API key."""

    name: str = Field(min_length=1, max_length=128, description="The purpose of the key, in words.")
    scopes: Scopes
    expires_in_s: float | None = Field(
        None, gt=0, le=MOST_LASTS_S, description="Seconds after which the key ends; null if it does not."
    )


class RotationRequest(Frozen):
    """How long the old key lasts beside the new one."""

    overlap_s: float = Field(
        3600, ge=0, le=MOST_LASTS_S, description="Seconds for which the old key may still be used."
    )


class KeyAnswer(Answer):
    """An API key. Its secret is not stored."""

    id: str = Field(description="The part of the key between its underscores, by which it is found.")
    name: str
    scopes: list[Scope]
    created: datetime
    expires: datetime | None = Field(description="When it ends; null if it does not.")
    revoked: datetime | None = Field(description="When it was revoked; null if it was not.")

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        """Return the answer for a stored key."""
        return cls(**_members(key))


class NewKeyAnswer(KeyAnswer):
    """A key that was just made, with its text."""

    key: str = Field(description="The key: `cellar_<id>_<secret>`. No later answer has it.")

    @classmethod
    def made(cls, new: NewKey) -> Self:
        """Return the answer for a new key."""
        return cls(key=new.text, **_members(new.key))


class KeysAnswer(Answer):
    """The keys of the tenant, the oldest first."""

    keys: list[KeyAnswer]


class TicketAnswer(Answer):
    """A ticket: the value of the query parameter `ticket` of a WebSocket or an event stream."""

    ticket: str
    expires: datetime = Field(description="When it can no longer be used. What was opened with it stays open.")

    @classmethod
    def of(cls, ticket: Ticket) -> Self:
        """Return the answer for a new ticket."""
        return cls(ticket=ticket.text, expires=time_of(ticket.expires_s))


def _members(key: ApiKey) -> dict[str, object]:
    expires, revoked = (None if time_s is None else time_of(time_s) for time_s in (key.expires_s, key.revoked_s))
    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "created": time_of(key.created_s),
        "expires": expires,
        "revoked": revoked,
    }
