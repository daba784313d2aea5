"""Checkpoints are three lines that one key signs, for one log."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuning_db.checkpoint import Checkpoint, key_of_log, log_name, sign_checkpoint, verify_checkpoint
from tuning_db.merkle import EMPTY_ROOT, leaf_hash
from tuning_db.note import SigningKey, sign_note

SERVICE = SigningKey("headstart.example", bytes(range(32)))
KEY = key_of_log(SERVICE, "public")
ROOT = leaf_hash(b"")
CHECKPOINT = Checkpoint("headstart.example/public", 1, ROOT)
SIGNED = sign_checkpoint(CHECKPOINT, KEY)
LINES = ["headstart.example/public", "1", base64.b64encode(ROOT).decode()]


def text(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def test_the_text_is_three_lines() -> None:
    assert (
        str(CHECKPOINT) == text(*LINES) == "headstart.example/public\n1\nbjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=\n"
    )
    assert SIGNED.startswith(f"{CHECKPOINT}\n\N{EM DASH} headstart.example/public ")
    assert Checkpoint.loads(str(CHECKPOINT)) == CHECKPOINT
    assert verify_checkpoint(SIGNED, KEY.verifier) == verify_checkpoint(SIGNED.encode(), KEY.verifier) == CHECKPOINT
    assert CHECKPOINT.log == "public"


def test_more_lines_are_kept_and_signed() -> None:
    more = Checkpoint(CHECKPOINT.origin, 0, EMPTY_ROOT, ("anything", "at all"))
    assert verify_checkpoint(sign_checkpoint(more, KEY), KEY.verifier) == more


@pytest.mark.parametrize(
    "lines",
    [
        LINES[:1],
        LINES[:2],
        ["", *LINES[1:]],
        ["a b", *LINES[1:]],
        ["a+b", *LINES[1:]],
        *([LINES[0], size, LINES[2]] for size in ("", "01", "-1", "+1", "1.0", "1e3", " 1", "1 ", "٣", str(2**63))),
        *([*LINES[:2], root] for root in ("", "AAAA", LINES[2][:-1], LINES[2] + "=", "0" * 64, LINES[2] * 2)),
        [*LINES, ""],
        [*LINES, "", "more"],
        ["", *LINES],
    ],
)
def test_what_is_no_checkpoint(lines: list[str]) -> None:
    with pytest.raises(ValueError, match=r"checkpoint|name of a key"):
        Checkpoint.loads(text(*lines))
    with pytest.raises(ValueError, match=r"checkpoint|name of a key"):
        verify_checkpoint(sign_note(text(*lines), KEY), KEY.verifier)


def test_the_last_line_ends() -> None:
    with pytest.raises(ValueError, match="is lines of"):
        Checkpoint.loads(str(CHECKPOINT).removesuffix("\n"))


def test_a_key_is_good_for_its_log_alone() -> None:
    release = key_of_log(SERVICE, "r0123")
    with pytest.raises(ValueError, match="does not sign"):
        sign_checkpoint(CHECKPOINT, release)
    with pytest.raises(ValueError, match="not signed by"):
        verify_checkpoint(SIGNED, release.verifier)
    with pytest.raises(ValueError, match="not signed by"):
        verify_checkpoint(SIGNED, SERVICE.verifier)
    # Signed with the right key all the same.
    with pytest.raises(ValueError, match=r"is a checkpoint of headstart.example/public, signed with .*r0123"):
        verify_checkpoint(sign_note(str(CHECKPOINT), release), release.verifier)


@pytest.mark.parametrize("name", ["", ".", "-x", "a/b", "a b", "a\n", "é", "x" * 101, "public\0", None, 7])
def test_names_that_no_log_has(name: str) -> None:
    with pytest.raises(ValueError, match="name of a log"):
        log_name(name)


@settings(deadline=None)
@given(
    st.text(max_size=100) | st.text("0123456789\n/=A", max_size=60) | st.lists(st.sampled_from(LINES)).map("\n".join)
)
def test_any_text_is_a_checkpoint_or_refused(given_text: str) -> None:
    try:
        assert str(Checkpoint.loads(given_text)) == given_text
    except ValueError as error:
        assert "\n" not in str(error)


@settings(deadline=None)
@given(st.integers(0, len(SIGNED.encode()) * 8 - 1))
def test_any_flipped_bit_is_seen(bit: int) -> None:
    changed = bytearray(SIGNED.encode())
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ValueError, match=r"."):
        verify_checkpoint(bytes(changed), KEY.verifier)
