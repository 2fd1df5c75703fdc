"""The arithmetic has a name, and a machine that computes other bits is found out."""

import pytest

from cellar.engine import KernelCache, revision
from cellar.engine.graph import Op, toposort
from cellar.engine.ops import OPS
from cellar.engine.target import Target, host_target
from cellar.errors import StartupError


def test_this_machine_computes_the_bits_of_the_revision(cache: KernelCache) -> None:
    revision.check(cache)
    revision.check(cache, training=True)


def test_another_target_computes_the_same_bits(cache: KernelCache) -> None:
    """The level below this machine's has half the lanes in a register, or calls a function for every fused term."""
    below = {"x86-64-v4": "x86-64-v3", "x86-64-v3": "x86-64-v2", "x86-64-v2": "x86-64"}
    host = host_target()
    other = KernelCache(cache.directory, target=Target(below.get(host.cpu, host.cpu)))
    revision.check(other)


def test_other_bits_are_refused(cache: KernelCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revision, "GOLDEN_FORWARD", "0" * 64)
    with pytest.raises(StartupError, match="computes other bits than kernel revision 1"):
        revision.check(cache)


def test_the_golden_cell_has_every_operation() -> None:
    used = {node.op for node in toposort(revision.golden_cell().adjoint.roots)}
    assert {op for op, rule in OPS.items() if rule.kind != "leaf"} <= used | {Op.SPREAD}
