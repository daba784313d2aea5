"""The text of an entry has one spelling, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning_db.entry import Entry

GOOD = Entry("public", 3, "someone", "did", {"n": 1}, 7.0, "0" * 32)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        GOOD.content + "\n",
        " " + GOOD.content,
        GOOD.content.replace(":", ": "),
        GOOD.content.replace("7.0", "7"),
        GOOD.content.replace("7.0", "7.00"),
        GOOD.content.replace("7.0", "7e400"),
        GOOD.content.replace("7.0", "true"),
        GOOD.content.replace(":3", ":3.0"),
        GOOD.content.replace(":3", ":-3"),
        GOOD.content.replace(":3", ":" + "9" * 5000),
        GOOD.content.replace("did", "d\\u0069d"),
        GOOD.content.replace("did", "d\u0131d"),
        GOOD.content.replace("0" * 32, "0" * 31),
        GOOD.content.replace("0" * 32, "0" * 31 + "A"),
        GOOD.content.replace('{"n":1}', '{"n":1,"n":1}'),
        GOOD.content.replace('{"n":1}', "[]"),
        GOOD.content.replace('{"n":1}', '{"n":NaN}'),
        GOOD.content.replace('{"n":1}', '{"n":' * 100_000),
        GOOD.content.replace('"seq"', '"more":1,"seq"'),
        GOOD.content.replace('"seq":3', '"more":3'),
    ],
)
def test_what_is_no_entry(content: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Entry.loads(content.encode())
    assert Entry.loads(GOOD.content.encode()) == GOOD


@given(st.binary(max_size=60), st.integers(0, len(GOOD.content)), st.integers(0, 5))
def test_any_bytes_are_an_entry_or_refused(junk: bytes, start: int, length: int) -> None:
    whole = GOOD.content.encode()
    for data in (junk, whole[:start] + junk + whole[start + length :]):
        try:
            assert Entry.loads(data).content.encode() == data
        except ValueError as error:
            assert "\n" not in str(error)
