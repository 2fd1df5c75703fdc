"""Which type and encoding an answer gets."""

import pytest
from starlette.datastructures import Headers

from cellar.api.http.negotiation import accepts_gzip, answer_type
from cellar.errors import NotAcceptable

JSON, NPY = "application/json", "application/x-npy"


def headers(name: str, *values: str) -> Headers:
    return Headers(raw=[(name.encode(), value.encode("latin-1")) for value in values])


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ((), JSON),
        (("",), JSON),
        (("*/*",), JSON),
        (("application/*",), JSON),
        ((NPY,), NPY),
        (("Application/X-NPY ; v=1",), NPY),
        ((f"{NPY}, */*",), NPY),
        ((f"*/*, {NPY}",), NPY),
        ((f"{NPY};q=0.5, {JSON}",), JSON),
        ((f"{NPY};q=0.5, {JSON};q=0.4",), NPY),
        ((f"{NPY};q=0.5, */*;q=0.6",), JSON),
        ((f"{JSON};q=0, */*",), NPY),
        ((f"{JSON}, {NPY}",), JSON),
        ((f"{NPY}, {JSON}",), JSON),
        (("text/html", NPY), NPY),
        ((f"{JSON};q=2, {NPY};q=0.1",), NPY),
    ],
)
def test_the_type_most_wanted_is_answered(accept: tuple[str, ...], expected: str) -> None:
    assert answer_type(headers("accept", *accept), (JSON, NPY)) == expected


@pytest.mark.parametrize("accept", ["text/html", "*/*;q=0", f"{NPY};q=0, text/*", "x", ";q=1", "application/json;q=x"])
def test_where_nothing_fits_nothing_is_answered(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="application/json or application/x-npy"):
        answer_type(headers("accept", accept), (JSON, NPY))


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.1", True),
        ("*", True),
        ("x-gzip", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("gzip2", False),
    ],
)
def test_gzip_is_for_those_who_accept_it(accept: str, expected: bool) -> None:
    assert accepts_gzip(headers("accept-encoding", accept)) is expected
