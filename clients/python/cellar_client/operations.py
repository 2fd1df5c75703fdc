"""Operations on a whole service."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from cellar_client.arrays.inputs import Inputs
from cellar_client.catalogue.backtests import BacktestCore, submit_backtest
from cellar_client.catalogue.backtests import body_of as body_of_backtest
from cellar_client.catalogue.jobs import Dataset, JobCore, Pair, body_of, forecast_body, submit, submit_body
from cellar_client.catalogue.sweeps import SweepCore, begin_sweep
from cellar_client.core.effects import ConnectionLost, Emission, Emit, Operation, Reply, Request
from cellar_client.core.exchange import call, given
from cellar_client.documents import (
    BacktestSettings,
    CellDocument,
    DeletionDocument,
    HealthDocument,
    ReadyDocument,
    SessionDocument,
    TrainingSettings,
)
from cellar_client.errors import Problem
from cellar_client.handles import SessionHandle
from cellar_client.sessions.bulk import Bulk
from cellar_client.sessions.fleet import create_all, delete_all
from cellar_client.sessions.session import SessionCore, open_session
from cellar_client.values import Answer

Steps = Sequence[tuple[SessionHandle, Inputs]]
"""Sessions with inputs for each."""


JOBS, MOST_JOBS = 100, 1000
"""Jobs that are listed by default, and in one answer at most."""


class ClientCore:
    """A service, and how long its requests are repeated."""

    def __init__(self, give_up_s: float) -> None:
        self.give_up_s = give_up_s

    def session(
        self,
        name: str | None = None,
        model: str | None = None,
        *,
        state: str | os.PathLike[str] | None = None,
        batch_size: int | None = None,
        ttl_s: int | None = None,
        pinned: bool | None = None,
        history: int | None = None,
        log: int | None = None,
        events: int | None = None,
        learning: Mapping[str, Any] | None = None,
        warm_up: Mapping[str, Any] | None = None,
    ) -> Operation[SessionCore]:
        """Return a session: the existing one, or a new one of `model` if there is none.

        Without `model` the session must exist, and without `name` it is new. `state` is a file with which this client
        continues after its own crash; `recovered` of the session is then the answer to the request that was in
        progress. The options of a new session: `batch_size` rows; a lifetime of `ttl_s` seconds after the last change,
        or no end if `pinned`; how many states (`history`), changes with their inputs (`log`) and events for watchers
        (`events`) are kept, what it learns from targets (`learning`, as `{"type": "rls"}`), and the rows of a dataset
        after which it begins (`warm_up`, as `{"dataset": "readings"}`).
        """
        options = given(model=model, batch_size=batch_size, ttl_s=ttl_s, pinned=pinned)
        options |= given(history=history, log=log, events=events, learning=learning, warm_up=warm_up)
        return (yield from open_session(name, options, self.give_up_s, state))

    def sessions(
        self, *, model: str | None = None, prefix: str | None = None, pinned: bool | None = None
    ) -> Emission[SessionDocument]:
        """Yield the sessions of the service, page by page: those of a model or version, with a prefix, or pinned."""
        params = {"model": model, "prefix": prefix, "pinned": pinned, "cursor": ""}
        while True:
            page = yield from call("GET", "/v1/sessions", params=params, give_up_s=self.give_up_s)
            for session in page["sessions"]:
                yield Emit(session)
            if not page["cursor"]:
                return
            params["cursor"] = page["cursor"]

    def create_sessions(
        self, sessions: Sequence[Mapping[str, Any]], *, model: str | None = None
    ) -> Operation[list[SessionDocument | Problem]]:
        """Create many sessions, and return the session or the error of each, in order.

        Each is a mapping of `session`, `model`, `batch_size`, `ttl_s`, `history`, `log`, `events`, `pinned`,
        `learning` and its state in `layers`, all as of `POST /v1/sessions/bulk`. One without `session` gets a name, and
        one without `model` has that of all.
        """
        return (yield from create_all(sessions, model, self.give_up_s))

    def delete_sessions(
        self,
        *,
        model: str | None = None,
        prefix: str | None = None,
        idle_s: int | None = None,
        dry_run: bool = False,
    ) -> Operation[DeletionDocument]:
        """Delete all sessions that fit the filters, of which at least one is needed, and return their number.

        `model` is a model, a version or an alias, `prefix` the beginning of names, and `idle_s` the time in seconds
        without a change; sessions that never expire are not idle. `dry_run` only counts.
        """
        params = {"model": model, "prefix": prefix, "idle_s": idle_s, "dry_run": dry_run or None}
        return (yield from delete_all(params, self.give_up_s))

    def step_many(self, steps: Steps) -> Operation[list[Answer | Problem]]:
        """Apply a step of each of many sessions, and return the answer or the error of each, in order."""
        return (yield from self._many(steps, sequence=False))

    def sequence_many(self, steps: Steps) -> Operation[list[Answer | Problem]]:
        """Apply a sequence of each of many sessions, and return the answer or the error of each, in order."""
        return (yield from self._many(steps, sequence=True))

    def train(
        self,
        model: str,
        inputs: Inputs,
        targets: Inputs,
        *,
        layout: str | None = None,
        validation: float | Pair | None = None,
        lengths: Sequence[int] | None = None,
        weights: Inputs | None = None,
        key: str | None = None,
        **settings: Unpack[TrainingSettings],
    ) -> Operation[JobCore]:
        """Train a version on inputs and targets, and return the job.

        Both are arrays, lists or tables (T, F) or (T, B, F), or with the axes of `layout`; targets are aligned with the
        end of the inputs. A target that is NaN does not count. `lengths` are the steps of each row, and `weights` say
        how much each target counts. `validation` holds out a fraction of the data, or is a pair of inputs and targets.
        `settings` are the fields of docs/reference/training.md. The same `key` within a day is the same job, also from
        another process.
        """
        data = Dataset(inputs, targets, layout, lengths, weights)
        return (yield from submit(model, data, validation, key, settings, self.give_up_s))

    def train_dataset(
        self,
        model: str,
        dataset: str,
        *,
        targets: Sequence[str] | None = None,
        inputs: Sequence[str] | None = None,
        horizon: int | None = None,
        key: str | None = None,
        **settings: Unpack[TrainingSettings],
    ) -> Operation[JobCore]:
        """Train forecasts of columns of a dataset, and return the job. `model` may be a new name.

        `targets` are the columns to forecast, by default those with that role, `inputs` those that are read besides, by
        default all others, and `horizon` is how many steps ahead is forecast, 1 by default. What `settings` do not give
        is chosen from the data; `job.document["chosen"]` says what, and why.
        """
        body = forecast_body(model, dataset, targets, inputs, horizon, settings)
        return (yield from submit_body(body, key, self.give_up_s))

    def job(self, job: str) -> Operation[JobCore]:
        """Return a training job by its name."""
        return JobCore((yield from call("GET", f"/v1/jobs/{job}", give_up_s=self.give_up_s)), self.give_up_s)

    def jobs(self, *, state: str | None = None, limit: int | None = None) -> Operation[list[JobCore]]:
        """List training jobs, the newest first: those in a state, at most `limit` (100). They have no `losses`."""
        left = JOBS if limit is None else limit
        params = {"state": state, "limit": min(left, MOST_JOBS), "cursor": None}
        found: list[JobCore] = []
        while True:
            page = yield from call("GET", "/v1/jobs", params=params, give_up_s=self.give_up_s)
            found += [JobCore(document, self.give_up_s) for document in page["jobs"]]
            left -= len(page["jobs"])
            if left <= 0 or not page.get("cursor"):  # an older service sends none
                return found
            params |= {"limit": min(left, MOST_JOBS), "cursor": page["cursor"]}

    def backtest(
        self,
        model: str,
        dataset: str,
        horizon: int | None = None,
        *,
        priority: str | None = None,
        key: str | None = None,
        **settings: Unpack[BacktestSettings],
    ) -> Operation[BacktestCore]:
        """Have a worker test a model on a dataset, which may be long, and return the backtest.

        The arguments are those of `client.models.backtest`, and its result has the same numbers.
        """
        body = body_of_backtest(dataset, horizon, settings) | {"model": model}
        body |= {} if priority is None else {"priority": priority}
        return (yield from submit_backtest(body, key, self.give_up_s))

    def find_backtest(self, backtest: str) -> Operation[BacktestCore]:
        """Return a backtest that a worker runs, by its name."""
        path = f"/v1/backtests/{backtest}"
        return BacktestCore((yield from call("GET", path, give_up_s=self.give_up_s)), self.give_up_s)

    def backtests(self) -> Operation[list[BacktestCore]]:
        """List the backtests that workers run, the newest first, without their results."""
        found: list[BacktestCore] = []
        cursor: str | None = None
        while cursor != "":
            page = yield from call("GET", "/v1/backtests", params={"cursor": cursor}, give_up_s=self.give_up_s)
            found += [BacktestCore(document, self.give_up_s) for document in page["backtests"]]
            cursor = page["cursor"]
        return found

    def sweep(
        self,
        model: str,
        inputs: Inputs,
        targets: Inputs,
        parameters: Mapping[str, Any] | None = None,
        *,
        search: Mapping[str, Any] | None = None,
        alias: str | None = None,
        objective: str | None = None,
        max_parallel: int | None = None,
        layout: str | None = None,
        validation: float | Pair | None = None,
        key: str | None = None,
        **settings: Unpack[TrainingSettings],
    ) -> Operation[SweepCore]:
        """Search for the best settings of a training job, and return the sweep.

        `parameters` are lists or ranges by the names of fields, and `search` is that of docs/reference/sweeps.md, every
        combination by default. Without `parameters`, trials are added by `Sweep.add_trial`. The best result by the
        `objective`, the loss by default, gets the `alias`. At most `max_parallel` trials (8) are queued or running at a
        time. The other arguments are those of `train`.
        """
        job = body_of(model, Dataset(inputs, targets, layout), validation, settings)
        begun = begin_sweep(job, parameters, search, alias, objective, max_parallel, key, self.give_up_s)
        return (yield from begun)

    def sweep_dataset(
        self,
        model: str,
        dataset: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        targets: Sequence[str] | None = None,
        inputs: Sequence[str] | None = None,
        horizon: int | None = None,
        search: Mapping[str, Any] | None = None,
        alias: str | None = None,
        objective: str | None = None,
        max_parallel: int | None = None,
        key: str | None = None,
        **settings: Unpack[TrainingSettings],
    ) -> Operation[SweepCore]:
        """Search for the best settings of forecasts of columns of a dataset, and return the sweep.

        `model`, `dataset`, `targets`, `inputs` and `horizon` are those of `train_dataset`, and the others those of
        `sweep`. What the recipe chooses can be varied too, as `data.horizon` or `data.hidden_size`.
        """
        job = forecast_body(model, dataset, targets, inputs, horizon, settings)
        begun = begin_sweep(job, parameters, search, alias, objective, max_parallel, key, self.give_up_s)
        return (yield from begun)

    def find_sweep(self, sweep: str) -> Operation[SweepCore]:
        """Return a sweep by its name."""
        return SweepCore((yield from call("GET", f"/v1/sweeps/{sweep}", give_up_s=self.give_up_s)), self.give_up_s)

    def sweeps(self) -> Operation[list[SweepCore]]:
        """List sweeps, the newest first, without their trials."""
        found: list[SweepCore] = []
        cursor: str | None = None
        while True:
            page = yield from call("GET", "/v1/sweeps", params={"cursor": cursor}, give_up_s=self.give_up_s)
            found += [SweepCore(document, self.give_up_s) for document in page["sweeps"]]
            cursor = page["cursor"]
            if not cursor:
                return found

    def explain_cell(self, equations: str, sizes: Mapping[str, int]) -> Operation[CellDocument]:
        """Check the equations of a cell: its parameters, states, output and cost. Raise CellInvalid."""
        body = {"equations": equations, "sizes": dict(sizes)}
        return call("POST", "/v1/cells", body, give_up_s=self.give_up_s)

    def health(self) -> Operation[HealthDocument]:
        """Return the version of the service as soon as its process answers."""
        return call("GET", "/healthz", give_up_s=self.give_up_s)

    def ready(self) -> Operation[ReadyDocument]:
        """Wait until the service can serve requests, and return the guarantees of its store."""
        return call("GET", "/readyz", give_up_s=self.give_up_s)

    def is_ready(self) -> Operation[bool]:
        """Return whether the service can serve requests now."""
        try:
            reply: Reply = yield Request("GET", "/readyz")
        except ConnectionLost:
            return False
        return reply.status < 300

    def _many(self, steps: Steps, *, sequence: bool) -> Operation[list[Answer | Problem]]:
        cores = [(session.core, inputs) for session, inputs in steps]
        return (yield from Bulk(cores, sequence=sequence, give_up_s=self.give_up_s).run())
