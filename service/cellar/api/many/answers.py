"""The answers to many steps as they are written, as lines or as frames."""

import logging
from typing import Any, Protocol

import orjson

from cellar.api.asked import document_of_answer, pointing
from cellar.api.many.asks import Ask
from cellar.api.problems import INTERNAL, document_of
from cellar.errors import CellarError, Unavailable
from cellar.runtime.answers import StepAnswer
from cellar.wire import frames

logger = logging.getLogger(__name__)

Result = StepAnswer | Exception


class Writer(Protocol):
    """Turns answers into a body, part by part."""

    def add(self, ask: Ask, result: Result) -> None:
        """Take the next answer."""
        ...

    def ready(self) -> bytes:
        """Return what may be sent before the part is whole."""
        ...

    def whole(self) -> bytes:
        """Return what is left of a part that is whole."""
        ...

    def problem(self, error: CellarError) -> bytes:
        """Return what ends the body before its time."""
        ...


class LineAnswers:
    """Writes newline-delimited JSON, in which every line may be sent at once."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def add(self, ask: Ask, result: Result) -> None:
        """Take the next answer."""
        named = {} if ask.session is None else {"session": ask.session}
        if isinstance(result, Exception):
            self._lines.append(_line({**named, **problem_document(ask, result)}))
        elif ask.asked is not None:
            name = "outputs" if ask.is_sequence else "output"
            replayed = {"replayed": True} if result.replayed else {}
            self._lines.append(_line({**named, **document_of_answer(name, ask.asked, result), **replayed}))

    def ready(self) -> bytes:
        """Return the lines so far."""
        lines, self._lines = self._lines, []
        return b"".join(lines)

    whole = ready

    def problem(self, error: CellarError) -> bytes:
        """Return a line that belongs to no step."""
        return _line(_with_pause(document_of(error), error))


class FrameAnswers:
    """Writes frames: one for each part."""

    def __init__(self) -> None:
        self._answers: list[frames.Answer] = []

    def add(self, ask: Ask, result: Result) -> None:
        """Take the next answer."""
        if isinstance(result, Exception):
            document = problem_document(ask, result)
            answer = frames.Answer(ask.tag, document["status"], problem=orjson.dumps(document))
        else:
            position = result.position
            place = frames.Place(position.epoch, position.step, position.digest)
            answer = frames.Answer(ask.tag, frames.OK, place, result.outputs, result.replayed)
        self._answers.append(answer)

    def ready(self) -> bytes:
        """Return nothing: a frame is sent whole."""
        return b""

    def whole(self) -> bytes:
        """Return the frame of the part."""
        answers, self._answers = self._answers, []
        return frames.pack_answers(answers)

    def problem(self, error: CellarError) -> bytes:
        """Return the frame of answers that were ready, and the one that ends the body."""
        rest = self.whole() if self._answers else b""
        return rest + frames.pack_problem(orjson.dumps(_with_pause(document_of(error), error)))


def problem_document(ask: Ask, error: Exception) -> dict[str, Any]:
    """Return the problem document of one step, with the pause that a header says elsewhere."""
    try:
        if ask.asked is None:
            raise error
        with pointing(ask.asked):
            raise error
    except CellarError as found:
        return _with_pause(document_of(found), found)
    except Exception as found:
        logger.error("%s in a step", type(found).__name__, exc_info=found)
        return INTERNAL


def _with_pause(document: dict[str, Any], error: CellarError) -> dict[str, Any]:
    return {**document, "retry_after_s": error.retry_after_s} if isinstance(error, Unavailable) else document


def _line(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
