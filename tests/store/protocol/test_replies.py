"""What a reply must be."""

from collections.abc import Callable
from typing import Any

import pytest

from cellar.errors import StoreCorrupt
from cellar.store.protocol.resp import items, number, raw, text


def test_a_reply_that_is_what_it_should_be_is_returned() -> None:
    assert (items([b"a", None]), raw(b"\xff"), text("é".encode()), number(-2)) == ([b"a", None], b"\xff", "é", -2)


@pytest.mark.parametrize(("check", "reply"), [(items, b"a"), (raw, None), (text, 7), (text, b"\xff"), (number, b"7")])
def test_any_other_reply_is_of_a_damaged_store(check: Callable[[object], Any], reply: object) -> None:
    with pytest.raises(StoreCorrupt):
        check(reply)
