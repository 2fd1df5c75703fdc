"""The process that tries a graph ends with its client, and what it does is limited."""

import sys
import threading
import time

import numpy as np
import onnx
import pytest

from cellar.engine import while_wanted
from cellar.errors import CompileAbandoned, ImportRefused, Overloaded
from cellar.onnx_graph.publishing.host import host_graph
from cellar.onnx_graph.spec import GraphOptions
from tests.onnx_graph.graphs import constant, loop, lstm


def test_a_trial_ends_with_its_client() -> None:
    gone = threading.Event()
    threading.Timer(1.5, gone.set).start()
    began_s = time.monotonic()
    with while_wanted(lambda: not gone.is_set()), pytest.raises(CompileAbandoned):
        host_graph(loop(), GraphOptions(example={"count": 2**24 - 1}))
    assert time.monotonic() - began_s < 20


def test_a_file_larger_than_a_pipe_is_tried() -> None:
    made = onnx.load_from_string(lstm())
    made.graph.initializer.append(constant("unused", np.zeros(500_000, np.float32)))
    assert host_graph(made.SerializeToString(), GraphOptions()).micro_batches


def test_a_process_that_is_killed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ImportRefused, match="too much time or memory"):
        host_graph(lstm(), GraphOptions())


def test_without_a_process_it_is_overloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(Overloaded):
        host_graph(lstm(), GraphOptions())
