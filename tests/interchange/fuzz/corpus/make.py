"""Write the corpus: `.venv/bin/python -m tests.interchange.fuzz.corpus.make`. Small models that readers begin from."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from cellar.interchange.onnx_export import network_model
from cellar.nn.model.network import Network
from tests.interchange.onnx.graphs import HIDDEN, LSTM, READS, ints, model, node, random
from tests.interchange.proofs.export import random_network
from tests.nn.golden.cases import bidirectional, dense, network, recurrent
from tests.onnx_graph.graphs import counter, loop, lstm

HERE = Path(__file__).parent


def main() -> None:
    """Write each file."""
    around = [
        node("Shape", "X", "shape"),
        node("Gather", "shape second", "rows", axis=0),
        node("Unsqueeze", "rows zero", "r"),
        node("Concat", "one r hidden", "size", axis=0),
        node("ConstantOfShape", "size", "h"),
        node("LSTM", "X W R B _ h h", "y", hidden_size=HIDDEN, direction="forward", clip=3.0),
        node("Squeeze", "y one", "s"),
        node("MatMul", "s M", "m"),
        node("Add", "m c", "a"),
        node("Tanh", "a", "Y"),
    ]
    sizes = {"second": np.array(1), "zero": ints(0), "one": ints(1), "hidden": ints(HIDDEN)}
    constants = LSTM | sizes | {"M": random(HIDDEN, 2), "c": random(2)}
    (HERE / "exporter.onnx").write_bytes(model(around, constants).SerializeToString())
    both = {"W": random(2, 3 * 2, READS), "R": random(2, 3 * 2, 2), "shape": ints(0, 0, -1)}
    gru = [
        node("GRU", "X W R", "y", hidden_size=2, direction="bidirectional", activations=["Sigmoid", "Tanh"] * 2),
        node("Transpose", "y", "t", perm=[0, 2, 1, 3]),
        node("Reshape", "t shape", "Y"),
    ]
    (HERE / "bidirectional.onnx").write_bytes(model(gru, both).SerializeToString())
    for name, layers in (("own", [recurrent("lstm", 2)]), ("own_scan", [bidirectional("rnn", 2), dense(1)])):
        imported = random_network(network(2, *layers), np.random.default_rng(0))
        data = network_model(Network(imported.spec), imported.weights).SerializeToString()
        (HERE / f"{name}.onnx").write_bytes(data)
    for name, data in (("step_lstm", lstm()), ("step_loop", loop()), ("step_integers", counter())):
        (HERE / f"{name}.onnx").write_bytes(data)
    cell = {"Wi": random(8, 3), "Wh": random(8, 2), "bias": random(8)}
    arrays = {f"layers.1.cell.{name}": array for name, array in cell.items()}
    save_file(arrays, HERE / "flux.safetensors")
    np.savez(HERE / "flux.npz", **arrays)  # type: ignore[arg-type]  # the test's stand-in or text for it


if __name__ == "__main__":
    main()
