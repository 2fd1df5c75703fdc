"""Scripts and their calls."""

from hashlib import sha1

from cellar.store.protocol.resp import pack
from cellar.store.protocol.script import Script, load_script


def test_a_call_is_a_command_that_knows_its_script() -> None:
    script = Script.of(b"return KEYS[1]")
    call = script.call([b"a", b"b"], b"c")
    assert call == [b"EVALSHA", sha1(script.text, usedforsecurity=False).hexdigest().encode(), b"2", b"a", b"b", b"c"]
    assert call.script is script
    assert pack([call]) == pack([tuple(call)])


def test_several_files_are_one_script() -> None:
    script = load_script("job/common", "job/create")
    assert script.text == load_script("job/common").text + b"\n" + load_script("job/create").text
    assert load_script("job/common", "job/create") is script
