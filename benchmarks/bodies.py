"""Generates bodies at the size limit with the worst content, for each member of each request and each format."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.frames import pack_steps
from cellar.wire.arrays import npy, tensors
from cellar.wire.frames import frames
from cellar.wire.json import lines

JSON = "application/json"

SLOT = b"@"
"""The name of the member of a document that holds the content."""


@dataclass(frozen=True, slots=True)
class Body:
    """A request; `place` and `content` are its name. {one} in the path is replaced by a session, {model} by a model."""

    place: str
    content: str
    method: str
    path: str
    kind: str
    data: bytes


PLACES = {
    "model, layers": ("POST", "/v1/models", b'{"name":"worst","network":{"in_size":1,"layers":@}}'),
    "model, initialisers": (
        "POST",
        "/v1/models",
        b'{"name":"worst","network":{"in_size":1,"layers":[{"type":"dense","out_size":1,"init":@}]}}',
    ),
    "cell, sizes": ("POST", "/v1/cells", b'{"equations":"h = x","sizes":@}'),
    "session": ("POST", "/v1/sessions", b'{"model":"{model}","session":@}'),
    "session, update": ("PATCH", "/v1/sessions/{one}", b'{"ttl_s":@}'),
    "step, input": ("POST", "/v1/sessions/{one}/step", b'{"input":@}'),
    "step, reset": ("POST", "/v1/sessions/{one}/step", b'{"input":[1],"reset":@}'),
    "step, position": ("POST", "/v1/sessions/{one}/step", b'{"input":[1],"position":@}'),
    "sequence, inputs": ("POST", "/v1/sessions/{one}/sequence", b'{"inputs":@}'),
    "sequence, reset": ("POST", "/v1/sessions/absent/sequence", b'{"inputs":[[1]],"reset":@}'),
    "reset, rows": ("POST", "/v1/sessions/{one}/reset", b'{"rows":@}'),
    "state, layers": ("PUT", "/v1/sessions/{one}/state", b'{"layers":@}'),
    "state, numbers": ("PATCH", "/v1/sessions/{one}/state", b'{"layers":[{"layer":0,"h":@}]}'),
    "fork, names": ("POST", "/v1/sessions/{one}/fork", b'{"names":@}'),
    "rewind": ("POST", "/v1/sessions/{one}/rewind", b'{"to":@}'),
    "migrate": ("POST", "/v1/sessions/{one}/migrate", b'{"model":@}'),
    "snapshot": ("POST", "/v1/sessions/{one}/snapshots", b'{"snapshot":@}'),
    "shadow": ("PUT", "/v1/sessions/{one}/shadow", b'{"model":@}'),
    "job, inputs": ("POST", "/v1/jobs", b'{"model":"{model}","data":{"layout":"TF","inputs":@,"targets":[[1]]}}'),
    "job, optimiser": (
        "POST",
        "/v1/jobs",
        b'{"model":"{model}","data":{"layout":"TF","inputs":[[1]],"targets":[[1]]},"optimiser":@}',
    ),
    "the whole document": ("POST", "/v1/sessions/{one}/sequence", b"@"),
}
"""Method, path, and a document with a member for the content."""


def contents(size: int) -> Iterator[tuple[str, bytes]]:
    """Yield the values that take the longest to read, each of about `size` bytes."""
    yield "strings", _array(b'"ab"', size)
    yield "nulls", _array(b"null", size)
    yield "booleans", _array(b"true", size)
    yield "empty objects", _array(b"{}", size)
    yield "objects", _array(b'{"type":"dense"}', size)
    yield "empty arrays", _array(b"[]", size)
    yield "integers", _array(b"0", size)
    yield "rows", _array(b"[0.5]", size)
    yield "ragged rows", _array(b"[0.5]", size)[:-1] + b",[0.5,1]]"
    yield "deep arrays", size // 2 * b"[" + size // 2 * b"]"
    yield "deep objects", size // 6 * b'{"a":' + b"1" + size // 6 * b"}"
    yield "layers within layers", size // 35 * b'{"type":"residual","layers":[' + b"1" + size // 35 * b"]}"
    yield "members", b"{" + b",".join(b'"%x":0' % number for number in range(size // 12)) + b"}"
    yield "a member many times", b"{" + (size // 6 * b'"a":0,')[:-1] + b"}"
    yield "a string", b'"' + size * b"x" + b'"'
    yield "escapes", b'"' + size // 2 * b'\\"' + b'"'
    yield "a number", size * b"1"
    yield "white space", b"[1," + size * b" " + b"2]"
    yield "NaN at the end", _array(b"0", size)[:-1] + b",NaN]"
    yield "1e400 at the end", _array(b"0", size)[:-1] + b",1e400]"
    yield "null at the end", _array(b"[0.5]", size)[:-1] + b",[null]]"
    yield "no end", b"[" + size * b"["


def json_bodies(size: int, name: str, model: str) -> Iterator[Body]:
    """Yield a body for each member and content; `name` is an existing session, `model` its model."""
    for content, value in contents(size):
        for place, (method, path, document) in PLACES.items():
            data = document.replace(b"{model}", model.encode()).replace(SLOT, value, 1)
            yield Body(place, content, method, path.replace("{one}", name), JSON, data)
        line = b'{"session":"%b","input":@}' % name.encode()
        for path, document in (("/v1/steps", line), (f"/v1/sessions/{name}/sequence/stream", b'{"inputs":@}')):
            place = path.replace(name, "one")
            yield Body(place, content, "POST", path, lines.MEDIA_TYPE, document.replace(SLOT, value, 1))


def other_bodies(size: int, name: str) -> Iterator[Body]:
    """Yield bodies in other formats than one JSON document."""
    for content, line in (
        ("bad lines", b"1\n"),
        ("empty objects", b"{}\n"),
        ("NaN", b'{"session":"a","input":[NaN]}\n'),
    ):
        yield Body("/v1/steps", content, "POST", "/v1/steps", lines.MEDIA_TYPE, size // 8 // len(line) * line)
    step = frames.Step("absent", np.full((1, 1, 1), np.nan, np.float32), key="x", timeout_ms=2**31)
    yield Body("/v1/steps", "bad records", "POST", "/v1/steps", frames.MEDIA_TYPE, pack_steps(4096 * [step]))
    infinite = np.zeros((size // 4 - 64, 1), np.float32)
    infinite[-1] = np.inf
    path = f"/v1/sessions/{name}/sequence"
    yield Body("sequence", "infinity at the end", "POST", path, npy.MEDIA_TYPE, npy.dump(infinite))
    header = json.dumps(
        {f"layers.0.h{number}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(3000)}
    )
    data = len(header).to_bytes(8, "little") + header.encode()
    yield Body("state", "many states", "PUT", f"/v1/sessions/{name}/state", tensors.MEDIA_TYPE, data)


def _array(value: bytes, size: int) -> bytes:
    return b"[" + (size // (len(value) + 1) * (value + b","))[:-1] + b"]"
