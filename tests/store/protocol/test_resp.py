"""RESP2: the bytes of commands."""

from cellar.store.protocol.resp import pack


def test_commands_are_packed_with_their_lengths() -> None:
    assert (
        pack([(b"PING",), (b"SET", b"a\r\n", b"")])
        == b"*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$3\r\na\r\n\r\n$0\r\n\r\n"
    )
