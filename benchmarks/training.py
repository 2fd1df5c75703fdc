"""Compares the time of a training update (forward, backward, Adam) with PyTorch: `make bench-training`.

Same weights and data; the losses of the first updates are compared before anything is timed. Both choose the rows of
each batch at random and report its loss, as a training job does.
"""

from collections.abc import Iterator

import numpy as np

from benchmarks import cases, machine, ours, report
from benchmarks.agreement import Disagreement
from benchmarks.cases import Case
from benchmarks.command import Options, measured
from benchmarks.race import compare
from benchmarks.report import Result
from benchmarks.timing import Repeat
from benchmarks.weights import Array, Weights, draw_inputs, draw_weights
from cellar.engine import KernelCache
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.optimisers.adam import Adam
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import fit

BATCHES = 4
"""Rows of the data that are timed; each batch is gathered from them at random."""

LEARNING_RATE = 1e-3

CHECKED, TOLERANCE = 5, 1e-4
"""Updates whose losses are compared, and the largest relative difference."""

PASSES = 3
"""Matrix products of an update for each of a step: forward, backward to the inputs, and backward to the weights."""


def main() -> None:
    """Measure, print, and write the file."""
    measured(__doc__, "training", _warm, _measure)


def _measure(cache: KernelCache, given: Options) -> tuple[dict[str, float], list[Result]]:
    from benchmarks.peers.pytorch_training import ADAMS

    peak = machine.peak_flops(cache.target)
    print(f"{cache.target.cpu}: multiply-adds in registers {peak / 1e9:.1f} GFLOP/s")
    print(report.header(list(ADAMS)))
    results = []
    for case in cases.training():
        if given.only in case.name:
            results.append(_measure_case(cache, case, given))
            print(report.line(results[-1]), flush=True)
    return {f"peak_{cache.target.cpu}": peak}, results


def _measure_case(cache: KernelCache, case: Case, given: Options) -> Result:
    from benchmarks.peers.pytorch_training import trainers

    random = np.random.default_rng(3)
    weights = draw_weights(case, random)
    one, many = (draw_data(case.of(case.steps, count * case.rows), random) for count in (1, BATCHES))
    check_losses(trainer(cache, case, weights, one), trainers(case, weights, one, LEARNING_RATE))
    peers = trainers(case, weights, many, LEARNING_RATE)
    repeats = {name: _repeat(losses) for name, losses in peers.items()}
    mine = {"cellar": _repeat(trainer(cache, case, weights, many))}
    return compare(case, mine, repeats, given.effort, passes=PASSES)[0]


def trainer(cache: KernelCache, case: Case, weights: Weights, data: tuple[Array, Array]) -> Iterator[float]:
    """Yield the mean loss of the epoch so far after each update, from the generator that a training job runs."""
    network = CompiledNetwork(Network(ours.network_spec(case)), cache)
    spec = TrainingSpec(
        batch_size=case.rows, epochs=1_000_000, optimiser=Adam(type="adam", learning_rate=LEARNING_RATE)
    )
    for progress in fit(network, ours.named(case, weights), Dataset(*data), spec):
        yield progress.loss


def draw_data(case: Case, random: np.random.Generator) -> tuple[Array, Array]:
    """Return inputs, and targets within the range of the outputs."""
    targets = random.uniform(-0.5, 0.5, (case.steps, case.rows, case.hidden)).astype(np.float32)
    return draw_inputs(case, random), targets


def check_losses(ours: Iterator[float], peers: dict[str, Iterator[float]]) -> None:
    """Compare the losses of the first updates, each on one batch. Raise Disagreement."""
    expected = np.array([next(ours) for _ in range(CHECKED)])
    if not expected[-1] < expected[0]:
        raise Disagreement(f"the loss does not fall: {expected}")
    for name, losses in peers.items():
        found = np.array([next(losses) for _ in range(CHECKED)])
        if not np.allclose(found, expected, rtol=TOLERANCE, atol=0):
            raise Disagreement(f"losses of {name} {found}, ours {expected}")


def _repeat(losses: Iterator[float]) -> Repeat:
    def repeat(loops: int) -> None:
        for _ in range(loops):
            next(losses)

    return repeat


def _warm(cache: KernelCache) -> None:
    """Compile all kernels, with one small update for each cell."""
    for cell in cases.CELLS:
        case = Case(cell, 2, 3, 2, 2)
        random = np.random.default_rng(0)
        next(trainer(cache, case, draw_weights(case, random), draw_data(case, random)))


if __name__ == "__main__":
    main()
