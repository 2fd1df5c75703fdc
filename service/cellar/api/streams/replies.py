"""What a stream answers: a JSON object for a JSON object, and for frames a frame of all that is ready."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from cellar.api.asked import Asked, one_row
from cellar.api.problems import document_of
from cellar.api.streams.asks import Ask, Resume
from cellar.api.streams.connection import BINARY, TEXT, Message
from cellar.errors import CellarError, Overloaded, Unavailable
from cellar.ports import Committed, Position
from cellar.runtime.answers import Floats, Missed, SinceAnswer
from cellar.wire import columns, frames

SINGLE, DOUBLE = np.dtype("<f4"), np.dtype(np.float64)

NAMES = {"step": "output", "sequence": "outputs"}


class Replies:
    """Writes the answers of one socket."""

    def __init__(self, *, name_sessions: bool) -> None:
        self.durability = "unknown"
        """What the store promises of a step that is answered, in the words of `/readyz`."""
        self._name_sessions = name_sessions

    def messages(self, asks: Iterable[Ask]) -> list[Message]:
        """Return the messages that answer these, in their order."""
        messages: list[Message] = []
        records: list[Ask] = []
        for ask in asks:
            if ask.framed:
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

    def _document(self, ask: Ask) -> dict[str, Any]:
        document: dict[str, Any] = {"session": ask.session} if self._name_sessions else {}
        if ask.tag is not None:
            document["id"] = ask.tag
        answer = ask.answer
        if answer is None or ask.asked is None:
            document["problem"] = problem(ask.error)
            return document
        output, position = answer.output, answer.position
        if output is not None and ask.asked.shaped is one_row:  # nearly always
            document["output"] = np.frombuffer(output, SINGLE).astype(DOUBLE)
        else:
            document[NAMES[ask.kind]] = None if output is None else _doubles(_outputs(ask.asked, answer))
        if answer.replayed:
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


def _outputs(asked: Asked, done: Committed) -> Floats:
    """Return the outputs with the axes that the inputs had."""
    numbers: Floats = np.frombuffer(done.output or b"", SINGLE)
    return asked.shaped(numbers.reshape(done.steps, asked.inputs.shape[1], -1))


def _frame(asks: Sequence[Ask]) -> bytes:
    """Return a frame of answers, those that went well column by column."""
    if all(map(_went_well, asks)):
        return frames.join_answers([_columns(asks)])
    packed: list[frames.Packed] = []
    for well, group in groupby(asks, _went_well):
        if well:
            packed.append(_columns([*group]))
        else:
            packed += [frames.pack_answer(_record(ask)) for ask in group]
    return frames.join_answers(packed)


def _went_well(ask: Ask) -> bool:
    return ask.answer is not None and ask.answer.output is not None


def _columns(asks: Sequence[Ask]) -> frames.Packed:
    done = [ask.answer for ask in asks if ask.answer is not None]
    return columns.pack_outputs(
        [ask.tag or 0 for ask in asks],
        [one.position for one in done],
        [one.steps for one in done],
        [ask.asked.inputs.shape[1] for ask in asks if ask.asked is not None],
        [one.output for one in done if one.output is not None],
        [one.replayed for one in done],
    )


def _record(ask: Ask) -> frames.Answer:
    """Return a problem, or an answer whose output was not kept."""
    tag, done = ask.tag or 0, ask.answer
    if done is None or ask.asked is None:
        document = problem(ask.error)
        return frames.Answer(tag, document["status"], problem=orjson.dumps(document))
    return frames.Answer(tag, frames.OK, frames.Place(*done.position), None, done.replayed)
