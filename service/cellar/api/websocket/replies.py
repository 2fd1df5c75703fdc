"""The answers on a stream: a JSON object for each JSON object, and a frame of all ready answers for frames."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from cellar.api.decoding.steps.frame_answers import Outcome, packed_answers
from cellar.api.decoding.steps.step_output import NAMES, numbers_of, scores_of
from cellar.api.errors.problems import embedded
from cellar.api.http.body import PROMPT_BYTES
from cellar.api.websocket.connection.interface import BINARY, TEXT, Message
from cellar.api.websocket.requests import Resume
from cellar.api.websocket.submissions import Several, Submission
from cellar.errors import CellarError, Overloaded
from cellar.ports import ROW, Floats, Position, StepChanges, StepResult
from cellar.sessions.values.results import Missed, SinceAnswer
from cellar.wire.frames import columns, frames
from cellar.wire.json.encoding import dump_json

SINGLE, DOUBLE = np.dtype("<f4"), np.dtype(np.float64)


class LongAnswer(Exception):
    """An answer takes so long to encode that a thread must do it."""


class Replies:
    """Writes the answers of one socket."""

    def __init__(self, *, name_sessions: bool) -> None:
        self.durability = "unknown"
        """The durability of an answered step, as `/readyz` reports it."""
        self._name_sessions = name_sessions

    def long_messages(self, submissions: Iterable[Submission | Several]) -> list[Message]:
        """Return the same as `messages`, on a thread."""
        return self.messages(submissions, self._long_text)

    def messages(
        self,
        submissions: Iterable[Submission | Several],
        as_text: "Callable[[Submission], Message] | None" = None,
    ) -> list[Message]:
        """Return the messages that answer these, in their order. Raise LongAnswer for a long one without `as_text`."""
        messages: list[Message] = []
        records: list[Submission | Several] = []
        for submission in submissions:
            if isinstance(submission, Several) or submission.framed:
                records.append(submission)
                continue
            if records:
                messages.append((BINARY, _frame(records)))
                records = []
            messages.append(text(self._document(submission)) if as_text is None else as_text(submission))
        if records:
            messages.append((BINARY, _frame(records)))
        return messages

    def moved(self, position: Position, **members: Any) -> dict[str, Any]:
        """Return the members of an answer that give the position of the session."""
        return {**members, "step": position.step, "position": str(position), "durability": self.durability}

    def resumed(self, session: str, asked: Resume, since: SinceAnswer) -> Iterator[dict[str, Any]]:
        """Yield a document for each change that a client has missed, and a last one that ends them."""
        named = self._named(session)
        for missed in since.missed:
            numbered: dict[str, Any] = {} if missed.seq is None else {"writer": asked.writer, "seq": missed.seq}
            numbered |= {} if missed.model is None or not missed.steps else {"model": missed.model}
            yield self.moved(missed.position, **named, **numbered, replayed=True, **_outputs_of_change(missed))
        yield self.moved(since.position, **named, resumed=asked.position)

    def refused(self, asked: Resume, error: CellarError) -> dict[str, Any]:
        """Return the answer to a client that cannot resume."""
        return {**self._named(asked.session), "resume": asked.position, "problem": problem(error)}

    def _named(self, session: str | None) -> dict[str, Any]:
        return {"session": session} if self._name_sessions else {}

    def _long_text(self, submission: Submission) -> Message:
        return TEXT, dump_json(self._document(submission, may_be_long=True))

    def _document(self, submission: Submission, *, may_be_long: bool = False) -> dict[str, Any]:
        document: dict[str, Any] = {"session": submission.session} if self._name_sessions else {}
        if submission.tag is not None:
            document["id"] = submission.tag
        result = submission.result
        if result is None:
            document["problem"] = problem(submission.error)
            return document
        output, position, command = result.output, result.position, result.command
        if output is not None and command.layout == ROW:  # nearly always
            document["output"] = np.frombuffer(output, SINGLE).astype(DOUBLE)
        elif output is not None and len(output) > PROMPT_BYTES and not may_be_long:
            raise LongAnswer
        else:
            document[NAMES[command.kind]] = numbers_of(result)
        if command.scored:
            document["score"] = scores_of(result)
        if result.replayed:
            document["replayed"] = True
        if result.model is not None:
            document["model"] = result.model
        document["step"] = position.step
        document["position"] = str(position)
        document["durability"] = self.durability
        return document


def text(document: dict[str, Any]) -> Message:
    """Return a document as a message."""
    return TEXT, orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def problem(error: CellarError | None) -> dict[str, Any]:
    """Return the problem document of an error. None is a request that was cancelled."""
    return embedded(error or Overloaded("the request was cancelled"))


def _outputs_of_change(missed: Missed) -> dict[str, Any]:
    """Return the output of a change in the simplest form that its request can have had."""
    if not missed.steps:
        return {"changed": True}
    name = NAMES["step" if missed.steps == 1 else "sequence"]
    outputs = missed.outputs
    if outputs is None:
        return {name: None}
    if outputs.shape[1] == 1:
        outputs = outputs[:, 0]
    return {name: _doubles(outputs[0] if missed.steps == 1 else outputs)}


def _doubles(outputs: Floats) -> NDArray[np.float64]:
    """Return outputs as float64: clients that read doubles may not get the float32 back from its shorter form."""
    return outputs.astype(DOUBLE)


def _frame(submissions: Sequence[Submission | Several]) -> bytes:
    """Return a frame of answers. Successful ones are packed column by column."""
    packed: list[frames.Packed] = []
    apart: list[Outcome] = []
    for submission in submissions:
        if isinstance(submission, Several) and submission.landed is not None:
            packed += [*packed_answers(apart), _in_a_row(submission, submission.landed)]
            apart = []
        elif isinstance(submission, Several):
            apart += zip(submission.tags.tolist(), map(_outcome, submission.outcomes), strict=True)
        else:
            apart.append((submission.tag or 0, _outcome(submission.result or submission.error)))
    return frames.join_answers([*packed, *packed_answers(apart)])


def _outcome(outcome: StepResult | CellarError | None) -> StepResult | dict[str, Any]:
    return outcome if isinstance(outcome, StepResult) else problem(outcome)


def _in_a_row(several: Several, landed: StepChanges) -> frames.Packed:
    version = 0 if several.result is None else several.result.version
    return columns.pack_in_a_row(several.tags, landed.before, landed.digests, several.rows, landed.outputs, version)
