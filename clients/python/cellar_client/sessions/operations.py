"""Operations on a session that are no steps: its state, snapshots, forks, history, other versions and lifetime."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Self

from cellar_client.arrays import safetensors
from cellar_client.arrays.inputs import Floats, as_floats, from_lists
from cellar_client.core.effects import Emission, Emit, Operation, Request
from cellar_client.core.exchange import call, exchange, given, new_key, texts
from cellar_client.documents import (
    ChangeDocument,
    ForecastDocument,
    HistoryDocument,
    LearningDocument,
    ModelDocument,
    ReplayDocument,
    SessionDocument,
    ShadowDocument,
    SnapshotDocument,
    WriterDocument,
)
from cellar_client.errors import AlreadyExists, Problem
from cellar_client.sessions.sent import session_path
from cellar_client.values import LogEntry

TAKES = {"Accept": safetensors.MEDIA_TYPE}
SENDS = {"Content-Type": safetensors.MEDIA_TYPE}


class SessionOperations:
    """A session at a position. Changes carry the position, so each is applied once."""

    def __init__(self, document: SessionDocument, give_up_s: float) -> None:
        self.name = document["session"]
        self.info = document
        self.position = document["position"]
        self.path = session_path(self.name)
        self.give_up_s = give_up_s

    def child(self, document: SessionDocument) -> Self:
        """Return another session that is used in the same way."""
        raise NotImplementedError

    def moved(self, position: str) -> None:
        """Continue at a position."""
        self.position = position

    # --- state

    def state(self, layer: int | None = None, name: str | None = None) -> Operation[dict[str, Floats]]:
        """Return the hidden state: an array (B, size) for each state, named as `layers.0.h`.

        `layer` and `name` select states.
        """
        params = texts({"layer": layer, "name": name})
        reply = yield from exchange(Request("GET", f"{self.path}/state", headers=TAKES, params=params), self.give_up_s)
        return safetensors.load(reply.content)

    def write_state(self, states: Mapping[str, Any]) -> Operation[ChangeDocument]:
        """Replace the whole hidden state by arrays named as those of `state`."""
        return (yield from self._write("PUT", states))

    def update_state(self, states: Mapping[str, Any]) -> Operation[ChangeDocument]:
        """Replace some states by arrays named as those of `state`, and leave the others as they are."""
        return (yield from self._write("PATCH", states))

    def reset(self, rows: Sequence[int] | Sequence[bool] | None = None) -> Operation[ChangeDocument]:
        """Put the session into the initial state, or some rows of it: their numbers, or a boolean for each."""
        return (yield from self._change("reset", given(rows=None if rows is None else list(rows))))

    # --- snapshots and forks

    def snapshot(self, name: str) -> Operation[SnapshotDocument]:
        """Keep the present state under a name, as long as the session exists."""
        return self._call("POST", "/snapshots", {"snapshot": name, "position": self.position})

    def snapshots(self) -> Operation[list[SnapshotDocument]]:
        """List the snapshots of the session."""
        found: list[SnapshotDocument] = (yield from self._call("GET", "/snapshots"))["snapshots"]
        return found

    def delete_snapshot(self, name: str) -> Operation[None]:
        """Delete a snapshot."""
        yield from call("DELETE", session_path(self.name, "snapshots", name), give_up_s=self.give_up_s)

    def restore(self, name: str) -> Operation[ChangeDocument]:
        """Return to the state of a snapshot."""
        return (yield from self._change("restore", {"snapshot": name}))

    def fork(
        self, names: Sequence[str] | None = None, *, count: int | None = None, ttl_s: int | None = None
    ) -> Operation[list[Self]]:
        """Create sessions with these names, or `count` of them, that begin with the present state.

        Raise Problem if one of them is refused; the others exist then.
        """
        body = given(names=None if names is None else list(names), count=count, ttl_s=ttl_s, position=self.position)
        answer = yield from self._call("POST", "/fork", body)
        for child in answer["children"]:
            if child["problem"] is not None:
                raise Problem.of(child["problem"])
        return [self.child(self.info | child) for child in answer["children"]]

    # --- forecasts

    def forecast(
        self,
        horizon: int | None = None,
        *,
        quantiles: Sequence[float] | None = None,
        paths: int | None = None,
        seed: int | None = None,
        future: Any = None,
        feedback: Mapping[str, int] | None = None,
        last: Any = None,
        include_paths: bool = False,
    ) -> Operation[ForecastDocument]:
        """Forecast from the present state, which stays as it is: values and quantiles by target.

        `horizon` is the number of steps ahead. `future` (steps, in_size) are inputs that are known, None where a
        target becomes the input as `feedback` says, or a mapping of columns for each step. `last` (rows, out_size)
        are the last outputs of a model that does not keep them.
        """
        body = given(
            horizon=horizon,
            quantiles=None if quantiles is None else list(quantiles),
            paths=paths,
            seed=seed,
            future=None if future is None else [_row(step) for step in future],
            feedback=None if feedback is None else dict(feedback),
            last=None if last is None else [list(row) for row in last],
            include_paths=include_paths or None,
        )
        return self._call("POST", "/forecast", body)

    # --- history

    def history(self) -> Operation[HistoryDocument]:
        """Return the kept states, and the steps to which the session can be rewound."""
        return self._call("GET", "/history")

    def rewind(
        self, steps: int | None = None, *, step: int | None = None, to: str | None = None
    ) -> Operation[ChangeDocument]:
        """Go back some steps, to a step of the epoch, or to a position of any epoch.

        The session must have been created with `history` or `log`.
        """
        return (yield from self._change("rewind", given(steps=steps, step=step, to=to)))

    def log(self, after: int = -1) -> Emission[LogEntry]:
        """Yield the logged changes behind a number, oldest first. The session must have been created with `log`."""
        last: int | None = after
        while last is not None:
            page = yield from call("GET", f"{self.path}/log", params={"after": last}, give_up_s=self.give_up_s)
            for entry in page["entries"]:
                yield Emit(_log_entry(entry))
            last = page["after"]

    # --- other versions

    def replay(self, model: str, session: str | None = None, *, since: str | None = None) -> Operation[ReplayDocument]:
        """Run the log on another version, and return how the outputs differ.

        With `session`, create a session of that name in the resulting state; `differences` is then None. `since` is the
        position of the change with which the run begins.
        """
        body = given(model=model, session=session, since=since)
        url, give_up_s = f"{self.path}/replay", self.give_up_s
        found = yield from call("POST", url, body, give_up_s=give_up_s, if_applied=(AlreadyExists,))
        if not found:  # it was created, and the reply was lost
            again = yield from self.replay(model, since=since)
            found = again | {"session": session, "differences": None}
        replayed: ReplayDocument = found
        return replayed

    def migrate(self, model: str, how: str = "auto") -> Operation[ChangeDocument]:
        """Move the session to another version: `carry` the state, `replay` the log, or `auto`."""
        return (yield from self._change("migrate", {"model": model, "how": how}))

    def start_shadow(self, model: str) -> Operation[ShadowDocument]:
        """Let another version run the inputs of the session in the background. The session must have a log."""
        return self._call("PUT", "/shadow", {"model": model})

    def shadow(self) -> Operation[ShadowDocument]:
        """Return the progress of the shadow, and how its outputs differ."""
        return self._call("GET", "/shadow")

    def end_shadow(self) -> Operation[None]:
        """End the shadow, and delete its results."""
        yield from self._call("DELETE", "/shadow")

    # --- learning

    def give_targets(self, targets: Any, step: int | None = None) -> Operation[ChangeDocument]:
        """Teach the session what the outputs of consecutive steps should have been: numbers (T, out_size).

        `step` is the first of them, by default so that the last one is the last step. Raise StepTaken for a step that
        was given another target.
        """
        values = as_floats(targets)
        first = int(self.position.split(".")[1]) - len(values) if step is None else step
        return (yield from self._change("targets", {"step": first, "targets": values.tolist()}))

    def learning(self) -> Operation[LearningDocument]:
        """Return how much the session has learnt: its errors before and after, and how far its weights have moved."""
        return self._call("GET", "/learning")

    def reset_learning(self) -> Operation[ChangeDocument]:
        """Return to the version: what was learnt is forgotten, and the hidden state stays."""
        return (yield from self._change("learning/reset", {}))

    def publish_learning(self) -> Operation[ModelDocument]:
        """Publish what the session has learnt as the newest version of its model."""
        return self._call("POST", "/learning/publish")

    # --- the session itself

    def refresh(self) -> Operation[SessionDocument]:
        """Read the session, and continue from its present position, also if another client has changed it."""
        self.info = yield from self._call("GET")
        self.moved(self.info["position"])
        return self.info

    def writer(self, name: str) -> Operation[WriterDocument]:
        """Return the number of the last request that the session has of a writer; `seq` is 0 if it knows none."""
        return call("GET", session_path(self.name, "writers", name), give_up_s=self.give_up_s)

    def update(self, *, ttl_s: int | None = None, pinned: bool | None = None) -> Operation[SessionDocument]:
        """Change the lifetime: `ttl_s` seconds from the last change, or for ever if it is `pinned`."""
        self.info = yield from self._call("PATCH", "", given(ttl_s=ttl_s, pinned=pinned))
        return self.info

    def delete(self) -> Operation[None]:
        """Delete the session and its state."""
        yield from self._call("DELETE")

    def _call(self, method: str, path: str = "", body: Mapping[str, Any] | None = None) -> Operation[Any]:
        """Send a request that leaves the position as it is; once, if it creates or changes something."""
        headers = new_key() if method in ("POST", "PATCH") else {}
        return call(method, self.path + path, body, headers=headers, give_up_s=self.give_up_s)

    def _change(self, path: str, body: Mapping[str, Any]) -> Operation[ChangeDocument]:
        """Apply a change at the present position, once, and continue at the position of the answer."""
        document = {**body, "position": self.position}
        answer = yield from call("POST", f"{self.path}/{path}", document, give_up_s=self.give_up_s)
        self.moved(answer["position"])
        found: ChangeDocument = answer
        return found

    def _write(self, method: str, states: Mapping[str, Any]) -> Operation[ChangeDocument]:
        content = safetensors.dump({name: as_floats(value) for name, value in states.items()})
        request = Request(method, f"{self.path}/state", content, SENDS, {"position": self.position})
        answer: ChangeDocument = json.loads((yield from exchange(request, self.give_up_s)).content)
        self.moved(answer["position"])
        return answer


def _log_entry(entry: dict[str, Any]) -> LogEntry:
    inputs = from_lists(entry["inputs"])
    members = ("change", "kind", "step", "position", "steps")
    return LogEntry(
        **{name: entry[name] for name in members}, inputs=inputs, reset=entry["reset"], model=entry["model"]
    )


def _row(step: Any) -> Any:
    return dict(step) if isinstance(step, Mapping) else list(step)
