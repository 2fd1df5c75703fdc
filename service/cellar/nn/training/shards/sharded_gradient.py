"""Computes the gradient of a batch as the sum of those of its shards, which the processes of a job share."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from cellar.engine import Floats
from cellar.nn.execution.backprop import PassFault
from cellar.nn.execution.dropout import Masks, draw_masks
from cellar.nn.model.network import Network
from cellar.nn.training.data.batches import Plan
from cellar.nn.training.evaluation import state_before
from cellar.nn.training.shards.exchange import Exchange, Sizes
from cellar.nn.training.shards.team import SHARDS, Helper, Team, present, rows_of
from cellar.nn.training.update.loss_gradient import ForwardFault, Learnt, LossGradient
from cellar.nn.training.update.weight_vector import Trainee
from cellar.nn.training.update.window_memory import WindowMemory

Order = Callable[[int], NDArray[np.int64]]
"""Returns the order of the windows in an epoch."""


class ShardedGradient:
    """The gradients of the shards of batches, in every process of a job."""

    def __init__(
        self,
        network: Network,
        plan: Plan,
        order: Order,
        trainee: Trainee,
        gradient: LossGradient,
        windows: WindowMemory,
        team: Team | Helper,
    ) -> None:
        """Compute with `gradient`, which knows the weights of `trainee`, in memory that `team` shares."""
        self._layers, self._plan, self._order = network.layers, plan, order
        self._trainee, self._gradient, self._windows = trainee, gradient, windows
        self._shared = Exchange(team.memory(sizes_of(network, plan, windows).bytes), sizes_of(network, plan, windows))

    def of(
        self, team: Team, weights: Floats, epoch: int, update: int, carried: Floats | None, scales: Sequence[float]
    ) -> Learnt:
        """Return the gradient of a batch, whose rows begin with the states `carried` if the batch continues one.

        Raise ForwardFault for the first shard with one.
        """
        shared = self._shared
        rows = len(self._plan.chosen(self._order(epoch), update))
        np.copyto(shared.weights, weights)
        shared.scales[:], shared.faults[:] = scales, 0
        if carried is not None:
            np.copyto(shared.before[:rows], carried)
        team.begin(epoch, update)
        try:
            self.compute(epoch, update, team.shards)
        finally:
            team.finish()
        for shard in range(SHARDS):
            kind, step, row = shared.faults[shard].tolist()
            if kind:
                raise ForwardFault(PassFault(kind, step, row + rows_of(shard, rows).start), 0)
        total, losses = shared.total(present(rows))
        return Learnt(total, losses, shared.after[:rows].copy())

    def compute(self, epoch: int, update: int, shards: Sequence[int]) -> None:
        """Write gradients, losses, states and faults of some shards of a batch to the shared memory."""
        shared, order, spec = self._shared, self._order(epoch), self._plan.spec
        network = self._trainee.load(shared.weights)
        rows, scales = len(self._plan.chosen(order, update)), shared.scales.tolist()
        for shard in shards:
            part = rows_of(shard, rows)
            if part.start == part.stop:
                continue
            batch = self._plan.batch(order, update, part)
            before = state_before(network, batch, shared.before[part].copy(), self._windows)
            begins = batch.warmup is not None and spec.warmup == 0
            masks = functools.partial(self._masks, epoch, update, shard, part.stop - part.start)
            try:
                learnt = self._gradient.of(batch, before, masks, scales, begins=begins)
            except ForwardFault as error:
                shared.faults[shard] = error.fault
                continue
            np.copyto(shared.gradients[shard], learnt.gradient)
            shared.losses[shard] = learnt.losses
            np.copyto(shared.after[part], learnt.state)

    def _masks(self, epoch: int, update: int, shard: int, rows: int, steps: slice) -> Masks:
        """Return the masks of dropout for some steps of a shard."""
        count = steps.stop - steps.start
        seed = self._plan.spec.seed
        return draw_masks(self._layers, seed, epoch, update, count, rows, first=steps.start, shard=shard)


def sizes_of(network: Network, plan: Plan, windows: WindowMemory) -> Sizes:
    """Return the sizes of what the processes of a run share."""
    rows = min(plan.spec.batch_size, len(plan.order(None)))
    return Sizes(network.parameter_count, windows.parts, rows, windows.state_size)
