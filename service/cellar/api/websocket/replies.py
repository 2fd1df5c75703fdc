"""What a stream answers: a JSON object for a JSON object, and for frames a frame of all that is ready."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from cellar.api.decoding.step_output import NAMES, numbers_of
from cellar.api.errors.problems import document_of
from cellar.api.websocket.connection.interface import BINARY, TEXT, Message
from cellar.api.websocket.requests import Resume
from cellar.api.websocket.submissions import Several, Submission
from cellar.errors import CellarError, Overloaded, Unavailable
from cellar.ports import ROW, Floats, Position, StepChanges, StepResult
from cellar.sessions.values.results import Missed, SinceAnswer
from cellar.wire.frames import columns, frames, layout

SINGLE, DOUBLE = np.dtype("<f4"), np.dtype(np.float64)


class Replies:
    """Writes the answers of one socket."""

    def __init__(self, *, name_sessions: bool) -> None:
        self.durability = "unknown"
        """What the store promises of a step that is answered, in the words of `/readyz`."""
        self._name_sessions = name_sessions

    def messages(self, asks: Iterable[Submission | Several]) -> list[Message]:
        """Return the messages that answer these, in their order."""
        messages: list[Message] = []
        records: list[Submission | Several] = []
        for ask in asks:
            if isinstance(ask, Several) or ask.framed:
                records.append(ask)
                continue
            if records:
                messages.append((BINARY, _frame(records)))
                records = []
            messages.append(text(self._document(ask)))
        if records:
            messages.append((BINARY, _frame(records)))
        return messages

    def moved(self, position: Position, **members: Any) -> dict[str, Any]:
        """Return what every answer says of where the session is."""
        return {**members, "step": position.step, "position": str(position), "durability": self.durability}

    def resumed(self, session: str, asked: Resume, since: SinceAnswer) -> Iterator[dict[str, Any]]:
        """Return what a client has missed, a document for each change, and a last one that says that this is all."""
        named = self._named(session)
        for missed in since.missed:
            numbered = {} if missed.seq is None else {"writer": asked.writer, "seq": missed.seq}
            yield self.moved(missed.position, **named, **numbered, replayed=True, **_told(missed))
        yield self.moved(since.position, **named, resumed=asked.position)

    def refused(self, asked: Resume, error: CellarError) -> dict[str, Any]:
        """Return the answer to somebody who cannot go on from there."""
        return {**self._named(asked.session), "resume": asked.position, "problem": problem(error)}

    def _named(self, session: str | None) -> dict[str, Any]:
        return {"session": session} if self._name_sessions else {}

    def _document(self, ask: Submission) -> dict[str, Any]:
        document: dict[str, Any] = {"session": ask.session} if self._name_sessions else {}
        if ask.tag is not None:
            document["id"] = ask.tag
        result = ask.result
        if result is None:
            document["problem"] = problem(ask.error)
            return document
        output, position, command = result.output, result.position, result.command
        if output is not None and command.layout == ROW:  # nearly always
            document["output"] = np.frombuffer(output, SINGLE).astype(DOUBLE)
        else:
            document[NAMES[command.kind]] = numbers_of(result)
        if result.replayed:
            document["replayed"] = True
        document["step"] = position.step
        document["position"] = str(position)
        document["durability"] = self.durability
        return document


def text(document: dict[str, Any]) -> Message:
    """Return a document as a message."""
    return TEXT, orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def problem(error: CellarError | None) -> dict[str, Any]:
    """Return the problem document of an error; where a request has neither answer nor error it was given up."""
    error = error or Overloaded("nobody waits for the step any more")
    return document_of(error) | ({"retry_after_s": error.retry_after_s} if isinstance(error, Unavailable) else {})


def _told(missed: Missed) -> dict[str, Any]:
    """Return the output of a change in the form that its request would have had with as few brackets as can be."""
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
    """As over HTTP: readers of doubles would not always get the float32 back from its shorter form."""
    return outputs.astype(DOUBLE)


_Step = tuple[int, StepResult | CellarError | None]
"""The tag of a step, and what came of it."""


def _frame(asks: Sequence[Submission | Several]) -> bytes:
    """Return a frame of answers, those that went well column by column."""
    packed: list[frames.Packed] = []
    apart: list[_Step] = []
    for ask in asks:
        if isinstance(ask, Several) and ask.landed is not None:
            packed += [*_packed(apart), _in_a_row(ask, ask.landed)]
            apart = []
        elif isinstance(ask, Several):
            apart += zip(ask.tags.tolist(), ask.outcomes, strict=True)
        else:
            apart.append((ask.tag or 0, ask.result or ask.error))
    return frames.join_answers([*packed, *_packed(apart)])


def _packed(steps: Sequence[_Step]) -> Iterator[frames.Packed]:
    for well, group in groupby(steps, _went_well):
        if well:
            yield _columns([*group])
        else:
            yield from [frames.pack_answer(_record(*step)) for step in group]


def _in_a_row(several: Several, landed: StepChanges) -> frames.Packed:
    return columns.pack_in_a_row(several.tags, landed.before, landed.digests, several.rows, landed.outputs)


def _went_well(step: _Step) -> bool:
    outcome = step[1]
    return isinstance(outcome, StepResult) and outcome.output is not None


def _columns(steps: Sequence[_Step]) -> frames.Packed:
    done = [outcome for _, outcome in steps if isinstance(outcome, StepResult)]
    return columns.pack_outputs(
        [tag for tag, _ in steps],
        [one.position for one in done],
        [one.steps for one in done],
        [one.command.inputs.shape[1] for one in done],
        [one.output for one in done if one.output is not None],
        [one.replayed for one in done],
    )


def _record(tag: int, outcome: StepResult | CellarError | None) -> frames.Answer:
    """Return a problem, or an answer whose output was not kept."""
    if isinstance(outcome, StepResult):
        return frames.Answer(tag, layout.OK, frames.Place(*outcome.position), None, outcome.replayed)
    document = problem(outcome)
    return frames.Answer(tag, document["status"], problem=orjson.dumps(document))
