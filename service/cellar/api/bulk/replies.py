"""The answers to a bulk request, written as lines of JSON or as frames."""

import logging
from collections.abc import Sequence
from typing import Any

import orjson

from cellar.api.bulk.requests import BulkStep
from cellar.api.decoding.steps.frame_answers import packed_answers
from cellar.api.decoding.steps.step_input import pointing
from cellar.api.decoding.steps.step_output import document_of
from cellar.api.errors.problems import INTERNAL, embedded
from cellar.api.errors.step_counts import count_answer
from cellar.errors import CellarError
from cellar.metrics.counts import COUNTS
from cellar.ports import StepResult
from cellar.sessions.requests.request import PendingResult, PendingSteps
from cellar.wire.frames import frames
from cellar.wire.json.encoding import PART_NUMBERS, dump_json

logger = logging.getLogger(__name__)

LINES, FRAMES = COUNTS.transports["bulk_lines"], COUNTS.transports["bulk_frames"]

Result = StepResult | Exception


class LineAnswers:
    """Writes newline-delimited JSON. Each line can be sent by itself."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []

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
