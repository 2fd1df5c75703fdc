"""Infers the order of modules from the names and shapes of a state dict, if only one order is possible.

Modules without tensors, such as activations, are not in a state dict. So an order is found only where none can be
missing: numbers of a Sequential without a gap, and nothing behind a Linear layer but the end.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from cellar.errors import ImportRefused
from cellar.interchange.torch.modules import Shape, TorchModule, parse_items, refused
from cellar.interchange.torch.resolve import by_prefix, describe

MOST_UNITS = 8
"""Modules whose order is looked for by their sizes: at most 40,320 orders."""


def infer(shapes: Mapping[str, Shape]) -> tuple[TorchModule, ...]:
    """Return the modules of a state dict in their order. Raise ImportRefused with a remedy if several are possible."""
    groups = by_prefix(shapes)
    if not groups:
        raise refused("there are no tensors", "weights", expected="a state dict", actual="nothing", pointer="/weights")
    modules = {prefix: describe(parse_items([prefix or "."])[0], groups[prefix]) for prefix in groups}
    units = _units(list(groups))
    order = [prefix for unit in _ordered(units, modules) for prefix in unit]
    for before, after in pairwise(order):
        if modules[before].type == "Linear" and modules[after].type != "LayerNorm":
            raise _ask(order, f"whether a function stands between {before!r} and {after!r} is not in their tensors")
    return tuple(modules[prefix] for prefix in order)


def _units(prefixes: Sequence[str]) -> list[list[str]]:
    """Return the groups of numbered modules (`net.0`, `net.1`), and each other module alone. Raise ImportRefused."""
    numbered: dict[str, list[int]] = {}
    others = []
    for prefix in prefixes:
        parent, _, last = prefix.rpartition(".")
        if last.isdecimal() and len(last) < 5:
            numbered.setdefault(parent, []).append(int(last))
        else:
            others.append([prefix])
    units = []
    for parent, numbers in numbered.items():
        unit = [f"{parent}.{number}" if parent else str(number) for number in sorted(numbers)]
        if sorted(numbers) != list(range(len(numbers))):
            raise _ask(unit, f"modules without tensors stand among those of {parent or 'the Sequential'!r}")
        units.append(unit)
    return units + others


def _ordered(units: Sequence[list[str]], modules: Mapping[str, TorchModule]) -> list[list[str]]:
    """Return the only order in which each unit reads as many numbers as the one before it answers."""
    if len(units) == 1:
        return list(units)
    if len(units) > MOST_UNITS:
        raise _ask([p for unit in units for p in unit], "there are too many modules to find their order")
    found = []
    for order in _orders([], list(units), modules):
        found.append(order)
        if len(found) > 1:
            break
    if len(found) == 1:
        return found[0]
    reason = "several orders fit their sizes" if found else "no order of all modules fits their sizes"
    raise _ask([prefix for unit in units for prefix in unit], reason)


def _orders(
    begun: list[list[str]], rest: list[list[str]], modules: Mapping[str, TorchModule]
) -> Iterator[list[list[str]]]:
    """Yield the orders that continue those that are begun."""
    if not rest:
        yield begun
    for unit in rest:
        first = modules[unit[0]]
        if begun and (first.type == "Embedding" or modules[begun[-1][-1]].out_size != first.in_size):
            continue
        yield from _orders([*begun, unit], [each for each in rest if each is not unit], modules)


def _ask(order: Sequence[str], reason: str) -> ImportRefused:
    """Return the error that asks for the order."""
    names = [prefix or "." for prefix in order]
    return refused(
        f"the order of the modules is not known: {reason}",
        names[0],
        expected="the modules in the order in which they are called, with the functions between them",
        actual=", ".join(names[:32]),
        remedy=f"send `modules`, such as {','.join(names[:32])} with tanh, relu and the like where they stand",
    )
