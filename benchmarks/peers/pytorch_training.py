"""Trains a recurrent layer in PyTorch, with the mean squared error and each implementation of Adam."""

from collections.abc import Iterator

import torch
from torch import nn

from benchmarks.cases import Case
from benchmarks.peers.pytorch import recurrent
from benchmarks.weights import Array, Weights

ADAMS = {"pytorch": {}, "pytorch foreach": {"foreach": True}, "pytorch fused": {"fused": True}}


def trainer(
    case: Case, weights: Weights, data: tuple[Array, Array], learning_rate: float, adam: str
) -> Iterator[float]:
    """Yield the loss of each update. `data` are inputs and targets (T, N, F), divided into batches of rows."""
    module = recurrent(case, weights)
    if case.cell == "lstm":
        module.bias_hh_l0.requires_grad_(False)  # Cellar's LSTM has one bias a gate
    learned = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(learned, learning_rate, **ADAMS[adam])
    inputs, targets = map(torch.from_numpy, data)
    loss_of = nn.MSELoss()
    while True:
        for rows in torch.randperm(inputs.shape[1]).split(case.rows):
            optimiser.zero_grad()
            outputs, _ = module(inputs[:, rows])
            loss = loss_of(outputs, targets[:, rows])
            loss.backward()
            optimiser.step()
            yield loss.item()


def trainers(
    case: Case, weights: Weights, data: tuple[Array, Array], learning_rate: float
) -> dict[str, Iterator[float]]:
    """Return a trainer for each implementation of Adam, on one thread."""
    torch.set_num_threads(1)
    return {adam: trainer(case, weights, data, learning_rate, adam) for adam in ADAMS}
