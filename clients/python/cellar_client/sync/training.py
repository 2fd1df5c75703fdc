"""Training jobs, sweeps and their trials, of the blocking client."""

from cellar_client.catalogue.backtests import BacktestCore
from cellar_client.catalogue.jobs import JobCore
from cellar_client.catalogue.sweeps import SweepCore, TrialCore
from cellar_client.handles import BacktestHandle, JobHandle, SweepHandle, TrialHandle
from cellar_client.sync.driver import Driver
from cellar_client.sync.methods import Performer, blocking, iterating, opening


class Job(JobHandle, Performer):
    """A training job. `Client.train` and `Client.job` return one."""

    core: JobCore

    follow = iterating(JobCore.follow)
    wait = blocking(JobCore.wait)
    refresh = blocking(JobCore.refresh)
    cancel = blocking(JobCore.cancel)
    retry = blocking(JobCore.retry)
    events = iterating(JobCore.events)
    history = iterating(JobCore.history)
    delete = blocking(JobCore.delete)


class Backtest(BacktestHandle, Performer):
    """A backtest that a worker runs. `Client.backtest` and `Client.find_backtest` return one."""

    core: BacktestCore

    wait = blocking(BacktestCore.wait)
    refresh = blocking(BacktestCore.refresh)
    cancel = blocking(BacktestCore.cancel)
    delete = blocking(BacktestCore.delete)


class Trial(TrialHandle, Performer):
    """A trial of a sweep. `Sweep.add_trial` and `Sweep.trial` return one."""

    core: TrialCore

    epochs = iterating(TrialCore.epochs)
    wait = blocking(TrialCore.wait)
    refresh = blocking(TrialCore.refresh)
    cancel = blocking(TrialCore.cancel)


class Sweep(SweepHandle, Performer):
    """A search for the best settings of a training job.

    `Client.sweep`, `Client.sweep_dataset` and `Client.find_sweep` return one.
    """

    core: SweepCore

    add_trial = opening(SweepCore.add_trial, Trial)
    trial = opening(SweepCore.trial, Trial)
    finish = blocking(SweepCore.finish)
    events = iterating(SweepCore.events)
    wait = blocking(SweepCore.wait)
    refresh = blocking(SweepCore.refresh)
    curves = blocking(SweepCore.curves)
    cancel = blocking(SweepCore.cancel)
    delete = blocking(SweepCore.delete)


def jobs_of(cores: list[JobCore], driver: Driver) -> list[Job]:
    """Return the jobs of a client."""
    return [Job(core, driver) for core in cores]


def sweeps_of(cores: list[SweepCore], driver: Driver) -> list[Sweep]:
    """Return the sweeps of a client."""
    return [Sweep(core, driver) for core in cores]


def backtests_of(cores: list[BacktestCore], driver: Driver) -> list[Backtest]:
    """Return the backtests of a client."""
    return [Backtest(core, driver) for core in cores]
