"""One session stepped by one client: each request carries the position of the last answer, and is applied once."""

import json
import os
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import numpy as np

from cellar_client.arrays import npy, safetensors
from cellar_client.arrays.inputs import Floats, Inputs, as_floats, same_kind
from cellar_client.core.effects import Operation, Reply, Request
from cellar_client.core.exchange import JSON, call, exchange
from cellar_client.errors import Problem, Regressed, ReplayExpired
from cellar_client.state_file import StateFile, pack_array, unpack_array
from cellar_client.values import Answer, Document

REMEMBERED = 1024
"""Requests that a session remembers, to send them again if Redis has lost them."""

NPY = {"Content-Type": npy.MEDIA_TYPE, "Accept": npy.MEDIA_TYPE}

Reset = bool | Sequence[bool]


def session_path(name: str, *rest: str) -> str:
    """Return the path of a session, or of something below it."""
    return "/".join(("/v1/sessions", quote(name, safe=":"), *(quote(part, safe=":") for part in rest)))


@dataclass(frozen=True, slots=True)
class Sent:
    """A step (F) or (B, F), or a sequence (T, F) or (T, B, F), with the position before it."""

    inputs: Floats
    sequence: bool
    reset: Reset
    before: str
    number: int

    def request(self, session: str) -> Request:
        """Return the HTTP request."""
        if not self.sequence:
            body: dict[str, Any] = {"input": self.inputs.tolist(), "position": self.before}
            if self.reset is not False:
                body["reset"] = self.reset
            return Request("POST", session_path(session, "step"), json.dumps(body).encode(), JSON)
        params = {"position": self.before}
        if self.reset is not False:
            params["reset"] = "true" if self.reset is True else "".join(str(int(row)) for row in self.reset)
        return Request("POST", session_path(session, "sequence"), npy.dump(self.inputs), NPY, params)

    def answer(self, reply: Reply) -> Answer:
        """Return the answer to this request."""
        replayed = reply.headers.get("idempotent-replayed") == "true"
        if reply.headers.get("content-type", "") == npy.MEDIA_TYPE:
            step, position = int(reply.headers["cellar-step"]), reply.headers["cellar-position"]
            return Answer(npy.load(reply.content), step, position, replayed, self.number)
        document = json.loads(reply.content)
        output = document["outputs" if self.sequence else "output"]
        array = None if output is None else np.array(output, np.float32)
        return Answer(array, document["step"], document["position"], replayed, self.number)


class SessionCore:
    """A session, its position, and the requests that were sent last."""

    def __init__(
        self, document: Document, give_up_s: float, state: str | os.PathLike[str] | None, remember: int = REMEMBERED
    ) -> None:
        self.name: str = document["session"]
        self.info = document
        self.position: str = document["position"]
        self.count = 0
        """Steps and sequences since the session was opened, or since its state file was begun."""
        self.recovered: Answer | None = None
        """The answer to the request that was under way when a former process with the same state file ended."""
        self.give_up_s = give_up_s
        self._sent: deque[Sent] = deque(maxlen=remember)
        self._file = None if state is None else StateFile(state, "session", self.name)

    def recover(self) -> Operation[None]:
        """Read the state file, and send the request again that may not have been answered."""
        found = None if self._file is None else self._file.load()
        if found is None:
            return
        self.count, pending = found["count"], found["pending"]
        if pending is None:
            return
        inputs = unpack_array(pending["inputs"])
        entry = Sent(inputs, pending["sequence"], pending["reset"], found["position"], self.count + 1)
        try:
            self.recovered = yield from self.finish(entry)
        except ReplayExpired as problem:  # it was applied, and others have stepped the session since
            self.recovered = self.note(entry, Answer(None, 0, problem.position or "", True, entry.number))

    def begin(self, inputs: Inputs, reset: Reset = False, *, sequence: bool = False) -> Sent:
        """Return a request as the next one, after it was written to the state file."""
        array = as_floats(inputs)
        if array.ndim == sequence:  # numbers of a model with one input
            array = array.reshape(-1, 1) if sequence else array.reshape(1)
        reset = reset if isinstance(reset, bool) else [bool(row) for row in reset]
        entry = Sent(array, sequence, reset, self.position, self.count + 1)
        self._save(entry)
        return entry

    def finish(self, entry: Sent) -> Operation[Answer]:
        """Send a request until it is answered, and before it those that Redis has lost. Raise Problem."""
        waiting = deque([entry])
        while True:
            try:
                reply = yield from exchange(waiting[0].request(self.name), self.give_up_s)
            except Regressed as problem:
                lost = self._since(problem.position, waiting[0])
                if not lost:
                    raise
                waiting.extendleft(reversed(lost))
                continue
            answer = waiting.popleft().answer(reply)
            if not waiting:
                return self.note(entry, answer)

    def note(self, entry: Sent, answer: Answer) -> Answer:
        """Note the answer to the request that `begin` has returned."""
        self._sent.append(entry)
        self.position, self.count = answer.position, entry.number
        return answer

    def step(self, inputs: Inputs, reset: Reset = False) -> Operation[Answer]:
        """Apply one step."""
        return (yield from self.finish(self.begin(inputs, reset)))

    def sequence(self, inputs: Inputs, reset: Reset = False) -> Operation[Answer]:
        """Apply several steps, all or none."""
        answer = yield from self.finish(self.begin(inputs, reset, sequence=True))
        return replace(answer, output=same_kind(inputs, answer.output))

    def change(self, method: str, path: str, body: Mapping[str, Any]) -> Operation[Document]:
        """Apply a change at the present position, once, and continue at the position of the answer."""
        document = {**body, "position": self.position}
        answer = yield from call(method, session_path(self.name, *path.split("/")), document, give_up_s=self.give_up_s)
        self._moved(answer["position"])
        return answer

    def request(self, method: str, path: str = "", body: Mapping[str, Any] | None = None) -> Operation[Document]:
        """Send a request about the session that leaves its position as it is; once, if it creates something."""
        parts = path.split("/") if path else []
        headers = {"Idempotency-Key": uuid.uuid4().hex} if method == "POST" else {}
        url = session_path(self.name, *parts)
        return (yield from call(method, url, body, headers=headers, give_up_s=self.give_up_s))

    def fork(self, names: Sequence[str]) -> Operation[list["SessionCore"]]:
        """Create sessions that begin with this state. Raise Problem if one of them is refused."""
        body = {"names": list(names), "position": self.position}
        answer = yield from self.request("POST", "fork", body)
        for child in answer["children"]:
            if child["problem"] is not None:
                raise Problem.of(child["problem"])
        return [SessionCore(self.info | child, self.give_up_s, None) for child in answer["children"]]

    def snapshot(self, name: str) -> Operation[Document]:
        """Keep the present state under a name."""
        return (yield from self.request("POST", "snapshots", {"snapshot": name, "position": self.position}))

    def refresh(self) -> Operation[Document]:
        """Read the session, and continue from its present position."""
        self.info = yield from self.request("GET")
        self._moved(self.info["position"])
        return self.info

    def read_state(self) -> Operation[dict[str, Floats]]:
        """Return the whole state: an array (B, size) for each state, named `layers.0.h`."""
        headers = {"Accept": safetensors.MEDIA_TYPE}
        request = Request("GET", session_path(self.name, "state"), headers=headers)
        reply = yield from exchange(request, self.give_up_s)
        return safetensors.load(reply.content)

    def write_state(self, states: Mapping[str, Any]) -> Operation[Document]:
        """Replace the whole state."""
        content = safetensors.dump({name: as_floats(value) for name, value in states.items()})
        headers, params = {"Content-Type": safetensors.MEDIA_TYPE}, {"position": self.position}
        request = Request("PUT", session_path(self.name, "state"), content, headers, params)
        reply = yield from exchange(request, self.give_up_s)
        document: Document = json.loads(reply.content)
        self._moved(document["position"])
        return document

    def _moved(self, position: str) -> None:
        if position != self.position:
            self._sent.clear()
            self.position = position
            self._save(None)

    def _since(self, position: str | None, failed: Sent) -> list[Sent]:
        """Return the remembered requests from a position up to one that failed; none if they do not reach back."""
        sent = [*self._sent, failed]
        first = next((at for at, one in enumerate(sent) if one.before == position), len(sent))
        end = next(at for at, one in enumerate(sent) if one.before == failed.before)
        return sent[first:end]

    def _save(self, entry: Sent | None) -> None:
        if self._file is None:
            return
        pending = None
        if entry is not None:
            pending = {"inputs": pack_array(entry.inputs), "sequence": entry.sequence, "reset": entry.reset}
        self._file.save({"count": self.count, "position": self.position, "pending": pending})
