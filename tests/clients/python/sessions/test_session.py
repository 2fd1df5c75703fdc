"""Sessions that are stepped by the blocking client."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellar_client import Answer, AsyncClient, Client, Problem
from cellar_client import errors as client_errors
from tests.clients.python.conftest import RedisKeys
from tests.faults.cell import replay


def outputs(*values: int) -> list[int]:
    """Return the outputs of a replay from the initial state."""
    return [state.a for state in replay(values)]


def test_steps_and_sequences_of_lists_and_arrays(client: Client) -> None:
    session = client.session(model="exact")
    first = session.step([3])
    assert (first.output.dtype, first.output.tolist(), first.step) == (np.float32, outputs(3), 1)
    second = session.sequence(np.array([[4], [5]]))
    assert second.output[:, 0].tolist() == outputs(3, 4, 5)[1:]
    third = session.step(6)
    assert third.output.tolist() == outputs(3, 4, 5, 6)[3:]
    assert (session.count, session.position) == (3, third.position)
    assert client.session(session.name).position == session.position


def test_rows_and_resets(client: Client) -> None:
    session = client.session(model="exact", batch_size=2)
    assert session.step([[1], [2]]).output.tolist() == [outputs(1), outputs(2)]
    answer = session.step([[3], [4]], reset=[False, True])
    assert answer.output.tolist() == [outputs(1, 3)[1:], outputs(4)]
    answer = session.sequence([[[5], [6]]], reset=True)
    assert answer.output.tolist() == [[outputs(5), outputs(6)]]


def test_a_refused_step_raises_the_class_of_its_type(client: Client) -> None:
    session = client.session(model="exact")
    with pytest.raises(client_errors.ShapeMismatch) as caught:
        session.step([1, 2])
    assert (caught.value.status, caught.value.type, caught.value.pointer) == (422, "shape_mismatch", "/input")
    assert isinstance(caught.value, client_errors.Refused | Problem)
    assert session.step([1]).step == 1
    with pytest.raises(client_errors.SessionUnknown):
        client.session("unknown")


def test_state_changes_forks_and_snapshots(client: Client) -> None:
    session = client.session(model="exact", history=4)
    session.sequence([[1], [2]])
    states = session.state()
    assert {name: value.tolist() for name, value in states.items()} == {
        "layers.0.a": [outputs(1, 2)[1:]],
        "layers.0.n": [[2]],
    }
    session.snapshot("two")
    [child] = session.fork([f"{session.name}-child"])
    assert child.step([3]).output.tolist() == outputs(1, 2, 3)[2:]
    session.reset()
    assert session.step([9]).output.tolist() == outputs(9)
    session.restore("two")
    assert session.step([3]).output.tolist() == outputs(1, 2, 3)[2:]
    session.rewind(1)
    session.write_state(states)
    assert session.step([3]).output.tolist() == outputs(1, 2, 3)[2:]
    session.update(ttl_s=100)
    assert session.refresh()["ttl_s"] == 100
    session.delete()
    with pytest.raises(client_errors.SessionUnknown):
        session.refresh()


def test_sessions_are_listed(client: Client) -> None:
    names = {client.session(f"listed-{number}", "exact").name for number in range(5)}
    found = {session["session"] for session in client.sessions(prefix="listed-", pinned=False)}
    assert found == names


@pytest.mark.parametrize(
    "name", ["site/1/temp", "aa:bb:cc:dd:ee:ff", "a b?#%2F", "a}{b", "../..", "温度 😀", "a" * 256]
)
def test_a_session_may_be_called_as_its_device(client: Client, name: str, tmp_path: Path) -> None:
    session = client.session(name, model="exact")
    assert session.step([1]).step == 1
    assert session.sequence(np.array([[2], [3]])).step == 3
    (answer,) = client.step_many([(session, [4])])
    assert isinstance(answer, Answer)
    assert answer.step == 4
    with session.stream(name, state=tmp_path / "stream.json") as stream:
        assert stream.step([5]).output.tolist() == outputs(1, 2, 3, 4, 5)[4:]
    assert session.refresh()["step"] == 5
    (child,) = session.fork([f"{name[:200]}/child"])
    assert child.step([6]).output.tolist() == outputs(1, 2, 3, 4, 5, 6)[5:]
    assert name in {found["session"] for found in client.sessions(prefix=name)}
    child.delete()
    session.delete()
    with pytest.raises(Problem):
        client.session(name)


def test_many_sessions_at_once(client: Client) -> None:
    sessions = [client.session(model="exact") for _ in range(20)]
    answers = client.step_many([(session, [number]) for number, session in enumerate(sessions)])
    assert [answer.output.tolist() for answer in answers if not isinstance(answer, Problem)] == [
        outputs(number) for number in range(20)
    ]
    sessions[3].delete()
    answers = client.sequence_many([(session, [[1], [2]]) for session in sessions])
    assert isinstance(answers[3], client_errors.SessionUnknown)
    assert not isinstance(answers[4], Problem)
    assert answers[4].output[:, 0].tolist() == outputs(4, 1, 2)[1:]
    assert sessions[4].step([3]).output.tolist() == outputs(4, 1, 2, 3)[3:]
    with pytest.raises(ValueError, match="several steps"):
        client.step_many([(sessions[0], [1]), (sessions[0], [2])])


def test_a_session_continues_from_its_state_file(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    session = client.session(model="exact", state=path)
    for value in (1, 2):
        session.step([value])
    before = path.read_bytes()
    last = session.step([3])  # its answer is lost with the process, or the process ends before it is sent
    again = client.session(session.name, state=path)
    assert again.recovered is not None
    assert (again.recovered.output.tolist(), again.recovered.replayed) == (last.output.tolist(), True)
    assert (again.count, again.position) == (3, last.position)
    path.write_bytes(before)
    assert client.session(session.name, state=path).count == 2
    path.write_text("{}")
    with pytest.raises(client_errors.StateFileInvalid):
        client.session(session.name, state=path)


def test_steps_that_redis_has_lost_are_sent_again(client: Client, redis_keys: RedisKeys) -> None:
    session = client.session(model="exact")
    session.step([1])
    kept = redis_keys.dump(session.name)
    session.step([2])
    session.sequence([[3], [4]])
    redis_keys.restore(kept)
    assert session.step([5]).output.tolist() == outputs(1, 2, 3, 4, 5)[4:]
    assert session.refresh()["step"] == 5


def test_more_steps_are_lost_than_are_remembered(client: Client, redis_keys: RedisKeys) -> None:
    session = client.session(model="exact")
    kept = redis_keys.dump(session.name)
    other = client.session(session.name)
    other.step([1])
    other.step([2])
    session.refresh()
    redis_keys.restore(kept)
    with pytest.raises(client_errors.Regressed):
        session.step([3])


def test_equal_steps_of_several_threads_and_tasks_are_all_applied(client: Client, service_url: str) -> None:
    session = client.session(model="exact")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(session.step, [[1]] * 24))
    assert session.refresh()["step"] == 24

    async def tasks() -> int:
        async with AsyncClient(service_url) as other:
            opened = await other.session(session.name)
            await asyncio.gather(*[opened.step([1]) for _ in range(24)])
            return int((await opened.refresh())["step"])

    assert asyncio.run(tasks()) == 48


class Table:
    """What the client needs of a DataFrame."""

    def __init__(self, values: Any, index: Any = None, columns: Any = None) -> None:
        self.values, self.index, self.columns = np.array(values), index, columns

    def __len__(self) -> int:
        return len(self.values)

    @property
    def iloc(self) -> "Table":
        """Return the table, whose rows are taken by number."""
        return self

    def __getitem__(self, rows: slice) -> "Table":
        return Table(self.values[rows], self.index[rows], self.columns)

    def to_numpy(self) -> Any:
        """Return the values."""
        return self.values


def test_a_table_is_answered_with_a_table(client: Client) -> None:
    answer = client.session(model="exact").sequence(Table([[1], [2]], index=["a", "b"], columns=["x"]))
    assert isinstance(answer.output, Table)
    assert (answer.output.index, answer.output.columns) == (["a", "b"], ["output_0"])
    assert answer.output.to_numpy()[:, 0].tolist() == outputs(1, 2)
    with client.session(model="exact").stream() as stream:
        found = [one.output.tolist()[0] for one in stream.run(Table([[1], [2]]))]
    assert found == outputs(1, 2)
