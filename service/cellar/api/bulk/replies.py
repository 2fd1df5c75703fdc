"""The answers to a bulk request, written as lines of JSON or as frames."""

import logging
from asyncio import CancelledError
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson

from cellar.api.bulk.failed_lines import FailedLines
from cellar.api.bulk.steps import BulkStep
from cellar.api.decoding.steps.frame_answers import packed_answers
from cellar.api.decoding.steps.step_input import pointing
from cellar.api.decoding.steps.step_output import document_of
from cellar.api.errors.problems import INTERNAL, embedded
from cellar.api.errors.step_counts import count_answer
from cellar.api.http.body import PROMPT_BYTES
from cellar.errors import CellarError
from cellar.metrics.counts import COUNTS
from cellar.ports import ROW, StepResult
from cellar.sessions.requests.request import PendingResult, PendingSteps
from cellar.wire.frames import frames
from cellar.wire.json.encoding import PART_NUMBERS, dump_json

logger = logging.getLogger(__name__)

LINES, FRAMES = COUNTS.transports["bulk_lines"], COUNTS.transports["bulk_frames"]

Result = StepResult | Exception

SEND_BYTES = 64 * 1024
"""Bytes of outputs that are sent at a time, unless they must be sent sooner."""

PlainAnswer = tuple[BulkStep, StepResult]

_FLOAT32, _FLOAT64 = np.dtype("<f4"), np.dtype(np.float64)


class LineAnswers:
    """Writes newline-delimited JSON. Each line can be sent by itself."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def add_ready(
        self,
        steps: Sequence[BulkStep],
        pending: Sequence[PendingSteps | Exception],
        at: int,
        error_for: Callable[[BulkStep, Exception], Exception],
        failed: FailedLines,
    ) -> int:
        """Add the answers from an index on, and return the index of the first that is left.

        That one is not known yet, or is long, or SEND_BYTES were added. `error_for` returns the error of the answer to
        a failed step. An answer that cannot be written is counted in `failed`. Raise the CancelledError of a step that
        was cancelled.
        """
        plain: list[PlainAnswer] = []
        written = width = 0
        while at < len(steps) and written < SEND_BYTES:
            step, one = steps[at], pending[at]
            if isinstance(one, PendingResult) and not one.done():
                break
            outcome = one.outcome if isinstance(one, PendingResult) else one
            result = outcome if isinstance(outcome, StepResult) else None
            size = 0 if result is None else size_of_output(result)
            if size > PROMPT_BYTES:
                break
            is_plain = result is not None and _is_plain(result)
            if plain and not (is_plain and size == width):
                self._add_plain(plain, failed)
                plain = []
            if result is None:
                if not isinstance(outcome, Exception):
                    raise CancelledError
                self.add(step, error_for(step, outcome))
            elif is_plain:
                width = size
                plain.append((step, result))
            else:
                self.add_or_fail(step, result, failed)
            written += size
            at += 1
        if plain:
            self._add_plain(plain, failed)
        return at

    def _add_plain(self, some: list[PlainAnswer], failed: FailedLines) -> None:
        """Add plain answers with as many outputs each. One that cannot be written becomes a problem."""
        try:
            self._lines.append(_plain_lines(some))
        except Exception:
            for step, result in some:
                self.add_or_fail(step, result, failed)
            return
        LINES.committed += len(some)
        LINES.committed_steps += len(some)

    def add_or_fail(self, step: BulkStep, result: StepResult, failed: FailedLines) -> None:
        """Add the next answer, or a problem if it cannot be written."""
        try:
            self.add(step, result)
        except Exception as error:  # of this answer only; the next ones are written
            failed.add(step.session, error)
            self.add(step, error)

    def add(self, step: BulkStep, result: Result) -> None:
        """Add the next answer."""
        named = {} if step.session is None else {"session": step.session}
        count_answer(LINES, result)
        if isinstance(result, Exception):
            self._lines.append(_line({**named, **problem_document(step, result)}))
        else:
            replayed = {"replayed": True} if result.replayed else {}
            document = {**named, **document_of(result), **replayed}
            is_long = len(result.output or b"") > 4 * PART_NUMBERS
            self._lines.append(dump_json(document, b"\n") if is_long else _line(document))

    def ready(self) -> bytes:
        """Return the lines so far."""
        lines, self._lines = self._lines, []
        return b"".join(lines)

    def whole(self) -> bytes:
        """Return the lines of a part."""
        return self.ready()

    def problem(self, error: CellarError) -> bytes:
        """Return the line of an error that is not one of a step."""
        COUNTS.refuse(error.slug)
        return _line(embedded(error))


def size_of_output(result: StepResult) -> int:
    """Return the bytes of the outputs of a result."""
    return len(result.output or b"")


def _is_plain(result: StepResult) -> bool:
    """Return whether an answer has the outputs of one row and the position, and nothing else."""
    command = result.command
    is_row = command.layout == ROW and command.kind == "step" and result.output is not None
    return is_row and result.model is None and not (result.replayed or command.scored)


def _plain_lines(some: Sequence[PlainAnswer]) -> bytes:
    """Return the lines of plain answers with as many outputs each, as `LineAnswers.add` writes them.

    All numbers are converted and written by one call, so that a line takes a third of the time.
    """
    outputs = np.frombuffer(b"".join([result.output or b"" for _, result in some]), _FLOAT32)
    rows = outputs.astype(_FLOAT64).reshape(len(some), -1)
    texts = orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY).decode("ascii")[2:-2].split("],[")
    lines: list[str] = []
    for (step, result), text in zip(some, texts, strict=True):
        name, position = orjson.dumps(step.session).decode(), result.position
        lines.append(f'{{"session":{name},"output":[{text}],"step":{position.step},"position":"{position}"}}\n')
    return "".join(lines).encode()


class FrameAnswers:
    """Writes a frame for each part of the request."""

    def __init__(self) -> None:
        self._packed: list[frames.Packed] = []

    def add_group(self, steps: Sequence[BulkStep], pending: Sequence[PendingSteps | Exception]) -> None:
        """Add the next answers, which are all there."""
        self._packed += packed_answers(zip([step.tag for step in steps], map(_outcome, steps, pending), strict=True))

    def ready(self) -> bytes:
        """Return nothing, because a frame is sent as a whole."""
        return b""

    def whole(self) -> bytes:
        """Return the frame of the part."""
        packed, self._packed = self._packed, []
        return frames.join_answers(packed)

    def problem(self, error: CellarError) -> bytes:
        """Return the frame of the answers so far, and the one that ends the body with an error."""
        COUNTS.refuse(error.slug)
        rest = self.whole() if self._packed else b""
        return rest + frames.pack_problem(orjson.dumps(embedded(error)))


AnswerWriter = LineAnswers | FrameAnswers
"""Writes the body of the answer, part by part."""


def _outcome(step: BulkStep, pending: PendingSteps | Exception) -> StepResult | dict[str, Any]:
    outcome = pending.outcome if isinstance(pending, PendingResult) else pending
    count_answer(FRAMES, outcome)
    return outcome if isinstance(outcome, StepResult) else problem_document(step, outcome)


def problem_document(step: BulkStep, error: BaseException) -> dict[str, Any]:
    """Return the problem document of one step."""
    try:
        if step.command is None:
            raise error
        with pointing(step.command):
            raise error
    except CellarError as found:
        return embedded(found)
    except Exception as found:
        logger.error("%s in a step", type(found).__name__, exc_info=found)
        return INTERNAL


def _line(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
