"""A head that has the form of one that was taken is read to what a parser makes of it."""

from dataclasses import replace
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellar.api.decoding.steps.step_body import NO_QUERY
from cellar.api.fast_http.head_template import MOST_HEAD_BYTES, HeadTemplate, form_of
from cellar.api.fast_http.request_head import Terms
from cellar.ports import ANYBODY, Caller
from tests.device_names import NAMES

MOST_BYTES = 1 << 20

TERMS = Terms("step", "application/json", "application/json", NO_QUERY, None, ANYBODY)

HEAD = (
    b"POST /v1/sessions/%s/step HTTP/1.1\r\nHost: x.y+\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n"
)

KEYED = HEAD.replace(b"Host", b"idempotency-Key: %s\r\nHost")

KEYS = st.from_regex(r"[!-~]([ -~]{0,253}[!-~])?", fullmatch=True)


def form(data: bytes = HEAD % (b"s", 15) + b"{", *, keyed: bool = False) -> HeadTemplate:
    """Return the form of a head."""
    found = form_of(data, keyed=keyed)
    assert found is not None
    return HeadTemplate(found, TERMS, MOST_BYTES, 0)


def encoded(session: str) -> bytes:
    """Return a name as a segment of a path."""
    return quote(session, safe=":").encode()


@given(NAMES, st.binary(max_size=300))
def test_session_and_body_are_found(session: str, body: bytes) -> None:
    assert form().split(HEAD % (encoded(session), len(body)) + body) == (session, None, TERMS, None, body)


@given(NAMES, KEYS, st.binary(max_size=300))
def test_session_key_and_body_are_found(session: str, key: str, body: bytes) -> None:
    one = form(KEYED % (b"s", b"k", 15), keyed=True)
    assert one.split(KEYED % (encoded(session), key.encode(), len(body)) + body) == (session, key, TERMS, None, body)


CALLERS = {text: Caller(text, frozenset({"step"})) for text in ("cellar_0_a", "e30.e30.x", "b~+/==")}

SHOWN = HEAD.replace(b"Host", b"authorization: BEARER %s\r\nHost")


@given(NAMES, st.sampled_from(list(CALLERS)), st.binary(max_size=300))
def test_the_caller_is_found(session: str, token: str, body: bytes) -> None:
    found = form_of(SHOWN % (b"s", b"t", 15) + b"{", keyed=False, with_token=True)
    assert found is not None
    one = HeadTemplate(found, TERMS, MOST_BYTES, 0, CALLERS.get)
    expected = (session, None, replace(TERMS, caller=CALLERS[token]), None, body)
    for _ in range(2):
        assert one.split(SHOWN % (encoded(session), token.encode(), len(body)) + body) == expected
    for refused in (b"unknown", b"cellar_0_a ", b" cellar_0_a,", b"\xe9", b""):
        assert one.split(SHOWN % (b"s", refused, 2) + b"{}") is None


def test_credentials_that_are_written_in_another_way_are_no_part_of_a_form() -> None:
    """They would be taken for those of the next request."""
    for text in (SHOWN.replace(b"BEARER", b"Basic"), HEAD, SHOWN.replace(b"%s\r\nHost", b"%s \r\nHost")):
        data = text % ((b"s", b"t", 2) if text.count(b"%") == 3 else (b"s", 2)) + b"{}"
        assert form_of(data, keyed=False, with_token=True) is None


@given(NAMES, KEYS, st.integers(0, 9_999_999))
def test_all_heads_of_a_form_have_it(session: str, key: str, size: int) -> None:
    """What a client puts into the holes never becomes part of the form."""
    assert form_of(HEAD % (encoded(session), size), keyed=False) == form_of(HEAD % (b"s", 15), keyed=False)
    keyed = KEYED % (encoded(session), key.encode(), size)
    assert form_of(keyed, keyed=True) == form_of(KEYED % (b"s", b"k", 1), keyed=True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEAD % (b"s", 2),
        HEAD % (b"s", 2) + b"{",
        HEAD % (b"s", 2) + b"{} ",
        (HEAD % (b"s", 2) + b"{}") * 2,
        HEAD % (b"s", -2) + b"{}",
        HEAD % (b"s", 65537) + b" " * 65537,
        HEAD.replace(b"%d", b"%08d") % (b"s", 2) + b"{}",
        HEAD % (b"s/x", 2) + b"{}",
        HEAD % (b"..", 2) + b"{}",
        HEAD % (b"%2E", 2) + b"{}",
        HEAD % (b"%", 2) + b"{}",
        HEAD % (b"%f", 2) + b"{}",
        HEAD % (b"%zz", 2) + b"{}",
        HEAD % (b"%0A", 2) + b"{}",
        HEAD % (b"%FF", 2) + b"{}",
        HEAD % (b"%C0%AF", 2) + b"{}",
        HEAD % (b"%ED%A0%80", 2) + b"{}",
        HEAD % (b"%E2%80%A8", 2) + b"{}",
        HEAD % ("\u00e4".encode(), 2) + b"{}",
        HEAD % (b"s?x", 2) + b"{}",
        HEAD % (b"s" * 257, 2) + b"{}",
        HEAD % (b"%61" * 257, 2) + b"{}",
        b" " + HEAD % (b"s", 2) + b"{}",
        HEAD.replace(b"POST", b"PUT") % (b"s", 2) + b"{}",
        HEAD.replace(b"1.1", b"1.0") % (b"s", 2) + b"{}",
        HEAD.replace(b"x.y+", b"x.yy") % (b"s", 2) + b"{}",
        HEAD.replace(b"x.y+", b"x!y+") % (b"s", 2) + b"{}",
        HEAD.replace(b"Host", b"host") % (b"s", 2) + b"{}",
        HEAD.replace(b"Host", b"Expect: 100-continue\r\nHost") % (b"s", 2) + b"{}",
        HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") % (b"s", 2) + b"{}",
        KEYED % (b"s", b"k", 2) + b"{}",
    ],
)
def test_anything_else_is_for_the_parser(data: bytes) -> None:
    assert form().split(data) is None


@pytest.mark.parametrize("key", [b"", b" k", b"k ", b"k\t", b"\xe9", b"k" * 256, b"k\r\nHost: other"])
def test_a_key_that_a_parser_would_change_or_refuse_is_for_the_parser(key: bytes) -> None:
    one = form(KEYED % (b"s", b"k", 2), keyed=True)
    assert one.split(KEYED % (b"s", b"k", 2) + b"{}") is not None
    assert one.split(KEYED % (b"s", key, 2) + b"{}") is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        (HEAD % (b"s", 2))[:-2],
        (HEAD % (b"s", 2)).replace(b"\r\n", b"\n") + b"{}",
        b"\r\n" + HEAD % (b"s", 2) + b"{}",
        HEAD.replace(b"%d", b"%d ") % (b"s", 2) + b"{}",
        HEAD.replace(b"Host", b"User-Agent: %s\r\nHost" % (b"a" * MOST_HEAD_BYTES)) % (b"s", 2) + b"{}",
        KEYED % (b"s", b"k", 2) + b"{}",
    ],
)
def test_a_head_that_is_written_in_another_way_has_no_form(data: bytes) -> None:
    assert form_of(data, keyed=False) is None


def test_a_key_that_is_written_in_another_way_is_no_part_of_the_form() -> None:
    """It would be taken for that of the next request."""
    assert form_of(KEYED % (b"s", b"k ", 2) + b"{}", keyed=True) is None
    assert form_of(HEAD % (b"s", 2) + b"{}", keyed=True) is None
