"""Names in paths: each is found again in the path that a client writes, and no path stands for two."""

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cellar.api.http.path_segments import name_in_target, name_of, routed_path, session_path
from cellar.errors import MalformedRequest
from tests.device_names import NAMES, REFUSED

SAFE = ("", ":", ":@", "!$&'()*+,;=:@~", '"<>[]^`{|}\\')


@given(NAMES, st.sampled_from(SAFE))
def test_a_name_is_found_again(name: str, safe: str) -> None:
    segment = quote(name, safe=safe)
    path = routed_path(f"/v1/sessions/{segment}/step")
    *before, found, after = path.split("/")
    assert (before, after) == (["", "v1", "sessions"], "step")
    assert name_of(found) == name
    if "%" in segment:
        assert name_in_target(segment) == name


@given(NAMES, NAMES)
def test_a_location_leads_to_its_name(name: str, other: str) -> None:
    *_, found, _, last = routed_path(session_path(name, "snapshots", other)).split("/")
    assert (name_of(found), name_of(last)) == (name, other)


@given(st.text())
@example("%0A")
def test_a_segment_is_one(text: str) -> None:
    try:
        found = routed_path("/a/" + text.replace("/", ""))
    except MalformedRequest:
        return
    assert found.count("/") == 2
    assert "\n" not in found  # `$` of a pattern matches before it
    assert found == "/a/" or name_of(found[3:])


@pytest.mark.parametrize("segment", ["%", "%2", "%zz", "a%FF", "%C0%AF", "%ED%A0%80", "%80", "\u00e4%20"])
def test_what_is_not_utf_8_in_percent_encoding(segment: str) -> None:
    assert name_in_target(segment) is None
    with pytest.raises(MalformedRequest):
        routed_path(f"/v1/sessions/{segment}")


@pytest.mark.parametrize("name", [name for name in REFUSED if len(name) < 1000])
def test_what_is_no_name_is_not_found(name: str) -> None:
    assert name_in_target("".join(f"%{byte:02X}" for byte in name.encode(errors="surrogatepass"))) is None
