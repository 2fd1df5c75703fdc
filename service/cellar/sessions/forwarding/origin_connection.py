"""The connection from a process that forwards steps: runs them, and sends the results of a turn in one message."""

import asyncio
import logging
import select
import socket
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import cast

from cellar.errors import CellarError, NotReached
from cellar.ports import StepResult
from cellar.sessions.forwarding.forwarded import CANCELLED, EACH, LANDED, OUTCOME, PendingBatch
from cellar.sessions.forwarding.messages import (
    GREETING,
    MessageReader,
    Outcome,
    Plain,
    command_of,
    pack,
    pack_changes,
    pack_outcome,
)
from cellar.sessions.requests.request import PendingResult, PendingSteps
from cellar.sessions.service.steps import Steps

logger = logging.getLogger(__name__)

LATE_S = 0.5
"""Age of a message from which on its sender may have given it up."""

Answer = tuple[int, int, Plain]


class OriginConnection(asyncio.Protocol):
    """Runs the steps that one process forwards. `begun` and `ended` are called when it is opened and closed."""

    def __init__(
        self,
        steps: Steps,
        most_steps: int,
        begun: "Callable[[OriginConnection], object]",
        ended: "Callable[[OriginConnection], object]",
    ) -> None:
        self._steps = steps
        self._begun = begun
        self._ended = ended
        self._most_failures = most_steps
        self._reader = MessageReader()
        self._requests: dict[int, PendingSteps] = {}
        """Requests that are not answered, by their number."""
        self._failed: dict[int, None] = {}
        """Numbers of requests that have failed. The sender may not know yet, and send others that depend on them. It
        has a limited number of requests in flight, so that many failures ago is long enough."""
        self._answers: list[Answer] = []
        self._is_scheduled = self._is_leaving = self._has_all = False

    def leave(self) -> None:
        """Say that this process takes no more steps. Those that the sender has sent by then are run."""
        self._is_leaving = True
        self._schedule()

    def close(self) -> None:
        """Close the connection. Steps that are not committed are cancelled."""
        self._transport.abort()

    # --- asyncio.Protocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the greeting."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop has classes of its own
        self._transport.write(GREETING)
        self._begun(self)

    def data_received(self, data: bytes) -> None:
        """Run steps."""
        try:
            for message in self._reader.feed(data):
                if message:
                    self._run(*message)
        except Exception as error:
            logger.warning("forwarded steps cannot be read: %s", error)
            self._transport.abort()

    def eof_received(self) -> bool:
        """Answer what was sent, if this process is leaving. Otherwise the sender has ended."""
        self._has_all = True
        self._schedule()
        return self._is_leaving

    def connection_lost(self, _: Exception | None) -> None:
        """Cancel the requests: the clients are gone with the sender, or it submits the steps again."""
        self._ended(self)
        for request in [*self._requests.values()]:
            request.cancel()

    # ----------------------------------------------------------------------------------------------------------------

    def _run(self, sent_s: float, commands: list[Plain], cancelled: list[int]) -> None:
        if monotonic() - sent_s > LATE_S and self._is_hung_up():  # this process was stopped, and was given up
            self._transport.abort()
            return
        if len(commands) > 1 and len({packed[3] for packed in commands}) < len(commands):
            with self._steps.together():
                for packed in commands:
                    self._begin(packed)
        else:
            for packed in commands:
                self._begin(packed)
        for number in cancelled:
            if (request := self._requests.get(number)) is not None:
                request.cancel()
        if not commands:
            self._schedule()

    def _is_hung_up(self) -> bool:
        """Return whether the sender has closed the connection, though not all that it has sent was read."""
        sock: socket.socket = self._transport.get_extra_info("socket")
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLHUP)
        return bool(poll.poll(0))

    def _begin(self, packed: Plain) -> None:
        number, after = packed[0], packed[1]
        try:
            if after in self._failed:
                raise NotReached("the request before this one has failed")
            request = self._steps.submit(command_of(packed), self._requests.get(after) if after else None)
        except Exception as error:
            self._fail(number, error)
        else:
            self._requests[number] = request
            request.when_done(partial(self._end, number))

    def _end(self, number: int, request: PendingResult[StepResult]) -> None:
        """Answer a request that has ended. This is called while the results of a commit are read."""
        del self._requests[number]
        if isinstance(request, PendingBatch):
            self._end_batch(number, request)
        elif isinstance(outcome := request.outcome, StepResult):
            self._answer(number, OUTCOME, pack_outcome(outcome))
        else:
            self._fail(number, outcome)

    def _end_batch(self, number: int, request: PendingBatch) -> None:
        landed = request.batch.landed
        if landed is not None:
            return self._answer(number, LANDED, pack_changes(landed, request.result().model))
        if isinstance(request.outcome, asyncio.CancelledError):
            return self._fail(number, request.outcome)
        if request.failed:
            self._note_failure(number)
        return self._answer(number, EACH, tuple([pack_outcome(_logged(each)) for each in request.outcomes]))

    def _fail(self, number: int, error: BaseException) -> None:
        self._note_failure(number)
        if isinstance(error, asyncio.CancelledError):
            self._answer(number, CANCELLED, ())
        else:
            self._answer(number, OUTCOME, pack_outcome(_logged(error)))

    def _note_failure(self, number: int) -> None:
        self._failed[number] = None
        if len(self._failed) > self._most_failures:
            del self._failed[next(iter(self._failed))]

    def _answer(self, number: int, kind: int, packed: Plain) -> None:
        self._answers.append((number, kind, packed))
        self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_scheduled = False
        if self._transport.is_closing():
            return
        answers, self._answers = self._answers, []
        self._transport.write(pack((not self._is_leaving, answers)))
        if self._has_all and not self._requests:
            self._transport.close()


def _logged(outcome: Outcome) -> Outcome:
    """Return an outcome. A fault of the service is logged here, because only its name is sent."""
    if not isinstance(outcome, StepResult | CellarError):
        logger.error("in a step that was forwarded", exc_info=outcome)
    return outcome
