"""Decides how a graph is hosted: which inputs are states, which are data, and what their shapes are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cellar.errors import ImportRefused
from cellar.interchange.onnx.model_file import parse_model
from cellar.onnx_graph.publishing.safety import LOOPS, SIZED, GraphFacts, check_graph
from cellar.onnx_graph.publishing.shapes import array_of, constant_of, tensor_of, type_of, value_of
from cellar.onnx_graph.publishing.state_pairs import Pair, Value, find_pairs
from cellar.onnx_graph.publishing.trial import Trial, try_graph
from cellar.onnx_graph.runtime import require_runtime
from cellar.onnx_graph.spec import MAX_TENSORS, GraphOptions, HostedGraph, StateSpec, TensorSpec

MAX_NUMBERS = 256 * 1024
"""The most numbers of a step's inputs, of its outputs, and of the state of a row."""


@dataclass(frozen=True, slots=True)
class GraphFile:
    """A file of ONNX, and how its graph is hosted."""

    graph: HostedGraph
    data: bytes


def host_graph(data: bytes, options: GraphOptions, place: str = "model") -> HostedGraph:
    """Return how the graph of a file is hosted. Raise ImportRefused if it cannot be, or if more must be declared."""
    require_runtime(place)
    model = parse_model(data, place)
    facts = check_graph(model, place)
    fixed = {tensor.name for tensor in model.graph.initializer}
    inputs = [value_of(info) for info in model.graph.input if info.name not in fixed]
    outputs = [value_of(info) for info in model.graph.output]
    _check_names(inputs, outputs, place)
    _check_options(options, inputs, outputs)
    constants = [
        constant_of(value, options.constants[value.name]) for value in inputs if value.name in options.constants
    ]
    free = [value for value in inputs if value.name not in options.constants]
    pairs = _pairs(model.graph, options, free, outputs)
    states = _states(pairs, options, free, outputs)
    taken = {state.name for state in states}
    data_inputs = [tensor_of(value, options.shapes) for value in free if value.name not in taken]
    if not data_inputs:
        raise ImportRefused(
            "no input is left for the numbers of a step",
            place=place,
            pointer="/graph",
            expected="an input that is neither a state nor a constant",
            actual=f"states {', '.join(sorted(taken)) or 'none'}",
        )
    answered = _answered(options, states, outputs)
    example = _example(options, data_inputs)
    asked = [*answered, *(state.output for state in states)]
    trial = try_graph(
        data, place, inputs=data_inputs, states=states, constants=constants, outputs=asked, example=example
    )
    return _hosted(facts, data_inputs, constants, states, trial, answered, options, place)


def _hosted(
    facts: GraphFacts,
    inputs: Sequence[TensorSpec],
    constants: Sequence[Any],
    states: Sequence[StateSpec],
    trial: Trial,
    answered: Sequence[str],
    options: GraphOptions,
    place: str,
) -> HostedGraph:
    """Return the graph with what a trial has shown. Raise ImportRefused if that does not fit, or is too large."""
    if options.micro_batches and trial.alone_because is not None:
        raise ImportRefused(
            f"rows cannot share a run: {trial.alone_because}",
            place=place,
            pointer="/graph/micro_batches",
            actual="true",
        )
    together = trial.alone_because is None and options.micro_batches is not False
    because = trial.alone_because or (None if together else "the request says so")
    outputs = [_output(name, trial, index) for index, name in enumerate(answered)]
    _check_states(states, trial, len(answered))
    _check_counts(inputs, outputs, states, place)
    sized = any(not tensor.kind.is_real for tensor in inputs) and facts.operators & SIZED
    return HostedGraph(
        inputs=tuple(inputs),
        constants=tuple(constants),
        states=tuple(states),
        outputs=tuple(outputs),
        micro_batches=together,
        alone_because=because,
        parameter_count=facts.parameter_count,
        bounded=not (facts.operators & LOOPS or sized),
    )


def _check_states(states: Sequence[StateSpec], trial: Trial, first: int) -> None:
    """Raise ImportRefused if the outputs of a trial from `first` on are no next values of the states."""
    for index, state in enumerate(states, first):
        found = (trial.types[index], trial.shapes[index])
        if found != (state.type, state.full_shape(1)):
            raise ImportRefused(
                f"{state.output!r} is no next value of the state {state.name!r}",
                place=state.name,
                pointer="/graph/states",
                expected=f"{state.type} {list(state.full_shape(1))}",
                actual=f"{found[0]} {list(found[1])}",
            )


def _check_counts(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], states: Sequence[StateSpec], place: str
) -> None:
    """Raise ImportRefused if a row has too many numbers, or no outputs."""
    counts = {
        "inputs": sum(tensor.size for tensor in inputs),
        "outputs": sum(tensor.size for tensor in outputs),
        "numbers of state": sum(state.size * state.kind.words for state in states),
    }
    for what, count in counts.items():
        if count > MAX_NUMBERS or (what == "outputs" and not count):
            raise ImportRefused(f"a row has {count} {what}", place=place, expected=f"1 to {MAX_NUMBERS}")


def _output(name: str, trial: Trial, index: int) -> TensorSpec:
    axis = trial.axes[index]
    shape = tuple("batch" if place == axis else size for place, size in enumerate(trial.shapes[index]))
    return TensorSpec.model_validate({"name": name, "type": trial.types[index], "shape": shape})


def _check_names(inputs: Sequence[Value], outputs: Sequence[Value], place: str) -> None:
    for what, values in (("inputs", inputs), ("outputs", outputs)):
        names = [value.name for value in values]
        if len(names) > MAX_TENSORS or len(set(names)) != len(names):
            raise ImportRefused(
                f"the graph has too many {what}, or two of the same name",
                place=place,
                expected=f"at most {MAX_TENSORS}",
                actual=str(len(names)),
            )


def _check_options(options: GraphOptions, inputs: Sequence[Value], outputs: Sequence[Value]) -> None:
    """Raise ImportRefused for a name in the options that the graph does not have."""
    known = {"input": [value.name for value in inputs], "output": [value.name for value in outputs]}
    states = options.states or {}
    for member, what, names in (
        ("states", "input", list(states)),
        ("states", "output", list(states.values())),
        ("shapes", "input", list(options.shapes)),
        ("constants", "input", list(options.constants)),
        ("example", "input", list(options.example)),
        ("outputs", "output", list(options.outputs or ())),
    ):
        for name in names:
            if name not in known[what] or names.count(name) > 1:
                raise ImportRefused(
                    f"the graph has no {what} {name!r}" if name not in known[what] else f"{name!r} is named twice",
                    place=name,
                    pointer=f"/graph/{member}",
                    expected=f"one of {', '.join(known[what])}",
                    actual=name,
                )
    for name in options.constants.keys() & states.keys():
        raise ImportRefused(f"{name!r} is a state and a constant", place=name, pointer="/graph/constants")


def _pairs(graph: Any, options: GraphOptions, free: Sequence[Value], outputs: Sequence[Value]) -> list[Pair]:
    """Return the declared pairs, or those that are found. Raise ImportRefused if it is not clear which there are."""
    if options.states is not None:
        return [
            Pair(value.name, options.states[value.name], "declared") for value in free if value.name in options.states
        ]
    pairs, ambiguous = find_pairs(graph, free, outputs)
    if ambiguous:
        raise ImportRefused(
            f"it is not clear of which outputs {', '.join(ambiguous[:8])} are the earlier values, if they are states",
            place=ambiguous[0],
            pointer="/graph/states",
            expected="the output that is the next value of each state",
            actual=f"outputs {', '.join(value.name for value in outputs[:8])}",
            remedy='declare them: graph={"states": {"h_in": "h_out"}}, or {"states": {}} if there are none',
        )
    return pairs


def _states(
    pairs: Sequence[Pair], options: GraphOptions, free: Sequence[Value], outputs: Sequence[Value]
) -> list[StateSpec]:
    """Return the states with their shapes. Raise ImportRefused."""
    given, made = ({value.name: value for value in values} for values in (free, outputs))
    found = []
    for pair in pairs:
        value, after = given[pair.input], made[pair.output]
        if value.type != after.type or (value.shape and after.shape and len(value.shape) != len(after.shape)):
            raise ImportRefused(
                f"{pair.output!r} is no next value of the state {pair.input!r}",
                place=pair.input,
                pointer="/graph/states",
                expected=f"{type_of(value)} {list(value.shape or ())}",
                actual=f"{type_of(after)} {list(after.shape or ())}",
            )
        tensor = tensor_of(value, options.shapes, after)
        found.append(
            StateSpec(name=tensor.name, type=tensor.type, shape=tensor.shape, output=pair.output, found=pair.found)
        )
    return found


def _answered(options: GraphOptions, states: Sequence[StateSpec], outputs: Sequence[Value]) -> list[str]:
    """Return the outputs that a step answers: the declared ones, else those that are no states, else all."""
    if options.outputs is not None:
        return list(options.outputs)
    taken = {state.output for state in states}
    return [value.name for value in outputs if value.name not in taken] or [value.name for value in outputs]


def _example(options: GraphOptions, inputs: Sequence[TensorSpec]) -> Mapping[str, Any]:
    """Return the example of each input for which there is one, as nested lists. Raise ImportRefused."""
    found = {}
    for tensor in inputs:
        if tensor.name in options.example:
            array = array_of(options.example[tensor.name], tensor.type, tensor.name, f"/graph/example/{tensor.name}")
            if array.size != tensor.size:
                raise ImportRefused(
                    f"the example of {tensor.name!r} has another size",
                    place=tensor.name,
                    pointer=f"/graph/example/{tensor.name}",
                    expected=f"{tensor.size} numbers",
                    actual=str(array.size),
                )
            found[tensor.name] = array.tolist()
    return found
