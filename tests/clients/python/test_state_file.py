"""A state file, whose last complete line counts."""

from pathlib import Path

import numpy as np
import pytest

from cellar_client import StateFileInvalid, state_file
from cellar_client.state_file import StateFile, pack_array, unpack_array


def test_the_last_complete_line_is_the_document(tmp_path: Path) -> None:
    path = tmp_path / "state"
    assert StateFile(path, "stream", "s").load() is None
    file = StateFile(path, "stream", "s")
    for count in range(3):
        file.save({"count": count})
    found = StateFile(path, "stream", "s").load()
    assert found is not None
    assert found["count"] == 2
    with path.open("ab") as torn:
        torn.write(b'{"count": 3, ')
    found = StateFile(path, "stream", "s").load()
    assert found is not None
    assert found["count"] == 2


def test_a_long_file_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_file, "MOST_BYTES", 1000)
    path = tmp_path / "state"
    file = StateFile(path, "stream", "s")
    for count in range(200):
        file.save({"count": count})
        found = StateFile(path, "stream", "s").load()
        assert found is not None
        assert found["count"] == count
    assert path.stat().st_size < 1200
    assert [each.name for each in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize(
    "content", [b"{}", b"[]\n", b"nothing\n", b'{"version": 1, "kind": "stream", "session": "t"}\n']
)
def test_files_of_others_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state"
    path.write_bytes(content)
    with pytest.raises(StateFileInvalid):
        StateFile(path, "stream", "s").load()


def test_arrays_are_kept_bit_for_bit() -> None:
    array = np.array([[0.1, -0.0], [1e-45, 3e38]], np.float32)
    assert unpack_array(pack_array(array)).tobytes() == array.tobytes()
