"""Training jobs, sweeps and their trials, of the client for asyncio."""

from cellar_client.aio.driver import AsyncDriver
from cellar_client.aio.methods import AsyncPerformer, awaiting, iterating, opening
from cellar_client.catalogue.backtests import BacktestCore
from cellar_client.catalogue.jobs import JobCore
from cellar_client.catalogue.sweeps import SweepCore, TrialCore
from cellar_client.handles import BacktestHandle, JobHandle, SweepHandle, TrialHandle


class AsyncJob(JobHandle, AsyncPerformer):
    """A training job. `AsyncClient.train` and `AsyncClient.job` return one."""

    core: JobCore

    follow = iterating(JobCore.follow)
    wait = awaiting(JobCore.wait)
    refresh = awaiting(JobCore.refresh)
    cancel = awaiting(JobCore.cancel)
    retry = awaiting(JobCore.retry)
    events = iterating(JobCore.events)
    history = iterating(JobCore.history)
    delete = awaiting(JobCore.delete)


class AsyncBacktest(BacktestHandle, AsyncPerformer):
    """A backtest that a worker runs. `AsyncClient.backtest` and `AsyncClient.find_backtest` return one."""

    core: BacktestCore

    wait = awaiting(BacktestCore.wait)
    refresh = awaiting(BacktestCore.refresh)
    cancel = awaiting(BacktestCore.cancel)
    delete = awaiting(BacktestCore.delete)


class AsyncTrial(TrialHandle, AsyncPerformer):
    """A trial of a sweep. `AsyncSweep.add_trial` and `AsyncSweep.trial` return one."""

    core: TrialCore

    epochs = iterating(TrialCore.epochs)
    wait = awaiting(TrialCore.wait)
    refresh = awaiting(TrialCore.refresh)
    cancel = awaiting(TrialCore.cancel)


class AsyncSweep(SweepHandle, AsyncPerformer):
    """A search for the best settings of a training job.

    `AsyncClient.sweep`, `AsyncClient.sweep_dataset` and `AsyncClient.find_sweep` return one.
    """

    core: SweepCore

    add_trial = opening(SweepCore.add_trial, AsyncTrial)
    trial = opening(SweepCore.trial, AsyncTrial)
    finish = awaiting(SweepCore.finish)
    events = iterating(SweepCore.events)
    wait = awaiting(SweepCore.wait)
    refresh = awaiting(SweepCore.refresh)
    curves = awaiting(SweepCore.curves)
    cancel = awaiting(SweepCore.cancel)
    delete = awaiting(SweepCore.delete)


def jobs_of(cores: list[JobCore], driver: AsyncDriver) -> list[AsyncJob]:
    """Return the jobs of a client."""
    return [AsyncJob(core, driver) for core in cores]


def sweeps_of(cores: list[SweepCore], driver: AsyncDriver) -> list[AsyncSweep]:
    """Return the sweeps of a client."""
    return [AsyncSweep(core, driver) for core in cores]


def backtests_of(cores: list[BacktestCore], driver: AsyncDriver) -> list[AsyncBacktest]:
    """Return the backtests of a client."""
    return [AsyncBacktest(core, driver) for core in cores]
