"""Compares forecasts of five real series with PyTorch and with naive forecasts: `python -m benchmarks.forecasting`.

The first 80% of every series are the dataset: the default recipe trains on them, and so does an LSTM of the same size
of PyTorch, with as many updates (`benchmarks.peers.pytorch_forecasting`). Both then forecast from every step of the
last 20%, with the state from all readings before it. Printed is the mean absolute error over all steps of the horizon.
`--only end_to_end` measures the time from a file to a published version instead (`benchmarks.forecasting.end_to_end`).
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from benchmarks.forecasting import end_to_end
from benchmarks.forecasting.series import CASES, Case, divided, write
from benchmarks.ours import kernel_cache
from benchmarks.report import RESULTS
from cellar.datasets.formats import CSV
from cellar.datasets.ingestion.reading import read_table
from cellar.datasets.options import ReadOptions
from cellar.datasets.storage.table_file import open_table
from cellar.engine import KernelCache
from cellar.jobs.recipe.planning.plan import make_plan
from cellar.jobs.recipe.request import ForecastData
from cellar.jobs.recipe.run import ForecastRun
from cellar.jobs.recipe.series import ahead
from cellar.memory.file_mapping import map_file
from cellar.memory.temporary_files import TemporaryFiles
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.forecasting.accuracy import baselines
from cellar.nn.forecasting.heads import quantiles
from cellar.nn.forecasting.session_scales import scales_of
from cellar.nn.forecasting.widths import factors_of
from cellar.nn.model.network import Network
from cellar.nn.readings.table import rows_of
from cellar.nn.training.trainer import fit
from cellar.table import Table

Doubles = NDArray[np.float64]

SHARE = 0.8
INTERVAL = 0.1, 0.9
END_TO_END = "end_to_end"


@dataclass(frozen=True, slots=True)
class Result:
    """The errors of one series, in its units."""

    name: str
    cellar: float
    pytorch: float
    last_value: float
    seasonal_value: float | None
    coverage: float
    """The share of readings within the interval of 80%."""
    width: float
    """The mean width of that interval."""
    fixed: float
    """The share of readings within the interval whose width does not adapt."""


@dataclass(frozen=True, slots=True)
class Held:
    """The held-out readings of a series: after each origin, and all."""

    values: Doubles
    origins: NDArray[np.int64]
    actual: Doubles
    """(origins, horizon)."""


@dataclass(frozen=True, slots=True)
class Forecasts:
    """The forecasts (origins, horizon) of a series, and the ends (origins, horizon, 2) of their intervals of 80%."""

    points: Doubles
    ends: Doubles
    fixed: Doubles
    """The ends if no width adapted."""


def main() -> None:
    """Measure, print the table, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=f"series whose name holds this, or {END_TO_END}")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each network, whose errors are averaged")
    parser.add_argument("--rounds", type=int, default=3, help=f"rounds of {END_TO_END}")
    parser.add_argument("--json", type=Path, default=RESULTS / "forecasting.json", help="the file to write")
    given = parser.parse_args()
    cases, results = [case for case in CASES if given.only in case.name], []
    if cases:
        columns = [
            "series",
            "Cellar",
            "PyTorch LSTM",
            "last value",
            "seasonal value",
            "in the interval of 80%",
            "its width",
        ]
        print(f"| {' | '.join([*columns, 'in one of fixed width'])} |")
        print("|---|---|---|---|---|---|---|---|")
    cache = kernel_cache()
    for case in cases:
        results.append(_measure(case, cache, given.seeds))
        print(_line(results[-1]), flush=True)
    found: dict[str, object] = {"series": [asdict(result) for result in results]}
    if given.only in END_TO_END:
        times = end_to_end.measure(given.rounds)
        print("\n".join(end_to_end.lines(times)))
        for bar in end_to_end.bars(times):
            print(bar.line())
        found[END_TO_END] = [asdict(each) for each in times]
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(found, indent=1) + "\n")


def _line(result: Result) -> str:
    seasonal = "" if result.seasonal_value is None else f"{result.seasonal_value:.3f}"
    numbers = f"{result.cellar:.3f} | {result.pytorch:.3f} | {result.last_value:.3f} | {seasonal}"
    return f"| {result.name} | {numbers} | {result.coverage:.0%} | {result.width:.3g} | {result.fixed:.0%} |"


def _measure(case: Case, cache: KernelCache, seeds: int) -> Result:
    trained, whole = _table(case, divided(case, SHARE)[0]), _table(case, case.rows())
    held = [*_held(case, trained, whole)]
    data = ForecastData.model_validate({"dataset": case.name, "targets": [case.target], "horizon": case.horizon})
    errors, inside, widths, fixed, period = [], [], [], [], None
    for seed in range(seeds):
        plan = make_plan(trained, data, {"seed": seed})
        period = plan.period
        forecasts = _ours(ForecastRun(plan, trained, _compiler(cache)), held, whole, seed, cache)
        errors.append(_mean([np.abs(each.actual - one.points) for each, one in zip(held, forecasts, strict=True)]))
        inside.append(_coverage(held, [each.ends for each in forecasts]))
        fixed.append(_coverage(held, [each.fixed for each in forecasts]))
        widths.append(_mean([one.ends[..., 1] - one.ends[..., 0] for one in forecasts]))
    return Result(
        name=case.name,
        cellar=mean(errors),
        pytorch=mean(_error(held, forecasts) for forecasts in _peers(case, seeds)),
        last_value=_error(held, [baselines.last_value(each.values, _all(each), case.horizon) for each in held]),
        seasonal_value=None
        if period is None
        else _error(held, [baselines.seasonal_value(each.values, _all(each), case.horizon, period) for each in held]),
        coverage=mean(inside),
        width=mean(widths),
        fixed=mean(fixed),
    )


def _compiler(cache: KernelCache) -> Callable[..., CompiledNetwork]:
    return lambda spec: CompiledNetwork(Network(spec), cache)


def _ours(run: ForecastRun, held: Sequence[Held], whole: Table, seed: int, cache: KernelCache) -> list[Forecasts]:
    """Return the forecasts of each series after its held-out origins, as a session of the published model has them."""
    begun = run.weights(None, seed)
    *_, last = fit(run.trained, begun, run.data, run.plan.trained_spec)
    spec, weights = run.published(last.weights())
    network = CompiledNetwork(Network(spec), cache)
    bound, readings, layer = network.bind(weights, inference=True), network.network.readings, network.network.forecast
    assert readings is not None
    assert layer is not None
    found = []
    for each, begin, end in zip(held, whole.bounds[:-1], whole.bounds[1:], strict=True):
        rows = rows_of(readings.layout, whole, slice(int(begin), int(end)))[:, None]
        state, first = bound.initial_state(1), int(each.origins[0])
        state = bound.run(rows[:first], state).state
        points, ends, fixed = [], list[Doubles](), list[Doubles]()
        for origin in each.origins:
            step = bound.run(rows[origin : origin + 1], state)
            state = step.state
            points.append(step.outputs[0, 0])
            scales = scales_of(network.network, state)
            for kept, factors in ((ends, factors_of(network.network, state)), (fixed, None)):
                kept.append(quantiles(layer, step.outputs[0], np.array(INTERVAL), factors, scales)[0, :, 0])
        found.append(Forecasts(np.array(points, np.float64), np.array(ends), np.array(fixed)))
    return found


def _peers(case: Case, seeds: int) -> Iterator[list[Doubles]]:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # with more PyTorch is many times slower beside other programs
    from benchmarks.peers import pytorch_forecasting as peer

    series, target = peer.read(divided(case, SHARE)[0], case.target, case.series, "at")
    whole, _ = peer.read(case.rows(), case.target, case.series, "at")
    data = peer.scaled(series, target)
    for seed in range(seeds):
        yield [*peer.forecasts(peer.train(data, case.horizon, 32, 600, seed), data, whole)]


def _held(case: Case, trained: Table, whole: Table) -> Iterator[Held]:
    """Yield the held-out part of each series."""
    for index in range(len(whole.series_ids)):
        first, last = (int(edge) for edge in whole.bounds[index : index + 2])
        values = whole.values[case.target][first:last].astype(np.float64)
        begin = int(trained.bounds[index + 1] - trained.bounds[index])
        origins = np.arange(begin, len(values) - 1)
        actual = ahead(values[:, None], begin, len(values) - 1, case.horizon)[:, :, 0]
        yield Held(values, origins, actual)


def _all(held: Held) -> NDArray[np.int64]:
    return np.arange(len(held.values))


def _error(held: Sequence[Held], forecasts: Sequence[Doubles]) -> float:
    return _mean([np.abs(each.actual - given[each.origins]) for each, given in zip(held, forecasts, strict=True)])


def _coverage(held: Sequence[Held], ends: Sequence[Doubles]) -> float:
    parts = []
    for each, own in zip(held, ends, strict=True):
        within = (each.actual >= own[..., 0]) & (each.actual <= own[..., 1])
        parts.append(np.where(np.isnan(each.actual), np.nan, within))
    return _mean(parts)


def _mean(parts: Sequence[Doubles]) -> float:
    return float(np.nanmean(np.concatenate(parts)))


def _table(case: Case, rows: list[list[str]]) -> Table:
    """Return the table that an upload of these rows makes."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    files = TemporaryFiles(RESULTS)
    path = RESULTS / f"{case.name}.csv"
    write(path, rows)
    with path.open("rb") as file:
        built = read_table(file, CSV, ReadOptions(time="at", series=case.series), files)
    path.unlink()
    with built.file as stored:
        return open_table(map_file(stored.fileno(), built.size_bytes))


if __name__ == "__main__":
    main()
