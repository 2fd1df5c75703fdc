"""Recurrent operators of ONNX: its own node tests, and generated combinations of attributes.

Each combination is compared with every oracle that reads all of its attributes: the reference evaluator of the package
onnx (which ignores activations of LSTM and GRU, clip and lengths), ONNX Runtime where it is installed (which has no
layout 1), and the equations of the documents in NumPy.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from cellar.engine import KernelCache
from cellar.errors import ImportRefused
from cellar.interchange.onnx import import_onnx
from tests.interchange.proofs import onnx_numpy
from tests.interchange.proofs.outcome import Array, Outcome, difference, run

OPSET, IR_VERSION = 22, 10
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")

Random = np.random.Generator

# Each list is a kernel that has to be compiled, so that there are few.
ACTIVATIONS: dict[str, list[dict[str, Any]]] = {
    "RNN": [
        {},
        {"activations": ["Relu"]},
        {"activations": ["sigmoid"]},
        {"activations": ["Affine"], "activation_alpha": [0.5], "activation_beta": [0.125]},
        {"activations": ["LeakyRelu"]},
        {"activations": ["ThresholdedRelu"], "activation_alpha": [0.25]},
        {"activations": ["ScaledTanh"], "activation_alpha": [1.5], "activation_beta": [0.75]},
        {"activations": ["HardSigmoid"]},
        {"activations": ["Elu"], "activation_alpha": [0.5]},
        {"activations": ["Softsign"]},
        {"activations": ["Softplus"]},
    ],
    "GRU": [
        {},
        {"activations": ["HardSigmoid", "Tanh"], "activation_alpha": [0.25], "activation_beta": [0.5]},
        {"activations": ["Sigmoid", "LeakyRelu"], "activation_alpha": [0.125]},
        {"activations": ["Sigmoid", "Softsign"]},
        {"activations": ["HardSigmoid", "ScaledTanh"], "activation_alpha": [0.2, 1.25], "activation_beta": [0.5, 0.5]},
    ],
    "LSTM": [
        {},
        {"activations": ["HardSigmoid", "Tanh", "Softsign"]},
        {"activations": ["Sigmoid", "Elu", "Tanh"], "activation_alpha": [0.75]},
        {"activations": ["Sigmoid", "Tanh", "Relu"]},
        {"activations": ["Sigmoid", "Affine", "ThresholdedRelu"], "activation_alpha": [0.5, 0.0625]},
    ],
}
CLIPS = (None, None, 0.75)
UNSUPPORTED: tuple[dict[str, Any], ...] = ({"input_forget": 1}, {"activations": ["Gelu"] * 6}, {"clip": -1.0})


@dataclass
class Case:
    """A node with its inputs, some of which are inputs of the graph and the others constants."""

    operator: str
    attributes: dict[str, Any]
    inputs: dict[str, Array]
    given: tuple[str, ...] = ("X",)
    """Inputs of the graph."""
    fixed: bool = False
    """The graph fixes how many steps and rows there are."""
    unsupported: bool = False
    """It has to be refused."""
    outputs: tuple[str, ...] = field(default=("Y", "Y_h"))

    def model(self, given: tuple[str, ...] | None = None) -> ModelProto:
        """Return the model; by default with the constants as initialisers."""
        fed = self.given if given is None else given
        names = [name if name in self.inputs else "" for name in INPUTS]
        names = names[: 8 if self.operator == "LSTM" else 6]
        node = helper.make_node(self.operator, names, list(self.outputs), name="recurrent", **self.attributes)
        kinds = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int32): TensorProto.INT32}
        inputs = [helper.make_tensor_value_info(name, kinds[self.inputs[name].dtype], self.shape(name)) for name in fed]
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self.outputs if name]
        constants = [numpy_helper.from_array(array, name) for name, array in self.inputs.items() if name not in fed]
        graph = helper.make_graph([node], "case", inputs, outputs, constants)
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)

    def shape(self, name: str) -> list[int | str]:
        """Return the shape of an input of the graph; that of X leaves steps and rows open unless they are fixed."""
        shape = list(self.inputs[name].shape)
        return ["first", "second", shape[2]] if name == "X" and not self.fixed else list(shape)

    @property
    def batchwise(self) -> bool:
        """Return whether rows come first."""
        return bool(self.attributes.get("layout", 0))

    def in_layout_0(self, name: str) -> Array:
        """Return an input with steps or directions first."""
        array = self.inputs[name]
        return array.swapaxes(0, 1) if self.batchwise and name in ("X", "initial_h", "initial_c") else array


def prove(cache: KernelCache, count: int, seed: int) -> Outcome:
    """Compare the node tests of ONNX, and generated combinations."""
    outcome = Outcome()
    for name, case, expected in node_tests():
        judge(f"node test {name}", case, expected, cache, outcome)
        outcome.counts["node tests"] += 1
    for index in range(count):
        case = random_case(np.random.default_rng([seed, index]))
        judge(f"{index} {describe(case)}", case, None, cache, outcome)
    return outcome


def describe(case: Case) -> str:
    """Return a case in words."""
    return f"{case.operator} {case.attributes} {' '.join(case.inputs)} given {' '.join(case.given)}"


def judge(name: str, case: Case, expected: Mapping[str, Array] | None, cache: KernelCache, outcome: Outcome) -> None:
    """Import a case, and compare it with what is expected or with the oracles."""
    try:
        found = answers(case, cache)
    except ImportRefused as error:
        outcome.refuse(error.detail)
        if not case.unsupported or not error.place:
            outcome.wrong.append(f"{name}: refused: {error.detail}")
        return
    if case.unsupported:
        outcome.wrong.append(f"{name}: taken, and should be refused")
        return
    oracles = {"its test": expected} if expected is not None else oracles_of(case)
    worst = 0.0
    for oracle, arrays in oracles.items():
        outcome.counts[f"compared with {oracle}"] += 1
        worst = max(worst, *(difference(found[key], arrays[key]) for key in found.keys() & arrays.keys()))
    outcome.add(name, worst)


def answers(case: Case, cache: KernelCache) -> dict[str, Array]:
    """Return the outputs of the node as Cellar computes them, with the layout 0."""
    imported = import_onnx(case.model().SerializeToString())
    x = case.in_layout_0("X")
    lengths = case.inputs["sequence_lens"] if "sequence_lens" in case.given else None
    state = None
    if "initial_h" in case.given:  # Cellar's LSTM has c before h
        names = ("initial_c", "initial_h") if case.operator == "LSTM" else ("initial_h",)
        zeros = np.zeros((1, x.shape[1], case.inputs["R"].shape[2]), np.float32)
        state = np.hstack([(case.in_layout_0(name) if name in case.inputs else zeros)[0] for name in names])
    ran = run(imported, x, cache, lengths, None if state is None else np.ascontiguousarray(state))
    directions = len(case.inputs["W"])
    y = ran.outputs.reshape(*x.shape[:2], directions, -1).swapaxes(1, 2)
    found = {"Y": y, "Y_h": _final(y, case, lengths)}
    if ran.states:
        found = {"Y": y} | {f"Y_{name}": value[None] for (_, name), value in ran.states.items()}
    return found


def _final(y: Array, case: Case, lengths: Array | None) -> Array:
    """Return what Y (T, directions, B, H) has where each direction ends."""
    steps, _, rows, _ = y.shape
    last = np.full(rows, steps) - 1 if lengths is None else lengths - 1
    forward = np.stack([y[last[row], 0, row] for row in range(rows)])
    direction = case.attributes.get("direction", "forward")
    return np.stack({"forward": [forward], "reverse": [y[0, 0]], "bidirectional": [forward, y[0, -1]]}[direction])


def oracles_of(case: Case) -> dict[str, dict[str, Array]]:
    """Return the outputs by every oracle that reads all attributes of a case."""
    lengths = case.inputs.get("sequence_lens")
    floats = {name: case.in_layout_0(name) for name in case.inputs if name != "sequence_lens"}
    y, y_h, y_c = onnx_numpy.run(case.operator, case.attributes, floats, lengths)
    found = {"NumPy": {"Y": y, "Y_h": y_h} | ({"Y_c": y_c} if case.operator == "LSTM" else {})}
    plain = not {"activations", "clip"} & case.attributes.keys()
    whole = lengths is None or (lengths == case.in_layout_0("X").shape[0]).all()
    model = case.model(tuple(case.inputs))
    if plain and whole:
        values = ReferenceEvaluator(model).run(None, case.inputs)
        found["the reference evaluator"] = _layout_0(case, [np.asarray(value) for value in values])
    runtime = _runtime() if not case.batchwise else None
    if runtime is not None:
        if "hidden_size" not in case.attributes:  # optional, but the runtime insists
            model.graph.node[0].attribute.append(helper.make_attribute("hidden_size", case.inputs["R"].shape[2]))
        with suppress(runtime.capi.onnxruntime_pybind11_state.Fail):  # its RNN knows fewer activations
            session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
            found["ONNX Runtime"] = dict(zip(case.outputs, session.run(None, case.inputs), strict=True))
    return found


def _layout_0(case: Case, values: list[Array]) -> dict[str, Array]:
    """Return outputs with steps or directions first."""
    named = dict(zip([name for name in case.outputs if name], values, strict=True))
    if not case.batchwise:
        return named
    orders = {"Y": (1, 2, 0, 3), "Y_h": (1, 0, 2), "Y_c": (1, 0, 2)}
    return {name: value.transpose(orders[name]) for name, value in named.items()}


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError:
        return None
    onnxruntime.set_default_logger_severity(4)
    return onnxruntime


def node_tests() -> list[tuple[str, Case, dict[str, Array]]]:
    """Return the tests of RNN, LSTM and GRU that ship in the package onnx, with the outputs that they expect."""
    from onnx.backend.test.case.node import collect_testcases

    found = []
    for test in collect_testcases():
        nodes = [] if test.model is None else test.model.graph.node
        if len(nodes) != 1 or nodes[0].op_type not in GATES:
            continue
        (node,) = nodes
        assert test.data_sets is not None
        ((inputs, expected),) = test.data_sets
        names = [name for name, used in zip(INPUTS, node.input, strict=False) if used]
        arrays = {name: np.asarray(array) for name, array in zip(names, inputs, strict=True)}
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        attributes = {k: v.decode() if isinstance(v, bytes) else v for k, v in attributes.items()}
        case = Case(node.op_type, attributes, arrays, fixed=True, outputs=tuple(node.output))
        # A layer that reads from the end keeps no state that could be answered.
        case.unsupported = "Y_c" in case.outputs and attributes.get("direction", "forward") != "forward"
        found.append((test.name, case, _layout_0(case, [np.asarray(value) for value in expected])))
    return found


def random_case(rng: Random) -> Case:
    """Return a random combination of attributes."""
    operator = str(rng.choice(["RNN", "LSTM", "GRU"]))
    direction = str(rng.choice(["forward", "forward", "reverse", "bidirectional"]))
    directions = 2 if direction == "bidirectional" else 1
    steps, rows, reads, hidden = (int(rng.integers(1, high)) for high in (7, 5, 6, 7))
    gates = GATES[operator] * hidden
    inputs = {
        "X": rng.normal(size=(steps, rows, reads)),
        "W": rng.normal(size=(directions, gates, reads)) * 0.5,
        "R": rng.normal(size=(directions, gates, hidden)) * 0.5,
    }
    attributes: dict[str, Any] = {"direction": direction} if direction != "forward" or rng.random() < 0.5 else {}
    attributes |= {"hidden_size": hidden} if rng.random() < 0.8 else {}
    if rng.random() < 0.7:
        inputs["B"] = rng.normal(size=(directions, 2 * gates)) * 0.5
    if operator == "LSTM" and rng.random() < 0.4:
        inputs["P"] = rng.normal(size=(directions, 3 * hidden)) * 0.5
    if operator == "GRU" and rng.random() < 0.6:
        attributes["linear_before_reset"] = int(rng.integers(2))
    plain = rng.random() < 0.45  # what the reference evaluator reads
    attributes |= {} if plain else _activations(rng, operator, directions)
    case = Case(operator, attributes, {name: array.astype(np.float32) for name, array in inputs.items()})
    _add_states(rng, case, directions, rows, hidden)
    if not plain:
        _add_lengths(rng, case, steps, rows)
    if operator == "LSTM":
        case.outputs = ("Y", "Y_h", "Y_c") if direction == "forward" else ("Y", "Y_h")
    if rng.random() < 0.03:
        case.attributes |= UNSUPPORTED[rng.integers(len(UNSUPPORTED))] if operator == "LSTM" else {"clip": -1.0}
        case.unsupported = True
    if rng.random() < 0.3:
        case.attributes["layout"] = 1
        for name in ("X", "initial_h", "initial_c"):
            if name in case.inputs:
                case.inputs[name] = np.ascontiguousarray(case.inputs[name].swapaxes(0, 1))
    return case


def _activations(rng: Random, operator: str, directions: int) -> dict[str, Any]:
    """Return activations with their numbers and a limit; of two directions often the same, sometimes others."""
    profiles = ACTIVATIONS[operator]
    chosen = [profiles[rng.integers(len(profiles))]] * directions
    if directions == 2 and rng.random() < 0.3:
        chosen[1] = profiles[rng.integers(len(profiles))]
    if all("activations" in profile for profile in chosen):
        names = ("activations", "activation_alpha", "activation_beta")
        joined = {name: [value for profile in chosen for value in profile.get(name, [])] for name in names}
        found = {name: values for name, values in joined.items() if values} if _unambiguous(chosen) else {}
    else:
        found = {}
    clip = CLIPS[rng.integers(len(CLIPS))]
    return found if clip is None else found | {"clip": clip}


def _unambiguous(chosen: list[dict[str, Any]]) -> bool:
    """Return whether numbers of the second direction cannot be taken for missing ones of the first."""
    return len(chosen) == 1 or chosen[0] == chosen[1] or "activation_alpha" not in chosen[1]


def _add_states(rng: Random, case: Case, directions: int, rows: int, hidden: int) -> None:
    """Add initial states: constants, the same for all rows or not, or inputs of the graph."""
    names = ["initial_h"] + (["initial_c"] if case.operator == "LSTM" and rng.random() < 0.7 else [])
    how = rng.choice(["none", "same", "given", "different"], p=[0.4, 0.35, 0.2, 0.05])
    if how == "given" and directions == 2 and rng.random() < 0.7:  # always refused: few are enough
        how = "same"
    if how == "none":
        return
    for name in names:
        count = 1 if how == "same" else rows
        array = rng.normal(size=(directions, count, hidden)).astype(np.float32)
        case.inputs[name] = np.ascontiguousarray(np.broadcast_to(array, (directions, rows, hidden)))
    if how == "given":
        case.given = (*case.given, *names)
        case.unsupported = case.attributes.get("direction", "forward") != "forward"
    elif how == "different":
        case.unsupported = rows > 1


def _add_lengths(rng: Random, case: Case, steps: int, rows: int) -> None:
    """Add lengths of rows: an input of the graph, or constants, which belong to no network."""
    how = rng.choice(["none", "given", "whole", "constant"], p=[0.6, 0.25, 0.1, 0.05])
    if how == "none":
        return
    lengths = np.full(rows, steps) if how == "whole" else rng.integers(1, steps + 1, rows)
    case.inputs["sequence_lens"] = lengths.astype(np.int32)
    case.fixed = how == "whole"
    if how == "given":
        case.given = (*case.given, "sequence_lens")
    elif how == "constant" and (lengths < steps).any():
        case.unsupported = True
    else:
        case.fixed = True
