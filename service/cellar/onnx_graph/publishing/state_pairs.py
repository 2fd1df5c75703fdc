"""Finds which outputs of a graph are the next values of which inputs.

Evidence, in this order: names (`h0` and `hn`, `past_k` and `present_k`), a recurrent operator that begins with the one
and ends with the other, and, if there is no such pair, being the only two of a type and shape. In every case the types
and shapes must fit, and the output must be computed from the input. A pair that is not the only possible one is no
pair: its input is ambiguous, unless it is the last one and must be data.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Found = Literal["declared", "name", "ancestry", "shape"]

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_MARKS = frozenset(
    {"cur", "current", "final", "first", "in", "init", "initial", "input", "last", "n", "new", "next", "out", "output"}
    | {"past", "pre", "present", "prev", "previous", "t", "tm"}
)
"""Words that tell the old value of a state from the new one."""
_ENDS = ("n", "t", "in", "out", "new", "next", "prev")
"""Marks that stand at the end of a word: `hn`, `ct`."""
_SHORT = frozenset({"h", "c", "s", "state", "hidden", "cell", "carry", "memory", "mem", "ctx", "context", "cache"})

_SHAPING = frozenset(
    {"Cast", "Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape"}
    | {"Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}
)
"""Operators that move a state and do not compute with it."""
_INITIAL = {"RNN": {5: 1}, "GRU": {5: 1}, "LSTM": {5: 1, 6: 2}}
"""For each recurrent operator: which output is the final value of which input."""


@dataclass(frozen=True, slots=True)
class Value:
    """An input or output of a graph."""

    name: str
    type: int
    """The number of ONNX."""
    shape: tuple[int | str | None, ...] | None
    """Sizes, names of sizes, None for a size that is not told; None as a whole if the file does not tell."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A state: an input and an output."""

    input: str
    output: str
    found: Found


def find_pairs(graph: Any, inputs: Sequence[Value], outputs: Sequence[Value]) -> tuple[list[Pair], list[str]]:
    """Return the pairs that are found, in the order of inputs, and the inputs that may be states of several outputs."""
    ancestry = Ancestry(graph)
    possible = {
        (given.name, made.name)
        for given in inputs
        for made in outputs
        if _fits(given, made) and given.name in ancestry.sources(made.name)
    }
    pairs: list[Pair] = []
    for found, agrees in _evidence(ancestry, inputs, outputs):
        taken = {pair.input for pair in pairs} | {pair.output for pair in pairs}
        left = [pair for pair in possible if not taken & set(pair)]
        chosen = _only([pair for pair in left if agrees(*pair)])
        if found != "shape" or (not pairs and _leave_data(len(chosen), inputs, outputs)):
            pairs += [Pair(*pair, found) for pair in chosen]
    taken = {pair.input for pair in pairs} | {pair.output for pair in pairs}
    left = [pair for pair in possible if not taken & set(pair)]
    ambiguous = {given for given, _ in left} if _leave_data(len(pairs) + 1, inputs, outputs) else set()
    order = [value.name for value in inputs]
    return sorted(pairs, key=lambda pair: order.index(pair.input)), sorted(ambiguous, key=order.index)


def _evidence(
    ancestry: "Ancestry", inputs: Sequence[Value], outputs: Sequence[Value]
) -> Iterator[tuple[Found, Callable[[str, str], bool]]]:
    names = [value.name for value in (*inputs, *outputs)]
    for digits in (True, False):
        stems = {name: stem(name, digits=digits) for name in names}
        # mypy infers no lambda with a default
        yield "name", lambda given, made, stems=stems: bool(stems[given]) and stems[given] == stems[made]  # type: ignore[misc]
    yield "ancestry", ancestry.are_of_one_operator
    yield "shape", lambda _given, _made: True


def stem(name: str, *, digits: bool = False) -> str:
    """Return a name without what tells an old value from a new one; with `digits`, numbers are kept.

    >>> stem("h_0"), stem("hn"), stem("stateN"), stem("past.key"), stem("present.key"), stem("hidden_out")
    ('h', 'h', 'state', 'key', 'key', 'hidden')
    >>> stem("h1_in", digits=True), stem("h1_out", digits=True)
    ('h 1', 'h 1')
    """
    words = [word.lower() for word in _WORD.findall(name)]
    kept = [word for word in words if word not in _MARKS and (digits or not word.isdigit())]
    kept = kept or words[:1]
    if kept and kept[-1] not in _SHORT:
        for end in _ENDS:
            if kept[-1].removesuffix(end) in _SHORT:
                kept[-1] = kept[-1].removesuffix(end)
                break
    return " ".join(kept)


def _fits(given: Value, made: Value) -> bool:
    """Return whether an output may be the next value of an input, by type and shape."""
    if given.type != made.type or given.shape is None:
        return False
    if made.shape is None:
        return True
    return len(given.shape) == len(made.shape) and all(
        not (isinstance(a, int) and isinstance(b, int)) or a == b for a, b in zip(given.shape, made.shape, strict=True)
    )


def _only(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the pairs of which neither side is in another pair."""
    counts: defaultdict[tuple[int, str], int] = defaultdict(int)
    for given, made in pairs:
        counts[0, given] += 1
        counts[1, made] += 1
    return [(given, made) for given, made in pairs if counts[0, given] == 1 and counts[1, made] == 1]


def _leave_data(pairs: int, inputs: Sequence[Value], outputs: Sequence[Value]) -> bool:
    """Return whether an input and an output remain beside a number of pairs for data."""
    return min(len(inputs), len(outputs)) > pairs


class Ancestry:
    """Which inputs of a graph its values are computed from."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._reads: dict[str, tuple[str, ...]] = {}
        self._makers: dict[str, Any] = {}
        for node in graph.node:
            reads = tuple(_read_by(node))
            for name in node.output:
                self._reads[name] = reads
                self._makers[name] = node
        self._inputs = {value.name for value in graph.input}
        self._known: dict[str, frozenset[str]] = {}

    def sources(self, name: str) -> frozenset[str]:
        """Return the inputs of the graph from which a value is computed."""
        if name not in self._known:
            seen: set[str] = set()
            open_names = [name]
            while open_names:
                each = open_names.pop()
                if each not in seen:
                    seen.add(each)
                    open_names += self._reads.get(each, ())
            self._known[name] = frozenset(seen & self._inputs)
        return self._known[name]

    def are_of_one_operator(self, given: str, made: str) -> bool:
        """Return whether a recurrent operator begins with the input and ends with the output, both only moved."""
        return bool(self._begun_with().get(given, frozenset()) & self._ended_with(made))

    def _begun_with(self) -> Mapping[str, frozenset[tuple[int, int]]]:
        """Return for each input of the graph the operators, as node and output, that begin with it."""
        found: defaultdict[str, set[tuple[int, int]]] = defaultdict(set)
        for index, node in enumerate(self._graph.node):
            for place, output in _INITIAL.get(node.op_type, {}).items():
                if place < len(node.input):
                    for source in self._moved_from(node.input[place]) & self._inputs:
                        found[source].add((index, output))
        return {name: frozenset(places) for name, places in found.items()}

    def _ended_with(self, made: str) -> frozenset[tuple[int, int]]:
        """Return the operators, as node and output, whose final value an output of the graph is."""
        names = self._moved_from(made)
        return frozenset(
            (index, place)
            for index, node in enumerate(self._graph.node)
            for place in _INITIAL.get(node.op_type, {}).values()
            if place < len(node.output) and node.output[place] in names
        )

    def _moved_from(self, name: str) -> set[str]:
        """Return a value and those of which it is a part, a whole, or another shape."""
        seen: set[str] = set()
        open_names = [name]
        while open_names:
            each = open_names.pop()
            if each and each not in seen:
                seen.add(each)
                maker = self._makers.get(each)
                if maker is not None and maker.op_type in _SHAPING:
                    open_names += maker.input if maker.op_type == "Concat" else maker.input[:1]
        return seen


def _read_by(node: Any) -> Iterator[str]:
    """Yield the values that a node reads, itself or in graphs within it."""
    open_nodes = [node]
    while open_nodes:
        each = open_nodes.pop()
        yield from each.input
        for attribute in each.attribute:
            graphs = [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
            for graph in graphs:
                open_nodes += graph.node
                yield from (value.name for value in graph.output)
