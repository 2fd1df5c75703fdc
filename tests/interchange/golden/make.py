"""Write the golden files of Keras: `.venv-bench/bin/python -m tests.interchange.golden.make`."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tests.interchange.proofs.keras_models import Plan, original, save

HERE = Path(__file__).parent


def plans() -> dict[str, Plan]:
    """Return the models by the names of their files."""
    from keras import layers as k

    def gru(units: int, **more: object) -> object:
        return k.GRU(units, return_sequences=True, **more)

    return {
        "stack.keras": Plan(0, 3, [gru(4), k.LSTM(3, return_sequences=True), k.Dense(2, activation="elu")]),
        "stack.h5": Plan(0, 3, [gru(4, reset_after=False), k.LSTM(3), k.Dense(2, activation="softmax")]),
        "text.keras": Plan(
            7, 4, [k.Embedding(7, 4), k.LayerNormalization(), k.SimpleRNN(5, activation="relu"), k.Dropout(0.2)]
        ),
        "both_ends.keras": Plan(
            0,
            3,
            [
                k.Bidirectional(k.LSTM(4, return_sequences=True)),
                k.Bidirectional(gru(3), backward_layer=gru(3, go_backwards=True, reset_after=False), merge_mode="mul"),
                k.TimeDistributed(k.Dense(2)),
            ],
        ),
        "residual.h5": Plan(0, 4, [[gru(3), k.Dense(4)], k.LSTM(2, return_sequences=True, use_bias=False)]),
    }


def main() -> None:
    """Write each model, and inputs, outputs and states of all in one file."""
    arrays: dict[str, np.ndarray] = {}
    for number, (name, plan) in enumerate(plans().items()):
        rng = np.random.default_rng(number)
        save(plan, HERE / name, sequential=True, rng=rng)
        shape = (2, 5) if plan.ids else (2, 5, plan.in_size)
        inputs = (rng.integers(0, plan.ids, shape) if plan.ids else rng.normal(size=shape)).astype(np.float32)
        outputs, states = original(plan, inputs)
        arrays |= {f"{name} inputs": inputs, f"{name} outputs": np.ascontiguousarray(outputs)}
        for place, state in enumerate(states):
            arrays |= {f"{name} state {place} {each}": np.ascontiguousarray(value) for each, value in state.items()}
    save_file(arrays, HERE / "keras.safetensors")


if __name__ == "__main__":
    main()
