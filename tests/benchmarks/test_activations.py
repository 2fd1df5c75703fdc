"""The benchmark of functions measures each of them."""

import pytest

from benchmarks import activations


def test_every_function_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(activations, "REPEATS", 1)
    monkeypatch.setattr(activations, "ROUNDS", 1)
    activations.main()
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(activations.FUNCTIONS)
    assert all(float(line.split()[1]) > 0 for line in lines)
