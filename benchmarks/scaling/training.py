"""Measures an update on a long window as the service divides it, beside explicit `recompute`, and its page faults."""

import resource
import time
from collections.abc import Iterator
from statistics import median

import numpy as np

from benchmarks import ours
from benchmarks.cases import Case
from benchmarks.scaling.scene import Row, Scene
from benchmarks.serving.bars import Bar
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.training.checkpoints.progress import Progress
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import check, fit

CASE = Case("lstm", 8, 64, 1, 32)

STEPS = 2_500
"""With 32 rows, 80,000 pairs of step and row."""

LIMIT_TIMES, LIMIT_FAULTS = 1.1, 20.0

RECOMPUTE = (125, 256)


def measure(scene: Scene) -> Row:
    """Time updates of the same run in each way, in turn; the losses must be equal."""
    network = CompiledNetwork(Network(ours.network_spec(CASE)), ours.kernel_cache())
    data = _data(STEPS // 10 if scene.extent.quick else STEPS)
    runs = {steps: _run(network, data, steps) for steps in (None, *RECOMPUTE)}
    took: dict[int | None, list[float]] = {steps: [] for steps in runs}
    faults: list[int] = []
    for _ in range(3):  # all shapes are recorded, and their memory is touched
        losses = [next(run).loss for run in runs.values()]
        assert max(losses) - min(losses) < 1e-5 * max(losses), losses
    for _ in range(scene.extent.rounds):
        for steps, run in runs.items():
            before = resource.getrusage(resource.RUSAGE_THREAD)
            begun_s = time.thread_time()
            next(run)
            took[steps].append(time.thread_time() - begun_s)
            if steps is None:
                faults.append(resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before.ru_minflt)
    usual = 1e3 * median(took[None])
    times = median(took[None]) / min(median(took[steps]) for steps in RECOMPUTE)
    needed = check(network.network, data, _spec(None)).memory_bytes / 2**20
    line = f"training: {usual:.1f} ms of CPU an update of {len(data.inputs) * CASE.rows:,} pairs of step and row"
    return Row(
        [f"{line}, {times:.2f} times the fastest recompute; {median(faults):.0f} page faults; {needed:.0f} MiB a job"],
        [
            Bar("training_whole", times, LIMIT_TIMES, at_most=True, means="CPU of an update over that with recompute"),
            Bar("training_faults", median(faults), LIMIT_FAULTS, at_most=True, means="page faults of an update"),
        ],
    )


def _data(steps: int) -> Dataset:
    draw = np.random.default_rng(0)
    inputs, targets = (
        draw.uniform(-0.5, 0.5, (steps, CASE.rows, size)).astype(np.float32) for size in (CASE.in_size, CASE.hidden)
    )
    return Dataset(inputs, targets)


def _spec(recompute: int | None) -> TrainingSpec:
    return TrainingSpec(batch_size=CASE.rows, epochs=1_000_000, recompute=recompute)


def _run(network: CompiledNetwork, data: Dataset, recompute: int | None) -> Iterator[Progress]:
    return fit(network, network.network.init(0), data, _spec(recompute))
