"""Query parameters that a route does not have are refused: whoever sends one means something by it."""

from collections.abc import Collection
from difflib import get_close_matches

from starlette.datastructures import QueryParams

from cellar.errors import InvalidParameter


def check_query(sent: QueryParams, known: Collection[str]) -> None:
    """Raise InvalidParameter for a parameter that is not among those known, or that stands twice."""
    for name in sent:
        if name not in known:
            close = get_close_matches(name, list(known), n=1)
            hint = f": did you mean {close[0]}?" if close else ""
            raise InvalidParameter(
                f"query parameter {name}: there is no such parameter{hint}",
                location="query",
                parameter=name,
                expected=f"one of {', '.join(sorted(known))}" if known else "no query",
            )
        if len(sent.getlist(name)) > 1:
            raise InvalidParameter(
                f"query parameter {name}: it stands {len(sent.getlist(name))} times",
                location="query",
                parameter=name,
                expected="one value",
            )
