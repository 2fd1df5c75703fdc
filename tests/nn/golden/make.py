"""Makes the golden files with PyTorch 2.13: `python -m tests.nn.golden.make` from the root of the repository.

Needs torch, numpy and safetensors, and nothing of Cellar. Every file holds each result twice: `64.` computed in
float64, the reference, and `32.` computed in float32, which measures how far rounding alone may lead away from it.
All inputs are exact in float32.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's documentation gives it
from safetensors.numpy import save as as_bytes

from tests.nn.golden.cases import LOSSES, NETWORKS, ROWS, RUNS, STEPS, TRAINED, UPDATES

HERE = Path(__file__).parent
DTYPES = {"64": torch.float64, "32": torch.float32}
GATES = {"lstm": "ifgo", "gru": "rzn", "gru_torch": "rzn", "gru_v3": "rzn"}

Tensors = dict[str, torch.Tensor]
Layer = Callable[[dict[str, Any], Tensors, torch.Tensor, list[torch.Tensor]], tuple[torch.Tensor, list[torch.Tensor]]]


# --- networks -------------------------------------------------------------------------------------------------------


def lstm(spec: dict[str, Any], w: Tensors, x: torch.Tensor, state: list[torch.Tensor]) -> Any:
    """torch.nn.LSTM. Cellar orders states by assignment: c, then h."""
    module = torch.nn.LSTM(x.shape[2], spec["hidden_size"], dtype=x.dtype)
    c, h = state
    y, (h, c) = torch.func.functional_call(module, packed(w, "ifgo"), (x, (h[None], c[None])))
    return y, [c[0], h[0]]


def gru(spec: dict[str, Any], w: Tensors, x: torch.Tensor, state: list[torch.Tensor]) -> Any:
    """torch.nn.GRU with its second bias zero, which is Flux' GRU."""
    module = torch.nn.GRU(x.shape[2], spec["hidden_size"], dtype=x.dtype)
    y, h = torch.func.functional_call(module, packed(w, "rzn"), (x, state[0][None]))
    return y, [h[0]]


def gru_torch(spec: dict[str, Any], w: Tensors, x: torch.Tensor, state: list[torch.Tensor]) -> Any:
    """torch.nn.GRU as it is, both biases free."""
    module = torch.nn.GRU(x.shape[2], spec["hidden_size"], dtype=x.dtype)
    biases = {f"bias_{side}h_l0": torch.cat([w[f"b_{side}{gate}"] for gate in "rzn"]) for side in "ih"}
    matrices = {f"weight_{side}h_l0": torch.cat([w[f"W{side}_{gate}"] for gate in "rzn"]) for side in "ih"}
    y, h = torch.func.functional_call(module, matrices | biases, (x, state[0][None]))
    return y, [h[0]]


def gru_v3(spec: dict[str, Any], w: Tensors, x: torch.Tensor, state: list[torch.Tensor]) -> Any:
    """Flux' GRUv3, written out: PyTorch has no unit that resets before the matrix."""
    (h,) = state
    ys = []
    for xt in x:
        r = torch.sigmoid(F.linear(xt, w["Wi_r"]) + F.linear(h, w["Wh_r"]) + w["b_r"])
        z = torch.sigmoid(F.linear(xt, w["Wi_z"]) + F.linear(h, w["Wh_z"]) + w["b_z"])
        n = torch.tanh(F.linear(xt, w["Wi_n"]) + F.linear(r * h, w["Wh_n"]) + w["b_n"])
        h = (1 - z) * n + z * h
        ys.append(h)
    return torch.stack(ys), [h]


def rnn(spec: dict[str, Any], w: Tensors, x: torch.Tensor, state: list[torch.Tensor]) -> Any:
    """torch.nn.RNN for the activations that it has, written out for the others."""
    activation = spec.get("activation", "tanh")
    if activation in ("tanh", "relu"):
        module = torch.nn.RNN(x.shape[2], spec["hidden_size"], nonlinearity=activation, dtype=x.dtype)
        gates = {"Wi_": w["Wi"], "Wh_": w["Wh"], "b_": w["b"]}
        y, h = torch.func.functional_call(module, packed(gates, [""]), (x, state[0][None]))
        return y, [h[0]]
    (h,) = state
    ys = []
    for xt in x:
        h = getattr(torch, activation)(F.linear(xt, w["Wi"]) + F.linear(h, w["Wh"]) + w["b"])
        ys.append(h)
    return torch.stack(ys), [h]


def dense(spec: dict[str, Any], w: Tensors, x: torch.Tensor, state: list[torch.Tensor]) -> Any:
    """Linear, then the activation."""
    y = F.linear(x, w["W"], w.get("b"))
    match spec["activation"]:
        case "identity":
            return y, []
        case "softmax":
            return torch.softmax(y, dim=-1), []
        case name:
            return getattr(F, name)(y), []


LAYERS: dict[str, Layer] = {
    "lstm": lstm,
    "gru": gru,
    "gru_torch": gru_torch,
    "gru_v3": gru_v3,
    "rnn": rnn,
    "dense": dense,
}
STATES = {"lstm": ["c", "h"], "gru": ["h"], "gru_torch": ["h"], "gru_v3": ["h"], "rnn": ["h"], "dense": []}


def packed(w: Tensors, gates: Any) -> Tensors:
    """Return PyTorch's parameters from those of the gates: one matrix of all gates, one bias, the other zero."""
    bias = torch.cat([w[f"b_{g}"] for g in gates])
    return {
        "weight_ih_l0": torch.cat([w[f"Wi_{g}"] for g in gates]),
        "weight_hh_l0": torch.cat([w[f"Wh_{g}"] for g in gates]),
        "bias_ih_l0": bias,
        "bias_hh_l0": torch.zeros_like(bias),
    }


def kind(layer: dict[str, Any]) -> str:
    """Return the name of a layer's function."""
    return str(layer["cell"] if layer["type"] == "recurrent" else "dense")


def shapes(spec: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the parameters of a network, in Cellar's names."""
    found: dict[str, tuple[int, ...]] = {}
    size = spec["in_size"]
    for i, layer in enumerate(spec["layers"]):
        if layer["type"] == "dense":
            found[f"{i}.W"] = (layer["out_size"], size)
            if layer.get("bias", True):
                found[f"{i}.b"] = (layer["out_size"],)
            size = layer["out_size"]
            continue
        hidden = layer["hidden_size"]
        for gate in [f"_{g}" for g in GATES.get(layer["cell"], "")] or [""]:
            found |= {f"{i}.Wi{gate}": (hidden, size), f"{i}.Wh{gate}": (hidden, hidden)}
            biases = [f"b_i{gate[1:]}", f"b_h{gate[1:]}"] if layer["cell"] == "gru_torch" else [f"b{gate}"]
            found |= {f"{i}.{name}": (hidden,) for name in biases}
        if layer.get("trainable_state"):
            found |= {f"{i}.{name}0": (hidden,) for name in STATES[layer["cell"]]}
        size = hidden
    return found


def forward(
    spec: dict[str, Any], w: Tensors, x: torch.Tensor, state: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a network: x (T, B, F) and state (B, S) to outputs and state."""
    after, at = [], 0
    for i, layer in enumerate(spec["layers"]):
        own = {name.split(".", 1)[1]: value for name, value in w.items() if name.startswith(f"{i}.")}
        parts = []
        for _ in STATES[kind(layer)]:
            parts.append(state[:, at : at + layer["hidden_size"]])
            at += layer["hidden_size"]
        x, parts = LAYERS[kind(layer)](layer, own, x, parts)
        after += parts
    return x, torch.cat([*after, state[:, :0]], dim=1)


# --- files ----------------------------------------------------------------------------------------------------------


def draw(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> np.ndarray:
    """Return normal numbers that are exact in float32, as float64."""
    return (rng.standard_normal(shape) * scale).astype(np.float32).astype(np.float64)


def save(name: str, arrays: dict[str, Any]) -> None:
    """Write a file; what was computed in float32 is stored as such."""
    data = as_bytes({key: np.ascontiguousarray(np.asarray(value)) for key, value in arrays.items()})
    (HERE / f"{name}.safetensors").write_bytes(data)


def make_network(name: str, spec: dict[str, Any], rng: np.random.Generator) -> None:
    """Outputs and all gradients of a network, for given gradients of outputs and of the last state."""
    state_size = sum(len(STATES[kind(layer)]) * layer.get("hidden_size", 0) for layer in spec["layers"])
    weights = {key: draw(rng, *shape, scale=shape[-1] ** -0.5) for key, shape in shapes(spec).items()}
    arrays: dict[str, Any] = {f"weight.{key}": value.astype(np.float32) for key, value in weights.items()}
    given = {"inputs": draw(rng, STEPS, ROWS, spec["in_size"]), "state": draw(rng, ROWS, state_size, scale=0.5)}
    probe, _ = forward(spec, tensors(weights, torch.float64), *tensors(given, torch.float64).values())
    given |= {"d_outputs": draw(rng, *probe.shape), "d_state": draw(rng, ROWS, state_size)}
    arrays |= {key: value.astype(np.float32) for key, value in given.items()}
    for bits, dtype in DTYPES.items():
        w, g = tensors(weights, dtype, grad=True), tensors(given, dtype, grad=True)
        outputs, after = forward(spec, w, g["inputs"], g["state"])
        loss = (outputs * g["d_outputs"].detach()).sum() + (after * g["d_state"].detach()).sum()
        loss.backward()
        arrays |= {f"{bits}.outputs": outputs.detach(), f"{bits}.state": after.detach()}
        arrays |= {f"{bits}.d_weight.{key}": value.grad for key, value in w.items()}
        arrays |= {f"{bits}.d_inputs": g["inputs"].grad}
        if state_size:
            arrays |= {f"{bits}.d_initial": g["state"].grad}
    save(f"network_{name}", {key: value for key, value in arrays.items() if np.size(value)})


def tensors(arrays: dict[str, np.ndarray], dtype: torch.dtype, *, grad: bool = False) -> Tensors:
    """Return leaf tensors."""
    return {key: torch.tensor(value, dtype=dtype, requires_grad=grad) for key, value in arrays.items()}


def loss_of(spec: Any, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the loss of every step and row: (T, B)."""
    match spec if isinstance(spec, str) else spec["type"]:
        case "mse":
            return F.mse_loss(x, target, reduction="none").mean(-1)
        case "mae":
            return F.l1_loss(x, target, reduction="none").mean(-1)
        case "huber":
            return F.huber_loss(x, target, reduction="none", delta=spec["delta"]).mean(-1)
        case "binary_cross_entropy":
            return F.binary_cross_entropy_with_logits(x, target, reduction="none").mean(-1)
    return F.cross_entropy(x.flatten(0, 1), target.flatten(0, 1), reduction="none").reshape(x.shape[:2])


def make_losses(rng: np.random.Generator) -> None:
    """Values and gradients of every loss, the large outputs of a confident network among them."""
    outputs = draw(rng, STEPS, ROWS, 4, scale=2.0)
    outputs[0], outputs[1] = outputs[0] * 20, outputs[1] * 0.01
    classes = rng.integers(0, 4, (STEPS, ROWS))
    soft = rng.dirichlet(np.ones(4), (STEPS, ROWS)).astype(np.float32).astype(np.float64)
    targets = {
        "mse": draw(rng, STEPS, ROWS, 4),
        "mae": draw(rng, STEPS, ROWS, 4),
        "huber": draw(rng, STEPS, ROWS, 4),
        "binary_cross_entropy": (rng.random((STEPS, ROWS, 4)) < 0.5).astype(np.float64),
        "cross_entropy": np.where(np.arange(ROWS)[None, :, None] == 0, soft, np.eye(4)[classes]),
    }
    arrays: dict[str, Any] = {"outputs": outputs.astype(np.float32), "classes": classes.astype(np.float32)}
    for name, spec in LOSSES.items():
        arrays[f"{name}.targets"] = targets[name].astype(np.float32)
        for bits, dtype in DTYPES.items():
            x = torch.tensor(outputs, dtype=dtype, requires_grad=True)
            losses = loss_of(spec, x, torch.tensor(targets[name], dtype=dtype))
            losses.mean().backward()
            arrays |= {f"{bits}.{name}.losses": losses.detach(), f"{bits}.{name}.d_outputs": x.grad}
    save("losses", arrays)


def optimiser_of(spec: dict[str, Any], parameters: list[torch.Tensor]) -> torch.optim.Optimizer:
    """Return PyTorch's optimiser for a specification of Cellar's."""
    common = {"lr": spec["learning_rate"], "weight_decay": spec.get("weight_decay", 0.0)}
    betas = {"betas": (spec.get("beta1", 0.9), spec.get("beta2", 0.999))}
    match spec["type"]:
        case "sgd":
            return torch.optim.SGD(parameters, **common)
        case "momentum":
            return torch.optim.SGD(parameters, momentum=spec["momentum"], **common)
        case "nesterov":
            return torch.optim.SGD(parameters, momentum=spec["momentum"], nesterov=True, **common)
        case "adam":
            return torch.optim.Adam(parameters, **betas, **common)
        case "adamw":
            return torch.optim.AdamW(parameters, **betas, **common)
        case "rmsprop":
            return torch.optim.RMSprop(parameters, alpha=spec["rho"], **common)
        case "adagrad":
            return torch.optim.Adagrad(parameters, eps=1e-8, **common)
        case "adadelta":
            return torch.optim.Adadelta(parameters, **common)
    raise ValueError(spec["type"])


def schedule_of(spec: dict[str, Any], optimiser: torch.optim.Optimizer) -> Any:
    """Return PyTorch's schedule, stepped after every epoch."""
    schedule = spec.get("schedule", {"type": "constant"})
    match schedule["type"]:
        case "step":
            return torch.optim.lr_scheduler.StepLR(optimiser, schedule["every"], schedule["factor"])
        case "exponential":
            return torch.optim.lr_scheduler.ExponentialLR(optimiser, schedule["factor"])
        case "cosine":
            return torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, UPDATES, schedule["minimum"])
    return torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0)


def clip(spec: dict[str, Any], parameters: list[torch.Tensor]) -> None:
    """Clip the gradients as the specification says. By norm it is written out: PyTorch adds 1e-6 to the norm."""
    if "clip_norm" in spec:
        norm = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).norm()
        for p in parameters:
            assert p.grad is not None
            p.grad *= torch.clamp(spec["clip_norm"] / norm, max=1.0)
    if "clip_value" in spec:
        torch.nn.utils.clip_grad_value_(parameters, spec["clip_value"])


def make_training(rng: np.random.Generator) -> None:
    """Loss before each update, and the weights after the last one, of every run."""
    weights = {key: draw(rng, *shape, scale=0.5) for key, shape in shapes(TRAINED).items()}
    data = {"inputs": draw(rng, STEPS, ROWS, 2), "targets": draw(rng, STEPS, ROWS, 1)}
    arrays: dict[str, Any] = {f"weight.{key}": value.astype(np.float32) for key, value in weights.items()}
    arrays |= {key: value.astype(np.float32) for key, value in data.items()}
    for name, spec in RUNS.items():
        for bits, dtype in DTYPES.items():
            w, d = tensors(weights, dtype, grad=True), tensors(data, dtype)
            optimiser = optimiser_of(spec, list(w.values()))
            schedule = schedule_of(spec, optimiser)
            losses = []
            for _ in range(UPDATES):
                optimiser.zero_grad()
                state = torch.cat([w["0.c0"], w["0.h0"]]).expand(ROWS, -1)
                outputs, _ = forward(TRAINED, w, d["inputs"], state)
                loss = F.mse_loss(outputs, d["targets"])
                loss.backward()
                clip(spec, list(w.values()))
                optimiser.step()
                schedule.step()
                losses.append(loss.item())
            arrays[f"{bits}.{name}.losses"] = np.array(losses)
            arrays |= {f"{bits}.{name}.weight.{key}": value.detach() for key, value in w.items()}
    save("training", arrays)


def main() -> None:
    """Write every file beside this one."""
    torch.set_num_threads(1)
    for index, (name, spec) in enumerate(NETWORKS.items()):
        make_network(name, spec, np.random.default_rng(index))
    make_losses(np.random.default_rng(100))
    make_training(np.random.default_rng(200))


if __name__ == "__main__":
    main()
