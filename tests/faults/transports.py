"""The ways in which requests reach a session. A request is the same whichever it takes, also from try to try."""

import gzip
import io
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import httpx
import numpy as np
import orjson
from numpy.typing import NDArray

from benchmarks.frames import pack_steps, unpack_answers
from cellar.wire.frames import frames
from tests.faults.asked import Asked, Refused, Told
from tests.faults.wires import Wires

JSON, NPY, LINES = "application/json", "application/x-npy", "application/x-ndjson"

Answers = list[Told | Refused]


class Transport(NamedTuple):
    """A way to ask in a place, and how many requests go together on it.

    `ask` returns as many answers as there were requests, in their order, or raises Lost.
    """

    ask: Callable[[Wires, str, Sequence[Asked]], Awaitable[Answers]]
    most: int = 1


async def json(wires: Wires, place: str, asked: Sequence[Asked]) -> Answers:
    """Ask in JSON."""
    return await _post(wires, place, asked[0], orjson.dumps(asked[0].document), {"Content-Type": JSON})


async def gzipped(wires: Wires, place: str, asked: Sequence[Asked]) -> Answers:
    """Ask in JSON that is compressed."""
    body = gzip.compress(orjson.dumps(asked[0].document), 1)
    return await _post(wires, place, asked[0], body, {"Content-Type": JSON, "Content-Encoding": "gzip"})


async def npy(wires: Wires, place: str, asked: Sequence[Asked]) -> Answers:
    """Ask with an npy file, and be answered with one."""
    headers = {"Content-Type": NPY, "Accept": NPY}
    return await _post(wires, place, asked[0], _npy(asked[0]), headers, asked[0].identity)


async def lines(wires: Wires, place: str, asked: Sequence[Asked]) -> Answers:
    """Ask with a line of JSON for each."""
    body = b"".join(orjson.dumps(_line(wires, each)) + b"\n" for each in asked)
    answer = await wires.post(f"{place}/v1/steps", body, {"Content-Type": LINES})
    return [_read(orjson.loads(line)) for line in answer.content.splitlines()]


async def framed(wires: Wires, place: str, asked: Sequence[Asked]) -> Answers:
    """Ask with a frame, and be answered with one."""
    headers = {"Content-Type": frames.MEDIA_TYPE}
    answer = await wires.post(f"{place}/v1/steps", _frame(wires, asked), headers)
    return _unframed(answer.content)


async def streamed(wires: Wires, place: str, asked: Sequence[Asked]) -> Answers:
    """Ask on the stream of the session, with a message for each, all sent before any answer is read."""
    url = f"{place}/v1/sessions/{wires.session}/stream"
    messages = [orjson.dumps(each.document | _beside(wires, each)).decode() for each in asked]
    return await _converse(wires, url, messages, len(asked), lambda message: [_read(orjson.loads(message))])


async def streamed_in_frames(wires: Wires, place: str, asked: Sequence[Asked]) -> Answers:
    """Ask on the stream of all sessions, with one frame."""
    return await _converse(wires, f"{place}/v1/stream", [_frame(wires, asked)], len(asked), _unframed)


async def streamed_in_a_burst(wires: Wires, place: str, asked: Sequence[Asked]) -> Answers:
    """Ask with one frame in which steps say as little as they may, so that they go as one."""
    frame = pack_steps([_step(wires, each, tag)._replace(timeout_ms=0) for tag, each in enumerate(asked)])
    return await _converse(wires, f"{place}/v1/stream", [frame], len(asked), _unframed)


async def _converse(
    wires: Wires,
    url: str,
    messages: Sequence[str | bytes],
    count: int,
    read: Callable[[bytes], Answers],
) -> Answers:
    told: Answers = []

    def takes(message: bytes) -> bool:
        if not message.startswith(b'{"stopping"'):  # a process that is replaced closes its WebSockets
            told.extend(read(message))
        return len(told) == count

    await wires.converse(url, messages, takes)
    if any(isinstance(each, Refused) for each in told):
        wires.drop(url)  # it waits for the one that failed, which may be sent elsewhere
    return told


ALL = (
    Transport(json),
    Transport(gzipped),
    Transport(npy),
    Transport(lines, most=4),
    Transport(framed, most=4),
    Transport(streamed, most=4),
    Transport(streamed_in_frames, most=4),
)

BURST = Transport(streamed_in_a_burst, most=8)
"""Who is impatient on it does not say so, and leaves the service work: no way for many who write one session."""


def _beside(wires: Wires, asked: Asked) -> dict[str, Any]:
    """Return what stands in headers where a request has any."""
    return {"timeout_ms": wires.timeout_ms} | ({} if asked.key is None else {"key": asked.key})


def _line(wires: Wires, asked: Asked) -> dict[str, Any]:
    return asked.document | _beside(wires, asked) | {"session": wires.session}


def _npy(asked: Asked) -> bytes:
    inputs = np.array(asked.values, np.float32)
    file = io.BytesIO()
    np.save(file, inputs[:, None] if asked.sequence else inputs)
    return file.getvalue()


async def _post(
    wires: Wires,
    place: str,
    asked: Asked,
    body: bytes,
    headers: dict[str, str],
    query: dict[str, Any] | None = None,
) -> Answers:
    if asked.key is not None:
        headers = headers | {"Idempotency-Key": asked.key}
    url = f"{place}/v1/sessions/{wires.session}/{'sequence' if asked.sequence else 'step'}"
    answer = await wires.post(url, body, headers, query)
    replayed = answer.headers.get("Idempotent-Replayed") == "true"
    if answer.status_code == httpx.codes.OK and answer.headers["Content-Type"] == NPY:
        return [Told(_bits(np.load(io.BytesIO(answer.content))), answer.headers["Cellar-Position"], replayed)]
    return [_read(orjson.loads(answer.content), replayed=replayed)]


def _read(document: dict[str, Any], *, replayed: bool = False) -> Told | Refused:
    problem = document.get("problem", document if "type" in document else None)
    if problem is not None:
        return Refused(problem)
    outputs = document["outputs"] if "outputs" in document else document["output"]
    return Told(_bits(np.array(outputs, np.float64)), document["position"], document.get("replayed", replayed))


def _bits(outputs: NDArray[Any]) -> bytes:
    exact = outputs.astype("<f4")
    assert (exact == outputs).all(), f"not float32: {outputs}"
    return exact.tobytes()


def _frame(wires: Wires, asked: Sequence[Asked]) -> bytes:
    return pack_steps([_step(wires, each, tag) for tag, each in enumerate(asked)])


def _step(wires: Wires, asked: Asked, tag: int) -> frames.Step:
    place = None
    if asked.position is not None:
        epoch, step, digest = asked.position.split(".")
        place = frames.Place(bytes.fromhex(epoch), int(step), bytes.fromhex(digest))
    return frames.Step(
        wires.session,
        np.array(asked.values, np.float32).reshape(-1, 1, 1),
        asked.sequence,
        tag,
        place,
        asked.step,
        asked.writer,
        asked.seq,
        asked.key,
        timeout_ms=wires.timeout_ms,
    )


def _unframed(frame: bytes) -> Answers:
    return [_answer_of(each) for each in unpack_answers(frame)]


def _answer_of(answer: frames.Answer) -> Told | Refused:
    if answer.position is None:
        return Refused(orjson.loads(answer.problem))
    assert answer.outputs is not None
    return Told(_bits(answer.outputs), str(answer.position), answer.replayed)
