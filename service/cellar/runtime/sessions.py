"""Sessions as a service: what every transport calls, in its own words of arrays and positions."""

from collections.abc import Mapping
from typing import Protocol

from cellar.ports import Identity, SessionKey
from cellar.runtime.answers import (
    ChangeAnswer,
    CreateAnswer,
    Floats,
    PageAnswer,
    SessionAnswer,
    StateAnswer,
    StepAnswer,
)


class Sessions(Protocol):
    """Create, step, read and end sessions.

    Every method may raise StoreUnavailable and, for a session that is not there, SessionUnknown or SessionExpired.
    """

    async def create(
        self, tenant: str, *, model: str, session: str | None = None, batch_size: int = 1, ttl_s: int | None = None
    ) -> CreateAnswer:
        """Create a session of a model (`name` or `name@3`); a name is made up if None.

        The same request again answers the same session. Raise AlreadyExists, ModelUnknown or InvalidInput.
        """
        ...

    async def get(self, key: SessionKey) -> SessionAnswer:
        """Return the session without its state."""
        ...

    async def list(self, tenant: str, *, cursor: str = "", limit: int = 100) -> PageAnswer:
        """Return up to `limit` sessions after `cursor`. Raise InvalidInput for a cursor that is none."""
        ...

    async def delete(self, key: SessionKey) -> None:
        """Delete the session."""
        ...

    async def step(self, key: SessionKey, inputs: Floats, identity: Identity) -> StepAnswer:
        """Advance by one step. `inputs` is (batch_size, in_size) float32."""
        ...

    async def sequence(self, key: SessionKey, inputs: Floats, identity: Identity) -> StepAnswer:
        """Advance by T steps, all or nothing. `inputs` is (T, batch_size, in_size) float32."""
        ...

    async def reset(self, key: SessionKey, identity: Identity) -> ChangeAnswer:
        """Go back to the initial state, at step 0 of a new epoch."""
        ...

    async def read_state(self, key: SessionKey) -> StateAnswer:
        """Return the state, layer by layer."""
        ...

    async def write_state(
        self, key: SessionKey, parts: Mapping[tuple[int, str], Floats], identity: Identity
    ) -> ChangeAnswer:
        """Replace the whole state: (layer, name) -> (batch_size, size) float32; step 0 of a new epoch."""
        ...
