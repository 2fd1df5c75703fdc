"""Policies of Stable-Baselines3's RecurrentPPO and of rsl_rl, imported from what the libraries save, beside them.

Needs torch, sb3-contrib and rsl-rl-lib (`.venv-bench`). Each policy is stepped over a sequence by the library itself,
with its state; actions (the means of their distribution) and final states are compared.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from rsl_rl.models import RNNModel
from sb3_contrib import RecurrentPPO
from tensordict import TensorDict

from cellar.cli.import_file import Import, read
from cellar.engine import KernelCache
from cellar.interchange.torch import import_torch
from tests.interchange.proofs.outcome import Array, Outcome, difference, run
from tests.interchange.proofs.torch_modules import same

STEPS = 12

FUNCTIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "elu": torch.nn.ELU, "silu": torch.nn.SiLU}

CRITIC = ("lstm_critic", "critic", "mlp_extractor.value_net", "value_net", "log_std")
"""Modules and parameters of a policy of RecurrentPPO that do not compute its actions."""


class Room(gymnasium.Env):  # type: ignore[misc]  # gymnasium's types are not installed everywhere
    """An environment with spaces, which is all that a policy is made of."""

    def __init__(self, observations: int, actions: int, *, discrete: bool) -> None:
        self.observation_space = gymnasium.spaces.Box(-1, 1, (observations,), np.float32)
        box = gymnasium.spaces.Box(-1, 1, (actions,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(actions) if discrete else box

    def reset(self, **_: Any) -> tuple[Array, dict[str, Any]]:
        """Return an observation."""
        return np.zeros(self.observation_space.shape, np.float32), {}


def prove(cache: KernelCache, count: int, seed: int) -> Outcome:
    """Compare as many policies of each library."""
    outcome = Outcome()
    torch.set_num_threads(1)
    for index in range(count):
        for compare in (recurrent_ppo, rsl_rl):
            torch.manual_seed(seed * 1_000_003 + index)
            outcome.add(f"{compare.__name__} {index}", compare(np.random.default_rng([seed, index]), cache))
    return outcome


def recurrent_ppo(rng: np.random.Generator, cache: KernelCache) -> float:
    """Return the largest difference of a policy of RecurrentPPO and its import from the archive that it saves."""
    observations, actions, hidden = (int(rng.integers(1, 9)) for _ in range(3))
    actions, sizes = actions + 1, [int(size) for size in rng.integers(1, 9, rng.integers(1, 3))]
    name = str(rng.choice(["tanh", "relu"]))
    agent = RecurrentPPO(
        "MlpLstmPolicy",
        Room(observations, actions, discrete=bool(rng.integers(2))),
        n_steps=8,
        policy_kwargs={
            "lstm_hidden_size": hidden,
            "n_lstm_layers": int(rng.integers(1, 3)),
            "enable_critic_lstm": bool(rng.integers(2)),
            "net_arch": {"pi": sizes, "vf": [4]},
            "activation_fn": FUNCTIONS[name],
        },
        device="cpu",
    )
    policy = agent.policy.eval()
    between = [part for i in range(len(sizes)) for part in (f"mlp_extractor.policy_net.{2 * i}", name)]
    modules = ("lstm_actor", *between, "action_net")
    with tempfile.TemporaryDirectory() as folder:
        agent.save(Path(folder) / "agent.zip")
        found = read(Import(Path(folder) / "agent.zip", modules, CRITIC))
    if not same(found, import_torch(policy, ["lstm_actor", "mlp_extractor.policy_net", "action_net"])):
        return float("inf")
    inputs = rng.normal(size=(STEPS, 1, observations)).astype(np.float32)
    state = tuple(torch.zeros(policy.lstm_actor.num_layers, 1, hidden) for _ in range(2))
    outputs = []
    with torch.no_grad():
        for step in torch.tensor(inputs):
            found_distribution, state = policy.get_distribution(step, state, torch.zeros(1))
            distribution = found_distribution.distribution
            logits = getattr(distribution, "logits", None)
            outputs.append((distribution.mean if logits is None else logits).numpy())
    answered = run(found, inputs, cache)
    actions_found = answered.outputs
    if hasattr(distribution, "logits"):  # of discrete actions the distribution has normalised them
        actions_found = actions_found - np.log(np.exp(actions_found).sum(-1, keepdims=True))
    ended = list(_states(state))
    return max(difference(actions_found, np.stack(outputs)), difference(_found(answered), np.concatenate(ended, 1)))


def rsl_rl(rng: np.random.Generator, cache: KernelCache) -> float:
    """Return the largest difference of an actor of rsl_rl and its import from the checkpoint that its runner saves."""
    observations, actions, hidden = (int(rng.integers(1, 9)) for _ in range(3))
    sizes, name = [int(size) for size in rng.integers(1, 9, rng.integers(1, 4))], str(rng.choice([*FUNCTIONS]))
    normalised = bool(rng.integers(2))
    actor = RNNModel(
        TensorDict({"policy": torch.zeros(1, observations)}, batch_size=1),
        {"actor": ["policy"]},
        "actor",
        actions,
        hidden_dims=sizes,
        activation=name if name != "silu" else "swish",
        obs_normalization=normalised,
        distribution_cfg={"class_name": "GaussianDistribution", "init_std": 1.0},
        rnn_type=str(rng.choice(["lstm", "gru"])),
        rnn_hidden_dim=hidden,
        rnn_num_layers=int(rng.integers(1, 3)),
    )
    for _ in range(3):
        seen = torch.tensor(rng.normal(2, 3, (50, observations)), dtype=torch.float32)
        actor.update_normalization(TensorDict({"policy": seen}, batch_size=50))
    actor.eval()
    first = ["obs_normalizer"] if normalised else []
    modules = (*first, "rnn.rnn", *[part for i in range(len(sizes)) for part in (f"mlp.{2 * i}", name)])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model_1500.pt"
        torch.save({"actor_state_dict": actor.state_dict(), "critic_state_dict": {}, "iter": 1500, "infos": None}, file)
        found = read(Import(file, (*modules, f"mlp.{2 * len(sizes)}"), ("distribution",)))
    if not same(found, import_torch(actor, [*first, "rnn.rnn", "mlp"])):
        return float("inf")
    inputs = rng.normal(2, 3, (STEPS, 1, observations)).astype(np.float32)
    with torch.no_grad():
        outputs = [actor(TensorDict({"policy": step}, batch_size=1)).numpy() for step in torch.tensor(inputs)]
    answered, state = run(found, inputs, cache), actor.get_hidden_state()
    ended = list(_states(state if isinstance(state, tuple) else (state,)))
    return max(difference(answered.outputs, np.stack(outputs)), difference(_found(answered), np.concatenate(ended, 1)))


def _states(state: tuple[Any, ...]) -> Iterator[Array]:
    """Yield the states of each layer, of an LSTM c before h."""
    for layer in range(len(state[0])):
        for part in reversed(state):
            yield part[layer].numpy()


def _found(answered: Any) -> Array:
    return np.concatenate([answered.states[place] for place in sorted(answered.states)], axis=1)
