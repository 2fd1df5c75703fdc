"""The connection to a process that owns sessions: sends it the steps of a turn of the event loop in one message."""

import asyncio
import logging
from collections.abc import Callable
from itertools import count
from time import monotonic
from typing import Any, cast

from cellar.errors import NotReached, Overloaded
from cellar.ports import StepCommand
from cellar.sessions.forwarding.forwarded import ForwardedBatch, ForwardedStep, Submit
from cellar.sessions.forwarding.messages import GREETING, MessageReader, Plain, pack, pack_command
from cellar.sessions.requests.request import PendingResult

logger = logging.getLogger(__name__)

MOST_BYTES = 64 * 1024 * 1024
"""Inputs in flight to one process: those of a thousand large steps. More are refused."""

COMMAND_BYTES = 1024
"""Memory of a command without its inputs: measured at 0.9 KB."""

CHECK_S = 1.0
"""Interval in which a process must send something while it has steps to answer. If it does not, it is asked to."""

PATIENCE = 4
"""Silent intervals after which the connection is given up. A pause of a healthy process is shorter than a second."""


class OwnerConnection(asyncio.Protocol):
    """Forwards steps to one process, and gives them its answers.

    `changed` is called when the process begins or ends to take steps. `ended` is called with each step that is not in
    flight any more, before its answer is given or after it was submitted again.
    """

    def __init__(
        self, changed: Callable[[], object], ended: Callable[[ForwardedStep], object], submit: Submit, most_steps: int
    ) -> None:
        self.is_taking = False
        """Whether the process takes steps."""
        self.closed = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._changed = changed
        self._ended = ended
        self._submit = submit
        self._most_steps = most_steps
        self._reader = MessageReader()
        self._steps: dict[int, ForwardedStep] = {}
        """Steps in flight by their number, in the order in which they came."""
        self._numbers = count(1)
        self._count = self._bytes = 0
        self._outbox: list[ForwardedStep] = []
        self._cancelled: list[int] = []
        self._is_scheduled = self._has_sent_all = False
        self._timer: asyncio.TimerHandle | None = None
        self._has_heard = False
        self._silent = 0

    def forward(self, command: StepCommand, after: PendingResult[Any] | None) -> ForwardedStep:
        """Send the process a command; `after` is as of `Steps.submit`. Raise Overloaded if too many are in flight."""
        nbytes = command.inputs.nbytes + COMMAND_BYTES
        steps = len(command.inputs) if command.kind == "batch" else 1
        if self._count + steps > self._most_steps or (self._bytes and self._bytes + nbytes > MOST_BYTES):
            raise Overloaded("too many steps wait for the process that owns their sessions (CELLAR_QUEUE_LIMIT)")
        if command.deadline_s is not None and command.came_s is None:
            command.came_s = monotonic()
        kind = ForwardedBatch if command.kind == "batch" else ForwardedStep
        step = kind(command, after, next(self._numbers), nbytes, self._cancel)
        self._steps[step.number] = step
        self._count += steps
        self._bytes += nbytes
        self._outbox.append(step)
        self._schedule()
        return step

    def close(self) -> None:
        """Close the connection. Steps in flight are submitted again."""
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the greeting. Steps are forwarded once the process has sent its own."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop has classes of its own
        self._transport.write(GREETING)

    def data_received(self, data: bytes) -> None:
        """Take answers."""
        self._has_heard = True
        try:
            for message in self._reader.feed(data):
                if message:
                    self._take(*message)
                else:
                    self._set_taking(True)
        except Exception as error:  # the answers cannot be read, so that no later ones can
            logger.warning("steps are not forwarded to another process: %s", error)
            self.close()

    def connection_lost(self, _: Exception | None) -> None:
        """Submit the steps in flight again, in their order."""
        self.closed.set()
        if self._timer is not None:
            self._timer.cancel()
        self._set_taking(False)
        steps, self._steps = self._steps, {}
        for step in steps.values():
            if not step.done():
                step.submit_again(self._submit)
            self._ended(step)

    # ----------------------------------------------------------------------------------------------------------------

    def _take(self, is_taking: bool, answers: list[tuple[int, int, Plain]]) -> None:
        for number, kind, packed in answers:
            step = self._steps.pop(number)
            self._end(step)
            step.take(kind, packed)
        if not is_taking and self.is_taking:  # it takes what it is sent until the end of the stream
            self._set_taking(False)
            self._schedule()

    def _set_taking(self, is_taking: bool) -> None:
        if self.is_taking != is_taking:
            self.is_taking = is_taking
            self._changed()

    def _end(self, step: ForwardedStep) -> None:
        self._count -= step.count
        self._bytes -= step.nbytes
        self._ended(step)

    def _cancel(self, step: ForwardedStep) -> None:
        if step.is_sent:
            self._cancelled.append(step.number)
            self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_scheduled = False
        transport = self._transport
        if self._has_sent_all or transport is None or transport.is_closing():
            return
        steps, self._outbox = self._outbox, []
        cancelled, self._cancelled = self._cancelled, []
        commands = [packed for step in steps if (packed := self._packed(step))]
        if commands or cancelled:
            transport.write(pack((monotonic(), commands, cancelled)))
        if self._steps and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(CHECK_S, self._check)
        if not self.is_taking:
            self._has_sent_all = True
            transport.write_eof()

    def _packed(self, step: ForwardedStep) -> Plain | None:
        """Return a command as a tuple; None if it or the one before it has ended by now."""
        after, number = step.after, 0
        if after is not None and after.done() and after.failed:
            step.finish(NotReached("the request before this one has failed"))
        if step.done():
            del self._steps[step.number]
            self._end(step)
            return None
        step.is_sent = True
        if isinstance(after, ForwardedStep) and self._steps.get(after.number) is after:
            number = after.number
        return pack_command(step.number, number, step.command)

    def _check(self) -> None:
        """Give up a process that sends nothing."""
        self._timer = None
        self._silent = 0 if self._has_heard else self._silent + 1
        self._has_heard = False
        if not self._steps or self._has_sent_all or self._transport is None:
            self._silent = 0
            return
        if self._silent >= PATIENCE:
            logger.warning("a process does not answer; %d steps that it was sent are submitted again", len(self._steps))
            self._transport.abort()
            return
        if self._silent:
            self._transport.write(pack((monotonic(), [], [])))
        self._timer = asyncio.get_running_loop().call_later(CHECK_S, self._check)
