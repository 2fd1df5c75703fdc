"""Names that sessions and writers may have, and texts that are no names: examples, and any others by a seed."""

import random
from collections.abc import Iterator

from hypothesis import strategies as st

from cellar.ports import is_name

ALLOWED = (
    *("a", "a.", ".a", "...", "a.b", "-", "_", ":", "aa:bb:cc:dd:ee:ff", "a" * 128, "." * 128, "a" * 256),
    *("site/1/temp", "/", "//", "a/", "/..", "../..", "user@x", "urn:dev:mac:0024befffe804ff1", "a b", " ", "  a "),
    *("{}", "{", "}", "{a}", "a}:t", "a}b{c}", "%", "100%", "%2F", "a%2Fb", "%252F", "%7D", "%zz", '"a"', "'a'"),
    *("a\\b", "\\u0000", "a?b#c", "a&b=c+d;e", "a,b", "*", "~", "~a", "[a]", "a|b", "<a>", "`a`", "null", "step"),
    *("ä", "a\u0308", "温度", "😀", "\u00a0", "\ufeff", "\ufffd", "\u202e", "\uffff", "\U0010ffff"),
    *("é" * 128, "温" * 85, "😀" * 64, "%" * 256, "}" * 256, "/" * 256),
)

REFUSED = (
    *("", ".", "..", "a\n", "\n", "\r", "\t", "\0", "a\x1fb", "\x7f", "\x80", "\x85", "\x9f", "\u2028", "a\u2029b"),
    *("a" * 257, "é" * 128 + "a", "温" * 86, "😀" * 64 + "a", "a" * 100_000, "\ud800", "a\udfffb"),
)

_POOLS = (
    "%/}{.?#2Ff5 :",
    "abcXYZ019_-.:",
    "\"'\\&=+;,<>|~^`@!$()*[]",
    "äéßøñ",
    "温度計測",
    "😀🌡🏭",
    "\u00a0\u200b\u0301\ufeff",
)


def some_names(count: int, seed: int) -> Iterator[str]:
    """Yield names that sessions may have, most of them short and of characters that mean something elsewhere."""
    chance = random.Random(seed)
    while count:
        pool = "".join(chance.sample(_POOLS, chance.randint(1, 3)))
        name = "".join(chance.choices(pool, k=chance.choice((1, 2, 3, 8, 40, 64))))
        if is_name(name):
            count -= 1
            yield name


NAMES = st.one_of(
    st.sampled_from(ALLOWED),
    st.text(st.sampled_from("".join(_POOLS)), min_size=1, max_size=80),
    st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=64),
).filter(is_name)
"""Any name."""
