"""Makes the golden file of the settings with PyTorch 2.13: `python -m tests.matrix.make_settings`, in `.venv-bench`."""

import numpy as np
import torch
from safetensors.numpy import save

from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from tests.matrix.cases import SEED
from tests.matrix.golden import SETTINGS_FILE
from tests.matrix.settings import SETTINGS
from tests.matrix.settings_peer import train


def main() -> None:
    """Write the file."""
    torch.set_num_threads(1)
    arrays = {}
    for setting in SETTINGS:
        initial = Network(NetworkSpec.model_validate(setting.network())).init(SEED)
        for bits, dtype in {"64": torch.float64, "32": torch.float32}.items():
            trained = train(setting, initial, dtype)
            assert trained.finite, setting.name
            arrays[f"{setting.name}.{bits}.losses"] = trained.losses
            arrays[f"{setting.name}.{bits}.weights"] = np.concatenate([trained.weights[n].reshape(-1) for n in initial])
    SETTINGS_FILE.write_bytes(save(arrays))


if __name__ == "__main__":
    main()
