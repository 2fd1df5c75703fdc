"""What one tenant owns: things of every kind, which another tenant then asks for by their names."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from tests.faults.cell import NETWORK

MODEL = {
    "in_size": 1,
    "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 2}, {"type": "dense", "out_size": 1}],
}

LEARNING = {"type": "rls", "window": 4}

ARRAYS = {"inputs": [[0], [1], [0], [1]], "targets": [[1], [0], [1], [0]], "layout": "TF"}

TRIAL = {"parameters": {"optimiser.learning_rate": 0.01}}

SESSIONS = 24

PARTS = ("", "/state", "/snapshots", "/history", "/log", "/learning")
"""What can be read of a session."""

KEY = "key of a request"
"""An Idempotency-Key that both tenants send."""


def job_on(data: dict[str, Any], model: str, **fields: Any) -> dict[str, Any]:
    """Return the request of a training job."""
    return {"model": model, "data": data, "epochs": 2, **fields}


@dataclass
class Owned:
    """Names of one tenant. Those that a client chose contain `mark`; the others were chosen by the service."""

    mark: str
    sessions: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    snapshot: str = ""
    alias: str = "live"
    writer: str = ""
    dataset: str = ""
    jobs: list[str] = field(default_factory=list)
    sweeps: list[str] = field(default_factory=list)
    backtest: str = ""
    keys: list[str] = field(default_factory=list)
    deletions: list[str] = field(default_factory=list)
    cursors: list[tuple[str, str]] = field(default_factory=list)
    """Lists with a cursor into them."""
    event: str = ""
    """The id of the last event of the first session."""

    @property
    def ids(self) -> Iterator[str]:
        """All names, of which none may stand in an answer to another tenant that has not asked for it."""
        yield self.mark
        yield from (*self.jobs, *self.sweeps, self.backtest, *self.keys, *self.deletions)


class Owner:
    """Makes things with an API key, and reads them all."""

    def __init__(self, http: httpx.Client, mark: str) -> None:
        self._http = http
        self.owned = Owned(mark)

    def send(self, method: str, path: str, json: Any = None, **more: Any) -> Any:
        """Send a request that must succeed, and return its document."""
        answer = self._http.request(method, path, json=json, **more)
        assert answer.is_success, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def make(self) -> Owned:
        """Make models with versions and aliases, sessions with all that belongs to one, jobs, keys, a dataset."""
        owned, mark = self.owned, self.owned.mark
        self.send("POST", "/v1/models", {"name": "exact", "network": NETWORK})
        for name in (f"m-{mark}", f"{mark}.x"):
            self.send("POST", "/v1/models", {"name": name, "network": MODEL, "seed": 1})
            self.send("PUT", f"/v1/models/{name}/aliases/{owned.alias}", {"version": 1})
            owned.models.append(name)
        for index in range(SESSIONS):
            name = (f"{mark}-{index}", f"a/{mark}:{index}", f"ü {mark} {index}")[index % 3]
            model = owned.models[0] if index % 2 else f"{owned.models[0]}@{owned.alias}"
            opened = {"session": name, "model": model, "history": 4, "log": 9, "events": 9, "learning": LEARNING}
            self.send("POST", "/v1/sessions", opened)
            owned.sessions.append(name)
        owned.snapshot, owned.writer = f"snap-{mark}", f"w-{mark}"
        for name in owned.sessions:
            place = f"/v1/sessions/{quote(name, safe='')}"
            self.send("POST", f"{place}/step", {"input": [0.5], "writer": owned.writer, "seq": 1})
            self.send("POST", f"{place}/step", {"input": [0.25]}, headers={"idempotency-key": KEY})
            self.send("POST", f"{place}/targets", {"step": 0, "targets": [[0.25]]})
            self.send("POST", f"{place}/snapshots", {"snapshot": owned.snapshot})
        owned.dataset = f"d-{mark}"
        text = {"content-type": "text/csv"}
        self.send("POST", f"/v1/datasets?name={owned.dataset}", content=b"a,b\n1,2\n3,4\n", headers=text)
        # No worker runs: jobs stay queued.
        owned.jobs.append(self.send("POST", "/v1/jobs", job_on(ARRAYS, owned.models[1]))["job"])
        sweep = {"job": job_on(ARRAYS, owned.models[1]), "search": {"type": "external"}}
        owned.sweeps.append(self.send("POST", "/v1/sweeps", sweep)["sweep"])
        added = self.send("POST", f"/v1/sweeps/{owned.sweeps[0]}/trials", TRIAL)
        owned.jobs.append(added["job"])
        tested = {"model": owned.models[1], "dataset": owned.dataset, "inputs": ["a"], "targets": ["a"], "start": 0}
        owned.backtest = self.send("POST", "/v1/backtests", tested)["backtest"]
        owned.keys = [key["id"] for key in self.send("GET", "/v1/keys")["keys"]]
        for suffix in ("p", "q"):
            self.send("POST", "/v1/sessions", {"session": f"{mark}!{suffix}", "model": owned.models[0]})
        deleted = self.send("DELETE", "/v1/sessions", params={"prefix": f"{mark}!"})
        owned.deletions.append(deleted["deletion"])
        for path in ("/v1/sessions", "/v1/models", "/v1/jobs"):
            owned.cursors.append((path, self.send("GET", path, params={"limit": 1})["cursor"]))
        return owned

    def read(self) -> dict[str, str]:
        """Return every answer that the tenant is given, by path."""
        paths = [
            "/v1/models",
            "/v1/datasets",
            f"/v1/datasets/{self.owned.dataset}/rows",
            "/v1/jobs",
            "/v1/sweeps",
            f"/v1/sweeps/{self.owned.sweeps[0]}",
            "/v1/backtests",
            "/v1/keys",
            "/v1/sessions?limit=1000",
        ]
        for name in self.owned.sessions:
            place = f"/v1/sessions/{quote(name, safe='')}"
            paths += [f"{place}{part}" for part in PARTS]
        return {path: self._http.get(path).text for path in paths}
