"""Sessions, with short ways to ask for steps."""

from typing import Any, Literal, cast

from cellar.ports import APPEND, Floats, Identity, SessionKey, StepCommand, StepResult
from cellar.sessions.forwarding.forwarded import PendingBatch
from cellar.sessions.requests.request import PendingResult, PendingSteps
from cellar.sessions.service.sessions import Sessions


class AskingSessions(Sessions):
    """Sessions that make the commands of their tests."""

    def ask(
        self,
        key: SessionKey,
        kind: Literal["step", "sequence"],
        inputs: Floats,
        identity: Identity = APPEND,
        *,
        after: PendingResult[Any] | None = None,
        **more: Any,
    ) -> PendingSteps:
        """Queue a step, (1, rows, in_size), or a sequence, (T, rows, in_size)."""
        return self.steps.submit(StepCommand(key, inputs, identity, kind=kind, **more), after)

    def ask_batch(
        self, key: SessionKey, inputs: Floats, first: int | None = None, *, after: PendingResult[Any] | None = None
    ) -> PendingBatch:
        """Queue single steps (T, rows, in_size), numbered from `first` or to be appended."""
        identity = APPEND if first is None else Identity(step=first)
        command = StepCommand(key, inputs, identity, kind="batch", is_finite=True)
        return cast("PendingBatch", self.steps.submit(command, after))

    async def step(self, key: SessionKey, inputs: Floats, identity: Identity, **more: Any) -> StepResult:
        """Advance by one step. `inputs` is (rows, in_size)."""
        return await self.ask(key, "step", inputs[None], identity, **more)

    async def sequence(self, key: SessionKey, inputs: Floats, identity: Identity, **more: Any) -> StepResult:
        """Advance by T steps. `inputs` is (T, rows, in_size)."""
        return await self.ask(key, "sequence", inputs, identity, **more)
