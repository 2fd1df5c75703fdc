"""Properties of sessions, streams, jobs and sweeps that need no request; the same for both clients."""

from cellar_client.catalogue.backtests import BacktestCore
from cellar_client.catalogue.jobs import ENDED, JobCore
from cellar_client.catalogue.sweeps import SweepCore, TrialCore
from cellar_client.documents import (
    BacktestJobDocument,
    Document,
    JobDocument,
    SessionDocument,
    SweepDocument,
    TrialDocument,
)
from cellar_client.sessions.session import SessionCore
from cellar_client.sessions.stream import StreamCore
from cellar_client.values import Answer


class SessionHandle:
    """A session of either client."""

    core: SessionCore

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} at {self.position}>"

    @property
    def name(self) -> str:
        """Name of the session."""
        return self.core.name

    @property
    def info(self) -> SessionDocument:
        """The session as it was read last: model, rows and lifetime; `position` is newer."""
        return self.core.info

    @property
    def position(self) -> str:
        """Position in the last answer."""
        return self.core.position

    @property
    def count(self) -> int:
        """Number of steps and sequences since the session was opened, or since its state file was begun."""
        return self.core.count

    @property
    def recovered(self) -> Answer | None:
        """Answer to the request that was in progress when a former process with this state file ended, if any was."""
        return self.core.recovered


class StreamHandle:
    """A stream of either client."""

    core: StreamCore

    @property
    def taken(self) -> int:
        """Number of inputs that were handed over, those of former processes with the same state file or writer too.

        With `run(..., chunk=n)` an input is a chunk of n steps.
        """
        return self.core.queue.taken

    @property
    def waiting(self) -> int:
        """Number of inputs whose answers were not received yet."""
        return self.core.waiting

    @property
    def writer(self) -> str:
        """Name under which the session knows this stream."""
        return self.core.writer


class JobHandle:
    """A training job of either client."""

    core: JobCore

    @property
    def document(self) -> JobDocument:
        """The job as it was read last, with all members of the API."""
        return self.core.document

    @property
    def id(self) -> str:
        """The name of the job, for `Client.job`."""
        return self.document["job"]

    @property
    def state(self) -> str:
        """`queued`, `running`, `succeeded`, `failed` or `cancelled`."""
        return self.document["state"]

    @property
    def ended(self) -> bool:
        """Whether the job has ended."""
        return self.state in ENDED

    @property
    def progress(self) -> Document:
        """The last report: `epoch`, `epochs`, `loss` and more; empty before the first one."""
        return self.document["progress"]

    @property
    def losses(self) -> list[Document]:
        """A line for each finished epoch, as `pandas.DataFrame` reads it: `epoch`, `loss`, `validation_loss`."""
        return self.document["history"]


class BacktestHandle:
    """A backtest of either client, which a worker runs."""

    core: BacktestCore

    @property
    def document(self) -> BacktestJobDocument:
        """The backtest as it was read last, with all members of the API."""
        return self.core.document

    @property
    def id(self) -> str:
        """The name of the backtest, for `Client.find_backtest`."""
        return self.document["backtest"]

    @property
    def state(self) -> str:
        """`queued`, `running`, `succeeded`, `failed` or `cancelled`."""
        return self.document["state"]


class SweepHandle:
    """A sweep of either client."""

    core: SweepCore

    @property
    def document(self) -> SweepDocument:
        """The sweep as it was read last, with all members of the API."""
        return self.core.document

    @property
    def id(self) -> str:
        """The name of the sweep, for `Client.find_sweep`."""
        return self.document["sweep"]

    @property
    def best(self) -> TrialDocument | None:
        """The best trial that had succeeded when the sweep was read."""
        return self.document["best"]


class TrialHandle:
    """A trial of either client."""

    core: TrialCore

    @property
    def document(self) -> TrialDocument:
        """The trial as it was read last, with all members of the API."""
        return self.core.document

    @property
    def number(self) -> int:
        """Number of the trial, from 1, for `Sweep.trial`."""
        return self.document["trial"]

    @property
    def state(self) -> str:
        """`waiting`, `running`, `succeeded`, `failed` or `cancelled`."""
        return self.document["state"]
