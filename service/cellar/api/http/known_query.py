"""Query parameters that a route does not have are refused: whoever sends one means something by it."""

from collections.abc import Collection

from starlette.datastructures import QueryParams

from cellar.api.errors.validation_errors import shown
from cellar.errors import InvalidParameter
from cellar.suggestions import closest


def check_query(sent: QueryParams, known: Collection[str]) -> None:
    """Raise InvalidParameter for a parameter that is not among those known, or that stands twice."""
    for name in sent:
        if name not in known:
            near = closest(name, known)
            hint = "" if near is None else f": did you mean {near}?"
            raise InvalidParameter(
                f"query parameter {name}: there is no such parameter{hint}",
                location="query",
                parameter=name,
                expected=f"one of {', '.join(sorted(known))}" if known else "no query",
                actual=shown(name),
            )
        if len(sent.getlist(name)) > 1:
            raise InvalidParameter(
                f"query parameter {name}: it stands {len(sent.getlist(name))} times",
                location="query",
                parameter=name,
                expected="one value",
            )
