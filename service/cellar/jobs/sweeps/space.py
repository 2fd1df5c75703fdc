"""The values that a sweep tries: all combinations, or samples that a seed determines."""

import copy
import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cellar.errors import InvalidInput

MOST_TRIALS = 1000
"""Most parameter sets of a sweep."""

DIGITS = 6
"""Significant digits of a sampled number, so that it can be read and sent again."""

FIXED = ("data", "model", "publish")
"""Fields of the job that all trials have in common, so that their losses can be compared."""

FIXED_OF_DATASETS = ("data.dataset", "data.targets", "model", "publish")
"""The same for a job on a dataset: its inputs and its horizon can be varied."""

Parameters = Mapping[str, Any]
"""Values or ranges by the name of a field: a list, or a mapping with `min`, `max`, `scale`, `count` and `integer`."""


def check_names(parameters: Parameters, fixed: tuple[str, ...] = FIXED) -> None:
    """Raise InvalidInput for a field that is the same in all trials, or is named twice."""
    found: dict[tuple[str, ...], str] = {}
    for name in parameters:
        path = path_of(name)
        other = found.setdefault(tuple(path), name)
        if other != name:
            raise InvalidInput(
                "a field has two names here",
                pointer=_pointer(name),
                expected=f"only one of {other} and {name}",
                actual="both",
            )
        if any(path[: len(common)] == common[: len(path)] for common in map(path_of, fixed)):
            raise InvalidInput(
                "all trials of this sweep have this field in common",
                pointer=_pointer(name),
                expected=f"another field than {', '.join(fixed)}",
                actual=name,
            )


def check_ranges(parameters: Parameters) -> None:
    """Raise InvalidInput for a range of whole numbers in which there is none."""
    for name, given in parameters.items():
        if isinstance(given, list) or not given.get("integer"):
            continue
        if math.ceil(given["min"]) > math.floor(given["max"]):
            raise InvalidInput(
                "there is no whole number in this range",
                pointer=_pointer(name),
                expected="min and max with a whole number between them",
                actual=f"min {given['min']:g} and max {given['max']:g}",
            )


def grid(parameters: Parameters) -> list[dict[str, Any]]:
    """Return all combinations, the last parameter changing first. Raise InvalidInput for more than MOST_TRIALS.

    >>> grid({"seed": [1, 2], "optimiser.learning_rate": {"min": 0.01, "max": 1, "scale": "log", "count": 2}})[1]
    {'seed': 1, 'optimiser.learning_rate': 1.0}
    """
    values = {name: _listed(name, given) for name, given in parameters.items()}
    count = math.prod(map(len, values.values()))
    if count > MOST_TRIALS:
        raise InvalidInput(
            "the grid has too many points: send fewer values, or search at random",
            pointer="/parameters",
            expected=f"at most {MOST_TRIALS} combinations",
            actual=str(count),
        )
    return [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]


def sample(parameters: Parameters, seed: int, number: int) -> dict[str, Any]:
    """Return the parameters of a trial, which its number and the seed determine."""
    random = np.random.default_rng([seed, number])
    return {name: _drawn(given, float(random.random())) for name, given in parameters.items()}


def _pointer(name: str) -> str:
    """Return the place of a parameter in the request, as a JSON pointer."""
    return f"/parameters/{name.replace('~', '~0').replace('/', '~1')}"


def _listed(name: str, given: Any) -> list[Any]:
    if isinstance(given, list):
        return given
    if given.get("count") is None:
        raise InvalidInput(
            "a range has no values of a grid without their number",
            pointer=f"{_pointer(name)}/count",
            expected="a list of values, or a range with `count`",
            actual="a range without it",
        )
    count = given["count"]
    return [_drawn(given, 0.5 if count == 1 else index / (count - 1)) for index in range(count)]


def _drawn(given: Any, share: float) -> Any:
    """Return the value at a share from 0 to 1 of a list or a range."""
    if isinstance(given, list):
        return given[min(int(share * len(given)), len(given) - 1)]
    least, most = given["min"], given["max"]
    if given.get("scale") == "log":
        value = math.exp(math.log(least) + share * (math.log(most) - math.log(least)))
    else:
        value = least + share * (most - least)
    if given.get("integer"):
        return max(math.ceil(least), min(math.floor(most), round(value)))
    return max(float(least), min(float(most), float(f"{value:.{DIGITS}g}")))


def path_of(name: str) -> list[str]:
    """Return the path that a name has, which is a JSON pointer or has dots.

    >>> path_of("optimiser.learning_rate"), path_of("/layers/0/size~1s")
    (['optimiser', 'learning_rate'], ['layers', '0', 'size/s'])
    """
    if not name.startswith("/"):
        return name.split(".")
    return [part.replace("~1", "/").replace("~0", "~") for part in name[1:].split("/")]


def applied(template: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request with these values at their places. Raise InvalidInput for a place that cannot be.

    A value inside another one is set after that, in whatever order they stand.

    >>> applied({"optimiser": {"type": "adam"}}, {"optimiser.learning_rate": 0.1})
    {'optimiser': {'type': 'adam', 'learning_rate': 0.1}}
    >>> applied({}, {"optimiser.learning_rate": 0.1, "optimiser": {"type": "sgd"}})
    {'optimiser': {'type': 'sgd', 'learning_rate': 0.1}}
    """
    found = copy.deepcopy(dict(template))
    for name in sorted(values, key=lambda name: len(path_of(name))):
        value = copy.deepcopy(values[name])
        *parents, last = path_of(name)
        place: Any = found
        try:
            for part in parents:
                place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
            place[int(last) if isinstance(place, list) else last] = value
        except (AttributeError, IndexError, TypeError, ValueError):
            raise InvalidInput(
                "there is no such place in the job",
                pointer=_pointer(name),
                expected="the name of a field, as optimiser.learning_rate or /layers/0/hidden_size",
                actual=name,
            ) from None
    return found
