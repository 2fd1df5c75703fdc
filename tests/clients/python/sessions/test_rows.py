"""Rows that are reset inside a sequence, end early or take no part, over HTTP and over a stream."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from cellar_client import Client
from cellar_client.arrays.inputs import from_lists
from cellar_client.sessions.rows import ALL, Rows
from tests.clients.python.sessions.test_session import outputs

INPUTS = np.arange(1, 9).reshape(4, 2, 1)


def test_some_rows_are_stepped(client: Client) -> None:
    session = client.session(model="exact", batch_size=3)
    assert session.step([[5], [6]], rows=[2, 0]).output.tolist() == [outputs(5), outputs(6)]
    with session.stream() as stream:
        assert stream.step([[7]], rows=[2]).output.tolist() == [outputs(5, 7)[1:]]
        stream.send_sequence([[[1], [2]], [[3], [4]]], rows=[0, 1], lengths=[1, 2])
        found = stream.receive().output[:, :, 0]
    first = outputs(6, 1)[1]
    assert found[0].tolist() == [first, outputs(2)[0]]
    assert np.isnan(found[1, 0])
    assert found[1, 1] == outputs(2, 4)[1]


def test_rows_end_and_begin_inside_a_sequence(client: Client) -> None:
    resets = [[False, False], [False, False], [False, True], [True, False]]
    over_http = client.session(model="exact", batch_size=2, log=10, events=10)
    found = over_http.sequence(INPUTS, resets, lengths=[4, 3]).output[:, :, 0]
    assert found[:, 0].tolist() == [*outputs(1, 3, 5), *outputs(7)]
    assert found[:3, 1].tolist() == [*outputs(2, 4), *outputs(6)]
    assert np.isnan(found[3, 1])
    with client.session(model="exact", batch_size=2).stream() as stream:
        stream.send_sequence(INPUTS, resets, lengths=[4, 3])
        np.testing.assert_array_equal(stream.receive().output[:, :, 0], found)
    logged = list(over_http.log())[-1]
    assert logged.inputs is not None
    assert np.isnan(logged.inputs[3, 1])
    seen = next(event for event in over_http.events(kept=True) if event.kind == "sequence")
    assert seen.outputs is not None
    np.testing.assert_array_equal(seen.outputs[:, :, 0], found)


def test_rows_are_in_the_state_files(client: Client, tmp_path: Path) -> None:
    session = client.session(model="exact", batch_size=2, state=tmp_path / "session")
    expected = session.sequence(INPUTS, lengths=[1, 4]).output
    again = client.session(session.name, state=tmp_path / "session")
    assert again.recovered is not None
    np.testing.assert_array_equal(again.recovered.output, expected)
    ended = client.session(model="exact", batch_size=2).stream(state=tmp_path / "stream")
    with closing(ended.__enter__()) as stream:
        stream.send([[1]], rows=[1])
        stream.send([[2], [3]], reset=[True, False])
        with client.session(stream.core.session).stream(state=tmp_path / "stream") as continued:
            found = [continued.receive().output.ravel().tolist() for _ in range(continued.waiting)]
    assert found == [outputs(1), [*outputs(2), *outputs(1, 3)[1:]]]


@pytest.mark.parametrize(
    ("rows", "members", "parameters"),
    [
        (Rows.of(False), {}, {}),
        (Rows.of(True), {"reset": True}, {"reset": "true"}),
        (Rows.of(np.array([True, False])), {"reset": [True, False]}, {"reset": "10"}),
        (Rows.of([[True], [False]]), {"reset": [[True], [False]]}, {"reset": "1,0"}),
        (
            Rows.of(False, np.array([2, 0]), (1, 2)),
            {"rows": [2, 0], "lengths": [1, 2]},
            {"rows": "2,0", "lengths": "1,2"},
        ),
    ],
)
def test_the_forms_of_rows(rows: Rows, members: dict[str, object], parameters: dict[str, str]) -> None:
    assert (rows.members(), rows.params()) == (members, parameters)
    # the test's stand-in or text for it
    assert Rows.of(members.get("reset", False), members.get("rows"), members.get("lengths")) == rows  # type: ignore[arg-type]


def test_rows_in_frames() -> None:
    assert ALL.parts(2, 3) == (None, None, None)
    assert Rows.of(True).parts(1, 2) == (b"\1\1", None, None)
    assert Rows.of([False, True], [4, 5]).parts(1, 2) == (b"\0\1", None, b"\4\0\0\0\5\0\0\0")
    assert Rows.of([True, False], None, [1, 2]).parts(2, 2) == (None, b"\1\0\2\0", None)
    assert Rows.of([[False], [True]]).parts(2, 2) == (None, b"\0\0\1\1", None)


def test_rows_without_numbers_are_nan() -> None:
    found = from_lists([[[1.0, 2.0], None], [None, [3.0, 4.0]]])
    assert found is not None
    assert np.isnan(found).tolist() == [[[False, False], [True, True]], [[True, True], [False, False]]]
    assert from_lists(None) is None


def test_resets_of_thousands_of_steps(client: Client) -> None:
    session = client.session(model="exact", batch_size=2)
    inputs = np.ones((3000, 2, 1), np.float32)
    inputs[10:, 1] = np.nan
    found = session.sequence(inputs, [[step == 2999] for step in range(3000)], lengths=[3000, 10]).output
    alone = client.session(model="exact").step([1]).output
    assert found[-1, 0].tolist() == alone.tolist()
    assert np.isnan(found[10:, 1]).all()
