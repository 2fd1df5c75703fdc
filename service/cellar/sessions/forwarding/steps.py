"""The entry point for steps in a process that has siblings: a step goes to the process that owns its session."""

from collections.abc import Sequence
from typing import Any

from cellar.errors import Overloaded
from cellar.ports import SessionKey, StepCommand
from cellar.sessions.forwarding.forwarded import ForwardedBatch, ForwardedStep
from cellar.sessions.forwarding.owner_connection import OwnerConnection
from cellar.sessions.forwarding.ownership import BUCKETS, bucket_of
from cellar.sessions.requests.request import PendingResult, PendingSteps
from cellar.sessions.service.steps import Steps

MOST_FORWARDED_BYTES = 1024 * 1024
"""Larger inputs are run where they came: they take longer than reading the session, and would be copied five times."""


class _InFlight:
    """The steps of a session in flight to one process. Others that must come after them are held."""

    __slots__ = ("count", "held", "owner")

    def __init__(self, owner: OwnerConnection) -> None:
        self.owner = owner
        self.count = 1
        self.held: list[ForwardedStep] = []


class ForwardingSteps(Steps):
    """Forwards steps to the owners of their sessions, and runs those of its own sessions as `Steps` does.

    Steps of a session keep their order: while some are in flight to one process, or wait here, others go there too.
    """

    def __init__(self, local: Steps) -> None:
        super().__init__(local.scheduler, local.memory, max_sequence_steps=local.max_sequence_steps)
        self.owners: Sequence[OwnerConnection | None] = [None] * BUCKETS
        """The owner of each bucket; None if it is this process, or takes no steps now."""
        self._in_flight: dict[SessionKey, _InFlight] = {}

    def queue(self, command: StepCommand, after: PendingResult[Any] | None = None) -> PendingSteps:
        """Queue or forward steps and return their pending result, as `Steps.queue`.

        If the owner ends or hangs, steps that are recognised when they are repeated are submitted here. Others raise
        StoreUnavailable with the outcome `unknown`, unless they had not been sent.
        """
        key = command.session
        current = self._in_flight.get(key)
        owner = self.owners[bucket_of(key[1])] if current is None else current.owner
        if current is None and (
            owner is None or command.inputs.nbytes > MOST_FORWARDED_BYTES or self.scheduler.is_busy(key)
        ):
            return super().queue(command, after)
        assert owner is not None
        if after is not None and after.done() and after.failed:
            return super().queue(command, after)  # which ends it
        if current is None:
            step = owner.forward(command, after)
            self._in_flight[key] = _InFlight(owner)
        elif owner.is_taking and not current.held:
            step = owner.forward(command, after)
            current.count += 1
        else:
            step = self._hold(current, command, after)
        return step

    def check_room(self, key: SessionKey, deadline_s: float | None, came_s: float | None = None) -> None:
        """Raise as `Steps.check_room`, if this process owns the session."""
        if self.owners[bucket_of(key[1])] is None:
            super().check_room(key, deadline_s, came_s)

    def end(self, step: ForwardedStep) -> None:
        """Note that a step is not in flight any more. With the last one of a session submit those that were held."""
        key = step.command.session
        current = self._in_flight[key]
        current.count -= 1
        if not current.count:
            del self._in_flight[key]
            for held in current.held:
                if not held.done():
                    held.submit_again(self.queue)

    def submit_here(self, command: StepCommand, after: PendingResult[Any] | None = None) -> PendingSteps:
        """Queue steps in this process, also those of a session that another one owns."""
        return super().queue(command, after)

    def _hold(self, current: _InFlight, command: StepCommand, after: PendingResult[Any] | None) -> ForwardedStep:
        """Keep a step until those in flight are answered: their process takes no others."""
        if len(current.held) >= self.admission.most:
            raise Overloaded("too many steps wait while their session changes its process (CELLAR_QUEUE_LIMIT)")
        kind = ForwardedBatch if command.kind == "batch" else ForwardedStep
        step = kind(command, after, 0, 0, lambda _: None)
        current.held.append(step)
        return step
