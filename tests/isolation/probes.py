"""Requests that name things of another tenant. Each has a twin, which names things that do not exist."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote

import numpy as np

from benchmarks.frames import pack_steps
from cellar.wire.frames.frames import Step
from tests.isolation.owner import ARRAYS, KEY, PARTS, TRIAL, Owned, job_on

SEEDS = {"seed": [1, 2]}

NDJSON, FRAMES, NPY = "application/x-ndjson", "application/vnd.cellar.frames", "application/x-npy"


@dataclass(frozen=True)
class Probe:
    """A request. `names` are those that it has of another tenant, and `others` those of its twin."""

    method: str
    path: str
    names: tuple[str, ...]
    others: tuple[str, ...]
    params: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""
    is_socket: bool = False

    def twin(self) -> "Probe":
        """Return the request with other names."""
        swap = self._swapped
        return Probe(
            self.method,
            swap(self.path),
            self.others,
            self.names,
            {name: swap(value) for name, value in self.params.items()},
            {name: swap(value) for name, value in self.headers.items()},
            self._swapped_bytes(),
            self.is_socket,
        )

    def plain(self, text: str) -> str:
        """Return an answer without the names of the request."""
        for name in self.names:
            for form in (name, quote(name, safe=""), json.dumps(name)[1:-1]):
                text = text.replace(form, "§")
        return text

    def _swapped(self, text: str) -> str:
        for name, other in zip(self.names, self.others, strict=True):
            text = text.replace(name, other).replace(quote(name, safe=""), quote(other, safe=""))
        return text

    def _swapped_bytes(self) -> bytes:
        content = self.content
        for name, other in zip(self.names, self.others, strict=True):
            content = content.replace(name.encode(), other.encode())
            content = content.replace(json.dumps(name)[1:-1].encode(), json.dumps(other)[1:-1].encode())
        return content


def npy(*shape: int) -> bytes:
    """Return an npy file of zeros."""
    file = io.BytesIO()
    np.save(file, np.zeros(shape, np.float32))
    return file.getvalue()


class Probes:
    """Makes probes of what a tenant owns. The others are a session, a model and a dataset of the tenant that asks."""

    def __init__(self, owned: Owned, own: str, own_model: str, own_dataset: str, seed: int) -> None:
        self._owned, self._own, self._own_model, self._own_dataset = owned, own, own_model, own_dataset
        self._random = Random(seed)
        other = f"{self._random.getrandbits(64):016x}"
        self._other: Callable[[str], str] = lambda name: (
            name.replace(owned.mark, other) if owned.mark in name else self._other_id(name)
        )

    def __iter__(self) -> Iterator[Probe]:
        """Yield probes without end, all kinds in turn."""
        while True:
            yield from self._of_session()
            yield from self._of_model()
            yield from self._of_others()
            yield from self._references()

    @property
    def _session(self) -> str:
        return self._random.choice(self._owned.sessions)

    @property
    def _model(self) -> str:
        return self._random.choice(self._owned.models)

    def _other_id(self, name: str) -> str:
        """Return a name of the same form that the service has not given."""
        digits = "0123456789abcdef"
        return "".join(self._random.choice(digits) if character in digits else character for character in name)

    def _probe(self, method: str, path: str, *names: str, json_body: Any = None, **more: Any) -> Probe:
        """Return a probe of a path with its names in braces."""
        others = tuple(self._other(name) for name in names)
        if json_body is not None:
            more["content"] = json.dumps(json_body).encode()
            more["headers"] = {"content-type": "application/json", **more.get("headers", {})}
        return Probe(method, path.format(*(quote(name, safe="") for name in names)), names, others, **more)

    def _of_session(self) -> Iterator[Probe]:
        """Yield requests for a session of the other tenant."""
        place, gets = "/v1/sessions/{}", (*PARTS, "/shadow", "/events")
        for part in gets:
            yield self._probe("GET", place + part, self._session)
        kept: dict[str, Any] = {"params": {"kept": "true"}, "headers": {"last-event-id": f"{0:016x}-0"}}
        yield self._probe("GET", f"{place}/events", self._session, **kept)
        yield self._probe("GET", place + "/snapshots/{}", self._session, self._owned.snapshot)
        yield self._probe("GET", place + "/writers/{}", self._session, self._owned.writer)
        yield self._probe("DELETE", place + "/snapshots/{}", self._session, self._owned.snapshot)
        yield self._probe("DELETE", f"{place}/shadow", self._session)
        yield self._probe("DELETE", place, self._session)
        bodies: dict[str, Any] = {
            "step": {"input": [0.5]},
            "sequence": {"inputs": [[0.5], [1]]},
            "reset": {},
            "snapshots": {"snapshot": "mine"},
            "rewind": {"steps": 1},
            "fork": {"names": ["child"]},
            "replay": {"model": self._own_model},
            "migrate": {"model": self._own_model},
            "targets": {"step": 1, "targets": [[0.5]]},
            "learning/reset": {},
            "learning/publish": None,
            "forecast": {"horizon": 2},
        }
        for part, body in bodies.items():
            yield self._probe("POST", f"{place}/{part}", self._session, json_body=body)
        headers = {"idempotency-key": KEY}
        yield self._probe("POST", f"{place}/step", self._session, json_body={"input": [0.25]}, headers=headers)
        named = {"snapshot": self._owned.snapshot}
        yield self._probe("POST", f"{place}/restore", self._session, self._owned.snapshot, json_body=named)
        yield self._probe("PATCH", place, self._session, json_body={"ttl_s": 1})
        layers = {"layers": [{"layer": 0, "h": [[0.5, 0.5]]}]}
        yield self._probe("PUT", f"{place}/state", self._session, json_body=layers)
        yield self._probe("PATCH", f"{place}/state", self._session, json_body=layers)
        yield self._probe("PUT", f"{place}/shadow", self._session, json_body={"model": self._own_model})
        yield from self._steps_in_every_form()

    def _steps_in_every_form(self) -> Iterator[Probe]:
        """Yield steps of a session of the other tenant that are not JSON bodies."""
        place, session = "/v1/sessions/{}", self._session
        for part, shape in (("step", (1,)), ("sequence", (2, 1)), ("sequence/stream", (2, 1))):
            headers = {"content-type": NPY}
            yield self._probe("POST", f"{place}/{part}", session, content=npy(*shape), headers=headers)
        params = {"writer": self._owned.writer, "seq": "1"}
        more: dict[str, Any] = {"params": params, "content": npy(1), "headers": {"content-type": NPY}}
        yield self._probe("POST", f"{place}/step", session, self._owned.writer, **more)
        line = json.dumps({"input": [0.5]}).encode() + b"\n"
        yield self._probe("POST", f"{place}/sequence/stream", session, content=line, headers={"content-type": NDJSON})
        line = json.dumps({"session": session, "input": [0.5]}).encode() + b"\n"
        yield self._probe("POST", "/v1/steps", session, content=line, headers={"content-type": NDJSON})
        step = Step(session, np.zeros((1, 1, 1), np.float32))
        yield self._probe("POST", "/v1/steps", session, content=pack_steps([step]), headers={"content-type": FRAMES})
        message = json.dumps({"id": 1, "input": [0.5]}).encode()
        yield self._probe("GET", f"{place}/stream", session, content=message, is_socket=True)
        message = json.dumps({"id": 1, "session": session, "input": [0.5]}).encode()
        yield self._probe("GET", "/v1/stream", session, content=message, is_socket=True)
        position, writer = f"{0:016x}.0.{0:032x}", self._owned.writer
        message = json.dumps({"session": session, "resume": position, "writer": writer}).encode()
        yield self._probe("GET", "/v1/stream", session, self._owned.writer, content=message, is_socket=True)

    def _of_model(self) -> Iterator[Probe]:
        """Yield requests for a model of the other tenant."""
        place, model, alias = "/v1/models/{}", self._model, self._owned.alias
        for part in ("", "@1", f"@{alias}", "/versions", "/aliases", f"/aliases/{alias}", "/weights", "/export"):
            yield self._probe("GET", place + part, model)
        yield self._probe("GET", f"{place}/export", model, params={"format": "onnx"})
        yield self._probe("DELETE", place, model, params={"force": "true"})
        yield self._probe("DELETE", f"{place}/aliases/{alias}", model)
        yield self._probe("PATCH", place, model, json_body={"tags": ["mine"]})
        yield self._probe("POST", f"{place}/backtest", model, json_body={"dataset": self._own_dataset})
        yield self._probe("POST", "/v1/jobs", model, json_body=job_on(ARRAYS, f"{model}@1"))
        yield self._probe("PUT", f"{place}/aliases/{alias}", model, json_body={"version": 1})

    def _of_others(self) -> Iterator[Probe]:
        """Yield requests for jobs, datasets, keys and deletions of the other tenant."""
        job, key, deletion = (
            self._random.choice(names) for names in (self._owned.jobs, self._owned.keys, self._owned.deletions)
        )
        yield self._probe("GET", "/v1/jobs/{}", job)
        yield self._probe("GET", "/v1/jobs/{}/events", job)
        yield self._probe("GET", "/v1/jobs/{}/history", job)
        yield self._probe("POST", "/v1/jobs/{}/cancel", job)
        yield self._probe("POST", "/v1/jobs/{}/retry", job)
        yield self._probe("DELETE", "/v1/jobs/{}", job)
        sweep, dataset = self._owned.sweeps[0], self._owned.dataset
        for part in ("", "/curves", "/events", "/trials/1"):
            yield self._probe("GET", f"/v1/sweeps/{{}}{part}", sweep)
        yield self._probe("POST", "/v1/sweeps/{}/trials", sweep, json_body=TRIAL)
        yield self._probe("POST", "/v1/sweeps/{}/finish", sweep)
        yield self._probe("POST", "/v1/sweeps/{}/cancel", sweep)
        yield self._probe("DELETE", "/v1/sweeps/{}", sweep)
        yield self._probe("GET", "/v1/backtests/{}", self._owned.backtest)
        yield self._probe("POST", "/v1/backtests/{}/cancel", self._owned.backtest)
        yield self._probe("DELETE", "/v1/backtests/{}", self._owned.backtest)
        for part in ("", "/rows", "/statistics", "/export"):
            yield self._probe("GET", f"/v1/datasets/{{}}{part}", dataset)
        yield self._probe("GET", "/v1/datasets/{}/series", dataset, params={"column": "a"})
        yield self._probe("DELETE", "/v1/datasets/{}", dataset)
        yield self._probe("GET", "/v1/keys/{}", key)
        yield self._probe("DELETE", "/v1/keys/{}", key)
        yield self._probe("POST", "/v1/keys/{}/rotate", key, json_body={"overlap_s": 1})
        yield self._probe("GET", "/v1/deletions/{}", deletion)

    def _references(self) -> Iterator[Probe]:
        """Yield requests for lists and for things of the asking tenant with names of the other one in them."""
        model, session, own = self._model, self._session, quote(self._own, safe="")
        for reference in (model, f"{model}@1", f"{model}@{self._owned.alias}"):
            body: dict[str, Any] = {"session": "new", "model": reference}
            yield self._probe("POST", "/v1/sessions", model, json_body=body)
            for method, part in (("POST", "replay"), ("POST", "migrate"), ("PUT", "shadow")):
                yield self._probe(method, f"/v1/sessions/{own}/{part}", model, json_body={"model": reference})
            yield self._probe("GET", "/v1/sessions", model, params={"model": reference})
            yield self._probe("DELETE", "/v1/sessions", model, params={"model": reference, "dry_run": "true"})
        line = json.dumps({"session": "new", "model": model}).encode() + b"\n"
        yield self._probe("POST", "/v1/sessions/bulk", model, content=line, headers={"content-type": NDJSON})
        named = {"snapshot": self._owned.snapshot}
        yield self._probe("POST", f"/v1/sessions/{own}/restore", self._owned.snapshot, json_body=named)
        yield self._probe("GET", "/v1/sessions", session, params={"prefix": session})
        yield self._probe("DELETE", "/v1/sessions", session, params={"prefix": session, "dry_run": "true"})
        logged = {"dataset": "new", "sessions": {"prefix": session}}
        yield self._probe("POST", "/v1/datasets", session, json_body=logged)
        yield self._probe("GET", "/v1/models", model, params={"prefix": model})
        yield from self._training_references()
        for path in ("models", "datasets", "jobs", "sweeps", "backtests", "keys", "sessions"):
            yield self._probe("GET", f"/v1/{path}")
        for path, cursor in self._owned.cursors:
            yield self._probe("GET", path, params={"cursor": cursor})

    def _training_references(self) -> Iterator[Probe]:
        """Yield requests of the asking tenant that train, test or begin with what the other one owns."""
        job, dataset, own = self._random.choice(self._owned.jobs), self._owned.dataset, self._own_model
        named = {"dataset": dataset, "targets": ["a"], "horizon": 1}
        yield self._probe("POST", "/v1/jobs", job, json_body=job_on(ARRAYS, own, resume_from=job))
        yield self._probe("POST", "/v1/jobs", dataset, json_body=job_on(named, "new"))
        yield self._probe("POST", "/v1/sweeps", dataset, json_body={"job": job_on(named, "new"), "parameters": SEEDS})
        yield self._probe("POST", f"/v1/models/{own}/backtest", dataset, json_body={"dataset": dataset})
        yield self._probe("POST", "/v1/backtests", dataset, json_body={"model": own, "dataset": dataset})
        warm = {"session": "new", "model": own, "warm_up": {"dataset": dataset}}
        yield self._probe("POST", "/v1/sessions", dataset, json_body=warm)
