"""The same jobs in PyTorch, with its own losses, distributions, schedulers and averages."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's documentation gives it
from numpy.typing import NDArray
from torch.optim import lr_scheduler
from torch.optim.swa_utils import get_ema_multi_avg_fn

from cellar.nn.numerics.random_streams import permutation
from tests.matrix.peer import CELLS, Net, Spec, Trained, optimiser_of
from tests.matrix.settings import CLASS_WEIGHTS, ROWS, TARGETS, Setting
from tests.nn.golden import make, make_likelihoods

Part = tuple[torch.Tensor, torch.Tensor, float]
"""Losses, how much each counts, and the factor of their mean."""

LIKELIHOODS = ("gaussian", "student", "negative_binomial")


def train(setting: Setting, initial: Mapping[str, NDArray[np.float32]], dtype: torch.dtype) -> Trained:
    """Train as a setting says."""
    spec = setting.training()
    inputs, targets = (torch.tensor(array, dtype=dtype) for array in setting.data())
    counted = torch.tensor(setting.counted(), dtype=dtype)
    frozen = spec.get("freeze", ())
    weights = {
        name: torch.tensor(value, dtype=dtype, requires_grad=name not in frozen) for name, value in initial.items()
    }
    trained = [weight for name, weight in weights.items() if name not in frozen]
    net, optimiser = Net(setting.network(), weights, CELLS), _optimiser(spec, weights)
    scheduler, size = _scheduler(spec, optimiser, ROWS // spec["batch_size"]), spec["batch_size"]
    every, averaged, losses = spec.get("accumulate", 1), list[torch.Tensor](), list[float]()
    updates, gathered = 0, 0
    for epoch in range(setting.epochs):
        order, sums = (
            permutation(spec["seed"], f"epoch {epoch}", ROWS).tolist(),
            list[list[tuple[float, float, float]]](),
        )
        for at in range(0, ROWS, size):
            rows = order[at : at + size]
            outputs, _ = net.run(inputs[:, rows], None)
            parts = _parts(setting, spec, outputs, targets[:, rows], counted[:, rows])
            sum(factor * (loss * weight).sum() / weight.sum() for loss, weight, factor in parts).backward()
            sums.append([(factor, (loss * weight).sum().item(), weight.sum().item()) for loss, weight, factor in parts])
            gathered += 1
            if gathered < every and at + size < ROWS:
                continue
            for weight in trained:
                weight.grad = weight.grad / gathered
            optimiser.step()
            optimiser.zero_grad()
            gathered, updates = 0, updates + 1
            if scheduler is not None and _by_update(spec) and updates < setting.epochs * (ROWS // size):
                scheduler.step()
            if "average" in spec:
                _average(averaged, list(weights.values()), spec["average"]["decay"])
        losses.append(_mean(sums))
        if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
            scheduler.step(losses[-1])
        elif scheduler is not None and not _by_update(spec):
            scheduler.step()
    found = averaged or list(weights.values())
    result = {name: value.detach().numpy() for name, value in zip(weights, found, strict=True)}
    return Trained(np.array(losses), result, finite=all(map(math.isfinite, losses)))


def _mean(batches: list[list[tuple[float, float, float]]]) -> float:
    """Return the mean loss of an epoch: the sum over parts of the factor and the mean over all batches."""
    parts = zip(*batches, strict=True)
    return math.fsum(part[0][0] * sum(each[1] for each in part) / sum(each[2] for each in part) for part in parts)


def _parts(setting: Setting, spec: Spec, x: torch.Tensor, t: torch.Tensor, counted: torch.Tensor) -> list[Part]:
    """Return the losses of a batch."""
    loss, one = spec["loss"], torch.ones_like(x[:, :, 0])
    name = loss if isinstance(loss, str) else loss["type"]
    by_target = counted.shape[2] > 1 or "target_weights" in spec
    if name == "several":
        classes = F.cross_entropy(x[:, :, 1:].flatten(0, 1), t[:, :, 1].long().flatten(), reduction="none")
        return [
            (F.huber_loss(x[:, :, 0], t[:, :, 0], reduction="none"), one, 2.0),
            (classes.reshape(one.shape), one, 1.0),
        ]
    if name in ("cross_entropy", "focal"):
        return [_of_classes(loss, name, x, t[:, :, 0].long())]
    if by_target:
        elementwise = {"mse": F.mse_loss, "mae": F.l1_loss}[name](x, t, reduction="none")
        return [(elementwise, counted * torch.tensor(spec.get("target_weights", [1.0, 1.0])).to(x.dtype), 1.0)]
    return [(_losses(loss, name, x, t), counted[:, :, 0], 1.0)]


def _losses(loss: Any, name: str, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Return the loss of each step and row."""
    if name in LIKELIHOODS:
        return make_likelihoods.loss_of(name, x.unflatten(2, (TARGETS, -1)), t)
    match name:
        case "quantile":
            level = torch.tensor(loss["quantiles"], dtype=x.dtype)
            error = t[..., None] - x.unflatten(2, (TARGETS, -1))
            return torch.maximum(level * error, (level - 1) * error).mean(dim=(2, 3))
        case "log_cosh":
            return (x - t + F.softplus(-2 * (x - t)) - math.log(2)).mean(2)
        case "poisson":
            return F.poisson_nll_loss(x, t, log_input=True, full=False, reduction="none").mean(2)
        case "binary_cross_entropy":
            positive = torch.tensor(loss["positive_weight"], dtype=x.dtype)
            return F.binary_cross_entropy_with_logits(x, t, pos_weight=positive, reduction="none").mean(2)
        case "binary_focal":
            p, alpha, gamma = torch.sigmoid(x), loss["alpha"], loss["gamma"]
            ones, zeros = (1 - p) ** gamma * F.logsigmoid(x), p**gamma * F.logsigmoid(-x)
            return -(alpha * t * ones + (1 - alpha) * (1 - t) * zeros).mean(2)
    return make.loss_of(loss, x, t)


def _of_classes(loss: Any, name: str, x: torch.Tensor, classes: torch.Tensor) -> Part:
    """Return the losses of classes, with the weights that their mean has in PyTorch."""
    weights = torch.tensor(CLASS_WEIGHTS if "class_weights" in loss else [1.0, 1.0], dtype=x.dtype)[classes]
    weights = torch.where(classes == loss.get("ignore_index", -100), torch.zeros_like(weights), weights)
    log_p = F.log_softmax(x, dim=2).gather(2, classes[:, :, None])[:, :, 0]
    return (-((1 - log_p.exp()) ** loss["gamma"] if name == "focal" else 1.0) * log_p, weights, 1.0)


def _optimiser(spec: Spec, weights: Mapping[str, torch.Tensor]) -> Any:
    """Return PyTorch's optimiser, with a group for each weight that has a rate of its own."""
    found = optimiser_of(spec["optimiser"], [weight for weight in weights.values() if weight.requires_grad])
    rates = spec.get("learning_rates")
    if rates is not None:
        base = spec["optimiser"]["learning_rate"]
        factors = {name: rates.get(name, rates.get(name.split(".")[0], 1.0)) for name in weights}
        found = type(found)([{"params": [weight], "lr": base * factors[name]} for name, weight in weights.items()])
    return found


def _by_update(spec: Spec) -> bool:
    kind = spec["optimiser"].get("schedule", {}).get("type")
    return kind in ("linear", "one_cycle") or "warmup_updates" in spec["optimiser"]


def _scheduler(spec: Spec, optimiser: Any, updates: int) -> Any:
    """Return PyTorch's scheduler."""
    given, base, epochs = spec["optimiser"].get("schedule", {}), spec["optimiser"]["learning_rate"], spec["epochs"]
    warmup = spec["optimiser"].get("warmup_updates")
    if warmup is not None:
        return lr_scheduler.LambdaLR(optimiser, lambda done: min(1.0, (done + 1) / warmup))
    match given.get("type"):
        case "step":
            return lr_scheduler.StepLR(optimiser, given["every"], given["factor"])
        case "exponential":
            return lr_scheduler.ExponentialLR(optimiser, given["factor"])
        case "cosine":
            return lr_scheduler.CosineAnnealingLR(optimiser, epochs, given["minimum"])
        case "linear":
            return lr_scheduler.LinearLR(optimiser, 1.0, given["minimum"] / base, epochs * updates)
        case "one_cycle":
            return lr_scheduler.OneCycleLR(optimiser, base, total_steps=epochs * updates, cycle_momentum=False)
        case "plateau":
            return lr_scheduler.ReduceLROnPlateau(
                optimiser,
                factor=given["factor"],
                patience=given["patience"] - 1,
                threshold=given["min_delta"],
                threshold_mode="abs",
            )
    return None


def _average(averaged: list[torch.Tensor], weights: list[torch.Tensor], decay: float) -> None:
    """Move the averages, which begin with the weights after the first update."""
    with torch.no_grad():
        if averaged:
            get_ema_multi_avg_fn(decay)(averaged, weights, None)
        else:
            averaged += [weight.detach().clone() for weight in weights]
