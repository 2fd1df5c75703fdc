"""The response to a bulk request, which runs its steps and is written while the rest of the request is read.

The reader is ahead of the writer by a limited number of steps and bytes. A client that does not read its answers is not
read any further, and does not delay others. If a client disconnects, its steps that have not run are cancelled."""

from contextlib import suppress
from time import monotonic

from anyio.to_thread import run_sync
from starlette.types import Receive, Scope, Send

from cellar.api.bulk.failed_lines import FailedLines
from cellar.api.bulk.replies import AnswerWriter, FrameAnswers, LineAnswers, size_of_output
from cellar.api.bulk.requests import Reader
from cellar.api.bulk.steps import BulkStep, size_of, submit, submit_while_room
from cellar.api.bulk.window import Group, Window
from cellar.api.decoding.steps.step_order import MOST_FAILURES, Chain, Place, behind, place_of
from cellar.api.http.body import PROMPT_BYTES
from cellar.api.http.full_duplex import Duplex, parts_of
from cellar.errors import CellarError, PositionConflict, Regressed, WriterUnknown
from cellar.sessions.requests.request import PendingResult, PendingSteps
from cellar.sessions.service.steps import Steps


class FailedChains:
    """The first failure of each session, and of each of its writers. Errors are passed in the order of the steps."""

    def __init__(self) -> None:
        self._failed: dict[Chain, int] = {}

    def error_for(self, step: BulkStep, error: Exception) -> Exception:
        """Return the error that a step is answered with: NotReached after a failed one, otherwise its own."""
        place = None if step.command is None else place_of(step.command.identity)
        if place is None or step.session is None:
            return error
        chain = (step.session, place.writer)
        failed = self._failed.get(chain)
        if failed is not None and place.number > failed and isinstance(error, Regressed | WriterUnknown):
            return behind(Place(place.writer, failed))
        if not isinstance(error, PositionConflict) and len(self._failed) < MOST_FAILURES:
            self._failed[chain] = place.number if failed is None else min(failed, place.number)
        return error


GROUP = 256
"""Steps that are begun without other work in between, in some milliseconds. The store commits one group meanwhile."""


class BulkResponse(Duplex):
    """A response that runs the steps of its request."""

    def __init__(self, steps: Steps, reader: Reader, writer: AnswerWriter, media_type: str) -> None:
        super().__init__(media_type)
        self._steps = steps
        self._reader = reader
        self._writer = writer
        self._chains = FailedChains()
        self._failed = FailedLines("/v1/steps")
        self.window = Window()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read and write concurrently until both are done, or one fails."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.window.abandon()
            self._failed.report(scope)

    # --- the reader -------------------------------------------------------------------------------------------------

    async def _read(self, receive: Receive) -> None:
        try:
            async for data, _ in parts_of(receive):
                async for part in self._reader.feed(data, self.turns):
                    await self._begin(part)
                self.share.resize(self._reader.held_bytes)
            if rest := await self._reader.end():
                await self._begin(rest)
        except Exception as error:  # the writer raises it after the last answer
            self.window.end(error)
        else:
            self.window.end()

    async def _begin(self, part: list[BulkStep]) -> None:
        for start in range(0, max(1, len(part)), GROUP):
            steps = part[start : start + GROUP]
            await self._begin_group(steps, last=start + GROUP >= len(part))

    async def _begin_group(self, steps: list[BulkStep], *, last: bool) -> None:
        came_s = monotonic()
        self._failed.lines += len(steps)
        size = size_of(steps)
        await self.window.room(len(steps), size)
        pending: list[PendingSteps | Exception] = []
        submit_while_room(self._steps, steps, pending, came_s)
        while (done := len(pending)) < len(steps):  # the queue may be full of this request, and have room soon
            self.window.put(Group(steps[:done], pending, 0, last=False))
            steps = steps[done:]
            await self.window.settled()
            pending = [submit(self._steps, steps[0], came_s)]
            submit_while_room(self._steps, steps, pending, came_s)
        self.window.put(Group(steps, pending, size, last))

    # --- the writer -------------------------------------------------------------------------------------------------

    async def _write(self, send: Send) -> None:
        while (group := await self.window.take()) is not None:
            await self._answer(group, send)
            self.window.release()

    def _problem(self, error: CellarError) -> bytes:
        self._failed.add(None, error)
        return self._writer.problem(error)

    async def _answer(self, group: Group, send: Send) -> None:
        if isinstance(self._writer, FrameAnswers):
            await group.settled()
            self._writer.add_group(group.steps, [*map(self._outcome, group.steps, group.pending)])
        else:
            await self._answer_lines(self._writer, group, send)
        await self._send(send, self._writer.whole() if group.last else self._writer.ready())

    def _outcome(self, step: BulkStep, pending: PendingSteps | Exception) -> PendingSteps | Exception:
        """Return the outcome of a step, or the error that replaces it."""
        error = pending if isinstance(pending, Exception) else pending.outcome if pending.failed else None
        return self._error_for(step, error) if isinstance(error, Exception) else pending

    def _error_for(self, step: BulkStep, error: Exception) -> Exception:
        """Return the error that a step is answered with, and count it."""
        found = self._chains.error_for(step, error)
        self._failed.add(step.session, found)
        return found

    async def _answer_lines(self, writer: LineAnswers, group: Group, send: Send) -> None:
        """Write answers as lines. Before a wait, send those that are ready; a thread encodes long ones."""
        at, failed = 0, self._failed
        while (at := writer.add_ready(group.steps, group.pending, at, self._error_for, failed)) < len(group.steps):
            await self._send(send, writer.ready())
            pending = group.pending[at]
            assert isinstance(pending, PendingResult), "an error is always written at once"
            if not pending.done():
                with suppress(Exception):  # the writer handles it
                    await pending
            elif size_of_output(result := pending.result()) > PROMPT_BYTES:
                await run_sync(writer.add_or_fail, group.steps[at], result, failed)
                at += 1
