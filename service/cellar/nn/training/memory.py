"""Computes how much memory a training run takes, before anything is compiled or trained."""

from cellar.nn.model.network import Network
from cellar.nn.training.data.alignment import objective_of
from cellar.nn.training.data.batches import Plan
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.shards.sharded_gradient import sizes_of
from cellar.nn.training.shards.team import largest
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.update.window_memory import WINDOW_BYTES, WindowMemory

PROCESS_BYTES = 192 * 1024 * 1024
"""A worker's process with the interpreter, its libraries, the compiled kernels and the connections."""

WEIGHT_COPIES = 40
"""How often each weight is in memory at most: in files, packed for kernels, in gradients, in the optimiser with its
states, in a checkpoint that is written, and in the result."""

DATA_COPIES = 4
"""How often each number of the data is in memory at most: in the stored file, as arrays, aligned, and held out."""

DROPOUT_BYTES = 32
"""Bytes for each number of a mask while it is drawn."""


def run_bytes(
    network: Network,
    data: Dataset,
    spec: TrainingSpec,
    plans: tuple[Plan, Plan | None],
    window_bytes: int = WINDOW_BYTES,
    *,
    processes: int | None = None,
) -> int:
    """Return the most memory that a worker's process takes for a run, bytes; with `processes`, that all of them take.

    Windows are divided if they need more than `window_bytes`. `plans` are those of training and validation.
    """
    windows = WindowMemory(network, objective_of(network.out_size, data, spec), window_bytes)
    training, validation = plans
    found = PROCESS_BYTES + WEIGHT_COPIES * 4 * network.parameter_count + DATA_COPIES * _data_bytes(data, plans)
    steps, rows = largest_batch(training) if processes is None else largest_shard(training)
    found += _batch_bytes(training) + windows.piece_bytes(steps, rows, spec.recompute)
    found += _kept_states(windows, training, spec)
    length = windows.length(steps, rows, spec.recompute)
    found += sum(DROPOUT_BYTES * length * rows * each.cell.out_size for each in network.layers if each.dropout)
    for plan in (training, validation):
        if plan is not None:
            found += _measured_bytes(windows, plan, spec)
    found += 0 if validation is None else _batch_bytes(validation)
    if processes is None:
        return found
    shared = sizes_of(network, training, windows).bytes  # it counts as memory of each
    return processes * (found + _batch_bytes(training) + shared)


def largest_batch(plan: Plan) -> tuple[int, int]:
    """Return the steps and the rows of the largest batch of a plan."""
    rows = plan.inputs.shape[1]
    count = rows if plan.spec.state == "carry" else rows * plan.windows
    return plan.window, min(plan.spec.batch_size, count)


def largest_shard(plan: Plan) -> tuple[int, int]:
    """Return the steps and the rows of the largest shard of a batch."""
    steps, rows = largest_batch(plan)
    return steps, largest(rows)


def _data_bytes(data: Dataset, plans: tuple[Plan, Plan | None]) -> int:
    arrays = [array for _, array in data.arrays]
    targets = [plan.targets for plan in plans if plan is not None]  # perhaps wider than those that were sent
    wider = max(0, sum(array.nbytes for array in targets) - data.targets.nbytes)
    weights = sum(plan.weights.nbytes for plan in plans if plan is not None and plan.weights is not None)
    return int(sum(array.nbytes for array in arrays) + wider + weights)


def _batch_bytes(plan: Plan) -> int:
    """Return the bytes of the inputs and targets of the batches of a plan, of two lengths."""
    steps, rows = largest_batch(plan)
    features, outputs = int(plan.inputs.shape[2]), int(plan.targets.shape[2])
    outputs += 0 if plan.weights is None else int(plan.weights.shape[2])
    return 2 * 4 * rows * ((plan.spec.warmup + steps) * features + steps * outputs)


def _kept_states(windows: WindowMemory, plan: Plan, spec: TrainingSpec) -> int:
    """Return the bytes of the states before the segments of a window, and of its losses."""
    steps, rows = largest_batch(plan)
    segments = -(-steps // max(1, windows.length(steps, rows, spec.recompute)))
    return 4 * rows * (2 * segments * windows.state_size + 4 * steps * windows.losses)


def _measured_bytes(windows: WindowMemory, plan: Plan, spec: TrainingSpec) -> int:
    """Return the bytes of a forward pass that measures the loss of a plan."""
    steps, rows = largest_batch(plan)
    return windows.forward_bytes(windows.length(steps, rows, spec.recompute), rows) + 8 * steps * rows * windows.losses
