"""Layouts of states: which version can take over the state of another one."""

import pytest

from cellar.sessions.values.model_protocol import difference, layout_of
from tests.sessions.exact import Place, Sizes

FLOATS = Sizes(states=(Place(0, "h", 2, 0, "gru"), Place(1, "c", 1, 2, "onnx.float32")), state_size=3)


def test_a_layout_names_each_state_with_its_size_and_a_type_that_is_not_float32() -> None:
    whole = Sizes(states=(Place(0, "h", 2, 0, "onnx.float32"), Place(0, "count", 2, 2, "onnx.int64")))
    assert layout_of(FLOATS) == "0.h:2,1.c:1"
    assert layout_of(whole) == "0.h:2,0.count:2:int64"
    assert layout_of(Sizes(states=())) == ""


@pytest.mark.parametrize(
    ("other", "part"),
    [
        (Sizes(states=FLOATS.states, state_size=3), None),
        (Sizes(states=FLOATS.states, in_size=2), "inputs"),
        (Sizes(states=FLOATS.states, out_size=2), "outputs"),
        (Sizes(states=FLOATS.states, whole_sequences=True), "kind of sequences"),
        (Sizes(states=FLOATS.states[:1]), "states"),
        (Sizes(states=(FLOATS.states[0], Place(1, "c", 1, 2, "onnx.int32"))), "states"),
    ],
)
def test_a_network_takes_over_a_state_with_the_same_shapes_and_types(other: Sizes, part: str | None) -> None:
    found = difference(FLOATS, other)
    assert (found and found[0]) == part
