"""A step or a sequence with the position before it, as it is sent and answered over HTTP."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np

from cellar_client.arrays import npy
from cellar_client.arrays.inputs import Floats
from cellar_client.core.effects import Reply, Request
from cellar_client.core.exchange import JSON
from cellar_client.sessions.rows import ALL, Rows
from cellar_client.values import Answer, version_of

MOST_QUERY = 4096
"""The longest query; a sequence with many resets, which would have a longer one, is sent as JSON."""

NPY = {"Content-Type": npy.MEDIA_TYPE, "Accept": npy.MEDIA_TYPE}


def session_path(name: str, *rest: str) -> str:
    """Return the path of a session, or of something below it."""
    return "/".join(("/v1/sessions", *(quote(part, safe=":@") for part in (name, *rest))))


def _as_json(numbers: Floats) -> Any:
    """Return numbers as lists, with None for NaN, which is a missing reading."""
    missing = np.isnan(numbers)
    if not missing.any():
        return numbers.tolist()
    found = numbers.astype(object)
    found[missing] = None
    return found.tolist()


@dataclass(slots=True)
class Sent:
    """A step (F) or (B, F), or a sequence (T, F) or (T, B, F), with the position before it."""

    inputs: Any
    """Numbers as an array, or readings by the names of columns as JSON."""
    sequence: bool
    rows: Rows
    before: str
    number: int
    score: bool = False
    """Whether scores are asked for."""

    def request(self, path: str) -> Request:
        """Return the HTTP request to a session at a path."""
        if self.score or not isinstance(self.inputs, np.ndarray):
            name, kind = ("inputs", "sequence") if self.sequence else ("input", "step")
            inputs = self.inputs
            if isinstance(inputs, np.ndarray):
                inputs = _as_json(self.rows.without_padding(inputs) if self.sequence else inputs)
            document = {name: inputs, "position": self.before, **self.rows.members()}
            document |= {"score": True} if self.score else {}
            return Request("POST", f"{path}/{kind}", json.dumps(document).encode(), JSON)
        if not self.sequence:
            body: dict[str, Any] = {"input": _as_json(self.inputs), "position": self.before}
            if self.rows is not ALL:
                body |= self.rows.members()
            return Request("POST", f"{path}/step", json.dumps(body).encode(), JSON)
        params = self.params()
        if sum(map(len, params.values())) > MOST_QUERY:
            inputs = self.rows.without_padding(self.inputs)
            body = {"inputs": inputs.tolist(), "position": self.before, **self.rows.members()}
            return Request("POST", f"{path}/sequence", json.dumps(body).encode(), JSON)
        return Request("POST", f"{path}/sequence", npy.dump(self.inputs), NPY, params)

    def params(self) -> dict[str, str]:
        """Return the position and the rows as query parameters."""
        return {"position": self.before, **self.rows.params()}

    def answer(self, reply: Reply) -> Answer:
        """Return the answer to this request."""
        headers = reply.headers
        replayed = "idempotent-replayed" in headers
        if self.sequence and headers.get("content-type", "") == npy.MEDIA_TYPE:
            step, position = int(headers["cellar-step"]), headers["cellar-position"]
            version = version_of(headers.get("cellar-model"))
            return Answer(npy.load(reply.content), step, position, replayed, self.number, version)
        document = json.loads(reply.content)
        output = document["outputs" if self.sequence else "output"]
        array = None if output is None else np.array(output, np.float32)
        version = version_of(document.get("model"))
        score = None if document.get("score") is None else np.array(document["score"], np.float32)
        return Answer(array, document["step"], document["position"], replayed, self.number, version, score)
