"""The kernel for chains of digests computes the bytes that hashlib does."""

import threading
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellar.engine import KernelCache
from cellar.errors import CompileFailed
from cellar.ports import DIGEST_BYTES
from cellar.sessions.values.digest_chain import KERNEL_FROM, DigestChain, Kernel

DIGEST = bytes(range(DIGEST_BYTES))


def by_hashlib(digest: bytes, data: bytes, count: int) -> bytes:
    size = len(data) // count
    for start in range(0, len(data), size):
        digest = blake2b(digest + data[start : start + size], digest_size=DIGEST_BYTES).digest()
    return digest


@pytest.fixture(scope="module")
def kernel(kernel_directory: Path) -> Kernel:
    """Return the compiled kernel."""
    return KernelCache(kernel_directory).digest_chain


def loaded(kernel: Kernel) -> DigestChain:
    """Return a chain whose kernel is loaded."""
    chain = DigestChain()
    chain.load_with(lambda: kernel)
    chain.last(DIGEST, bytes(4 * KERNEL_FROM), KERNEL_FROM)
    for thread in threading.enumerate():
        if thread.name == "load the digest chain":
            thread.join()
    return chain


@pytest.mark.parametrize("size", [4, 108, 112, 116, 124, 128, 236, 240, 244, 368, 1024])
def test_parts_of_any_size(kernel: Kernel, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block has 128 bytes, 16 of them for the digest: sizes around one, two and three blocks, and many."""
    data = bytes(index * index % 251 for index in range(size * KERNEL_FROM))
    expected = by_hashlib(DIGEST, data, KERNEL_FROM)
    assert DigestChain().last(DIGEST, data, KERNEL_FROM) == expected
    chain = loaded(kernel)
    monkeypatch.setattr("cellar.sessions.values.digest_chain.blake2b", None)  # it is the kernel that answers
    assert chain.last(DIGEST, data, KERNEL_FROM) == expected
    assert chain.each(DIGEST, data, KERNEL_FROM)[-DIGEST_BYTES:] == expected


@settings(max_examples=30)
@given(digest=st.binary(min_size=16, max_size=16), part=st.binary(min_size=1, max_size=300), more=st.integers(0, 40))
def test_any_bytes_have_the_digest_of_blake2b(kernel: Kernel, digest: bytes, part: bytes, more: int) -> None:
    count = KERNEL_FROM + more
    data = bytes((byte + index) % 256 for index in range(count) for byte in part)
    chain = loaded(kernel)
    assert chain.last(digest, data, count) == by_hashlib(digest, data, count)
    each = [by_hashlib(digest, data[: len(part) * some], some) for some in range(1, count + 1)]
    assert DigestChain().each(digest, data, count) == chain.each(digest, data, count) == b"".join(each)


def test_a_kernel_that_cannot_be_compiled_is_done_without(caplog: pytest.LogCaptureFixture) -> None:
    tried = threading.Event()

    def fail() -> Kernel:
        tried.set()
        raise CompileFailed("no compiler")

    chain = DigestChain()
    chain.load_with(fail)
    data = bytes(8 * KERNEL_FROM)
    for _ in range(2):
        assert chain.last(DIGEST, data, KERNEL_FROM) == by_hashlib(DIGEST, data, KERNEL_FROM)
    for thread in threading.enumerate():
        if thread.name == "load the digest chain":
            thread.join()
    assert tried.is_set()
    assert "no compiler" in caplog.text


def test_a_short_chain_loads_no_kernel() -> None:
    chain = DigestChain()
    chain.load_with(lambda: pytest.fail("not for so short a chain"))
    data = bytes(4 * (KERNEL_FROM - 1))
    assert chain.last(DIGEST, data, KERNEL_FROM - 1) == by_hashlib(DIGEST, data, KERNEL_FROM - 1)
    assert "load the digest chain" not in [thread.name for thread in threading.enumerate()]
