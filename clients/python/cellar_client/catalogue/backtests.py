"""Backtests: what is sent, and those that a worker runs."""

from collections.abc import Mapping
from typing import Any

from cellar_client.core.effects import Operation, Pause
from cellar_client.core.exchange import call, new_key
from cellar_client.documents import BacktestDocument, BacktestJobDocument, BacktestSettings, Document
from cellar_client.errors import BacktestFailed

ENDED = ("succeeded", "failed", "cancelled")

POLL_S = 0.5
"""Pause between two readings of a backtest."""


def body_of(dataset: str, horizon: int | None, settings: BacktestSettings | Mapping[str, Any]) -> Document:
    """Return the request of a backtest. Lists may be any sequences."""
    given = {"dataset": dataset, "horizon": horizon, **settings}
    lists = ("quantiles", "inputs", "targets")
    return {name: list(each) if name in lists else each for name, each in given.items() if each is not None}


class BacktestCore:
    """A backtest that a worker runs, as it was read last."""

    def __init__(self, document: BacktestJobDocument, give_up_s: float) -> None:
        self.document = document
        self._path = f"/v1/backtests/{document['backtest']}"
        self._give_up_s = give_up_s

    def wait(self) -> Operation[BacktestDocument]:
        """Wait until the backtest has ended, and return its result. Raise BacktestFailed."""
        while self.document["state"] not in ENDED or (
            self.document["state"] == "succeeded" and self.document["result"] is None  # it is from a list
        ):
            before = self.document
            if (yield from self.refresh()) == before:
                yield Pause(POLL_S)
        result = self.document["result"]
        if result is None:
            raise BacktestFailed(self.document)
        return result

    def refresh(self) -> Operation[BacktestJobDocument]:
        """Read the backtest, with its result once it has succeeded."""
        self.document = yield from call("GET", self._path, give_up_s=self._give_up_s)
        return self.document

    def cancel(self) -> Operation[BacktestJobDocument]:
        """End the backtest: a queued one at once, a running one a moment later."""
        self.document = yield from call("POST", f"{self._path}/cancel", give_up_s=self._give_up_s)
        return self.document

    def delete(self) -> Operation[None]:
        """Delete the backtest, which has ended, with its result. Raise JobActive."""
        yield from call("DELETE", self._path, give_up_s=self._give_up_s)


def submit_backtest(body: Document, key: str | None, give_up_s: float) -> Operation[BacktestCore]:
    """Submit a backtest, once."""
    headers = new_key() if key is None else {"Idempotency-Key": key}
    document = yield from call("POST", "/v1/backtests", body, headers=headers, give_up_s=give_up_s)
    return BacktestCore(document, give_up_s)
