"""Compares the speed of a job with one and with several processes: `python -m benchmarks.training_processes`.

The case is a GRU with 256 units, batches of 128 rows and windows of 64 steps. Rounds alternate, and the fastest counts.
"""

import argparse
import hashlib
import time
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from cellar.engine import KernelCache
from cellar.jobs.attempt import helpers
from cellar.jobs.attempt.helpers import Helpers, Helping
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.shards.team import Alone, Team
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import fit, help_fit
from cellar.settings import Settings

LAYERS = [{"type": "recurrent", "cell": "gru", "hidden_size": 256}, {"type": "dense", "out_size": 8}]
SPEC = TrainingSpec.model_validate({"epochs": 1, "batch_size": 128})
ROWS, STEPS, UPDATES = 128, 64, 6


def case() -> tuple[CompiledNetwork, Dataset]:
    """Return the network and the data, in every process the same."""
    spec = NetworkSpec.model_validate({"in_size": 8, "layers": LAYERS})
    data = np.random.default_rng(1).normal(size=(STEPS, ROWS * UPDATES, 8)).astype(np.float32)
    return CompiledNetwork(Network(spec), KernelCache(Settings().cache_dir)), Dataset(data, data)


def help_case(_tenant: str, _job: str, *numbers: str) -> None:
    """Compute shards, in another process."""
    helping = Helping(*map(int, numbers))
    help_fit(*case(), SPEC, helping)


def measure(processes: int | None) -> tuple[float, float, str]:
    """Return the seconds of an update, those of a processor in the first process, and a digest of the weights.

    None: batches are not divided.
    """
    network, data = case()
    team: AbstractContextManager[Team | None] = nullcontext(None if processes is None else Alone())
    if processes is not None and processes > 1:
        team = Helpers("", "", processes)
    with team as shared:
        times, weights = [(time.perf_counter(), time.process_time())], network.network.init(1)
        for progress in fit(network, weights, data, SPEC, team=shared):
            times.append((time.perf_counter(), time.process_time()))
            weights = progress.weights()
    digest = hashlib.sha256(b"".join(weights[name].tobytes() for name in sorted(weights))).hexdigest()
    spent = np.diff(times, axis=0)[1:].min(axis=0)  # the first update has compiled and recorded
    return float(spent[0]), float(spent[1]), digest


def main() -> None:
    """Print the time of an update and the digest of the weights for each number of processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    helpers.COMMAND = "import sys; from benchmarks.training_processes import help_case; help_case(*sys.argv[1:])"
    found: dict[int | None, list[tuple[float, float, str]]] = {count: [] for count in (None, *options.processes)}
    for _ in range(options.rounds):
        for count, measured in found.items():
            measured.append(measure(count))
    print("processes  ms an update  ms of a processor, first process  weights")
    for count, measured in found.items():
        wall, processor = (1000 * min(each[at] for each in measured) for at in (0, 1))
        print(f"{count or 'none':>9}  {wall:12.1f}  {processor:32.1f}  {measured[0][2][:16]}")


if __name__ == "__main__":
    main()
