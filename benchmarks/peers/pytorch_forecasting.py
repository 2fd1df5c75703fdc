"""A plain script in PyTorch that does what `cellar train` does: reads a CSV, trains an LSTM, writes a file.

`python -m benchmarks.peers.pytorch_forecasting readings.csv --target temp --horizon 24 --updates 600 --out model.pt`

It is written as such scripts usually are: columns are scaled to mean 0 and deviation 1, missing readings are carried
forward, windows of 64 steps are shuffled, the network (`nn.LSTM` and `nn.Linear`) forecasts all steps of the horizon at
once, Adam minimises the mean absolute error, and the weights with the lowest validation loss are kept.
"""

import argparse
import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Doubles = NDArray[np.float64]

WINDOW, SKIPPED, BATCH, LEARNING_RATE, VALIDATION = 64, 16, 32, 1e-3, 0.2
"""The settings of the recipe."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """Series of scaled columns (T, columns), and the scale."""

    series: list[Doubles]
    mean: Doubles
    deviation: Doubles
    target: int


class Forecaster(nn.Module):  # type: ignore[misc]  # torch is not installed where types are checked
    """An LSTM, and a linear layer with an output for each step of the horizon."""

    def __init__(self, columns: int, hidden: int, horizon: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(columns, hidden)
        self.head = nn.Linear(hidden, horizon)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return forecasts (T, B, horizon) for inputs (T, B, columns)."""
        outputs, _ = self.lstm(inputs)
        found: torch.Tensor = self.head(outputs)
        return found


def read(rows: list[list[str]], target: str, series: str | None, time: str | None) -> tuple[list[Doubles], int]:
    """Return the columns of numbers of each series, carried forward where missing, and the place of the target."""
    header, *data = rows
    numbers = [at for at, name in enumerate(header) if name not in (series, time)]
    at = None if series is None else header.index(series)
    found: dict[str, list[list[float]]] = {}
    for row in data:
        values = [float(row[column]) if row[column] else float("nan") for column in numbers]
        found.setdefault("" if at is None else row[at], []).append(values)
    names = [header[column] for column in numbers]
    return [_carried(np.array(values)) for values in found.values()], names.index(target)


def _carried(values: Doubles) -> Doubles:
    for row in range(1, len(values)):
        missing = np.isnan(values[row])
        values[row, missing] = values[row - 1, missing]
    return np.nan_to_num(values)


def scaled(series: list[Doubles], target: int) -> Scaled:
    """Return the series, scaled by the mean and deviation of their training parts."""
    trained = np.concatenate([each[: _trained(each)] for each in series])
    mean, deviation = trained.mean(axis=0), trained.std(axis=0)
    deviation[deviation == 0] = 1
    return Scaled([(each - mean) / deviation for each in series], mean, deviation, target)


def _trained(values: Doubles) -> int:
    return len(values) - max(1, round(len(values) * VALIDATION))


def windows(data: Scaled, horizon: int, *, held_out: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return inputs (T, N, columns) and targets (T, N, horizon) of the training or of the validation part."""
    inputs, targets = [], []
    for values in data.series:
        trained = _trained(values)
        first, last = (trained - SKIPPED, len(values)) if held_out else (0, trained)
        length = min(WINDOW, last - first - horizon)
        ahead = np.lib.stride_tricks.sliding_window_view(values[1:, data.target], horizon)
        for begin in range(first, last - horizon - length + 1, max(1, length - SKIPPED)):
            inputs.append(values[begin : begin + length])
            targets.append(ahead[begin : begin + length])
    return (torch.tensor(np.stack(each, axis=1), dtype=torch.float32) for each in (inputs, targets))  # type: ignore[return-value]  # two


def train(data: Scaled, horizon: int, hidden: int, updates: int, seed: int) -> Forecaster:
    """Return the network with the lowest validation loss."""
    torch.manual_seed(seed)
    inputs, targets = windows(data, horizon, held_out=False)
    held_inputs, held_targets = windows(data, horizon, held_out=True)
    network = Forecaster(inputs.shape[2], hidden, horizon)
    count = inputs.shape[1]
    batch = max(1, min(BATCH, count // 4))
    epochs = -(-updates // -(-count // batch))
    optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    loss_of, best, kept = nn.L1Loss(), float("inf"), network.state_dict()
    skip = min(SKIPPED, inputs.shape[0] // 4)
    for _ in range(epochs):
        for rows in torch.randperm(count).split(batch):
            optimiser.zero_grad()
            loss_of(network(inputs[:, rows])[skip:], targets[skip:, rows]).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
        schedule.step()
        with torch.no_grad():
            loss = loss_of(network(held_inputs)[skip:], held_targets[skip:]).item()
        if loss < best:
            best, kept = loss, {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(kept)
    return network


def forecasts(network: Forecaster, data: Scaled, series: list[Doubles]) -> Iterator[Doubles]:
    """Yield the forecasts (T, horizon) of each series of raw readings, in raw units."""
    for values in series:
        inputs = torch.tensor((values - data.mean) / data.deviation, dtype=torch.float32)[:, None]
        with torch.no_grad():
            found: Doubles = network(inputs)[:, 0].numpy().astype(np.float64)
        yield found * data.deviation[data.target] + data.mean[data.target]


def main() -> None:
    """Train on a file and write the weights with the scale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--target", required=True)
    parser.add_argument("--horizon", type=int, required=True)
    parser.add_argument("--time")
    parser.add_argument("--series")
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--updates", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    with given.file.open(newline="") as file:
        series, target = read([*csv.reader(file)], given.target, given.series, given.time)
    data = scaled(series, target)
    network = train(data, given.horizon, given.hidden, given.updates, given.seed)
    scale = {"mean": data.mean.tolist(), "deviation": data.deviation.tolist()}
    torch.save({"weights": network.state_dict(), "scale": json.dumps(scale)}, given.out)


if __name__ == "__main__":
    main()
