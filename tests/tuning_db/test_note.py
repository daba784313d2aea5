"""Signed notes and their keys: the format to the byte, and nothing else is taken for one."""

from __future__ import annotations

import base64
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from targets.errors import InputError, MissingExtra
from tuning_db.keyfile import read_key, write_key
from tuning_db.note import SigningKey, VerifierKey, decode_base64, key_name, read_note, sign_note, split_note

# RFC 8032, 7.1, test 1.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
OF_NOTHING = bytes.fromhex(
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
)
KEY = SigningKey("headstart.example", SEED)
OTHER = SigningKey("witness.example", bytes(32))
TEXT = "one\n\nzwölf\n"
NOTE = sign_note(TEXT, KEY)
SIGNATURE = NOTE.removeprefix(f"{TEXT}\n")


def test_keys_are_those_of_rfc_8032() -> None:
    assert KEY.verifier.public == PUBLIC
    assert KEY.sign(b"") == OF_NOTHING
    assert KEY.verifier.verifies(b"", OF_NOTHING)
    assert not KEY.verifier.verifies(b"x", OF_NOTHING)
    assert not KEY.verifier.verifies(b"", OF_NOTHING[:-1])
    assert not VerifierKey("x", b"\xff" * 32).verifies(b"", OF_NOTHING)


@pytest.mark.parametrize(
    "known",
    # The key of Go's checksum database, and the first of the examples that come with Go's notes.
    [
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ],
)
def test_keys_that_are_known_elsewhere(known: str) -> None:
    assert str(VerifierKey.loads(known)) == known


def test_a_note_is_these_bytes() -> None:
    dash, name, encoded = SIGNATURE.removesuffix("\n").split(" ")
    assert (dash, name) == ("\N{EM DASH}", "headstart.example")
    signature = base64.b64decode(encoded)
    assert signature[:4] == KEY.verifier.id
    assert signature[4:] == KEY.sign(TEXT.encode())
    assert f"{TEXT}\n\N{EM DASH} headstart.example {encoded}\n" == NOTE
    assert read_note(NOTE, KEY.verifier) == read_note(NOTE.encode(), KEY.verifier) == TEXT


def test_keys_there_and_back() -> None:
    made = SigningKey.new("headstart.example/public")
    assert SigningKey.loads(made.dumps()) == made
    assert VerifierKey.loads(str(made.verifier)) == made.verifier
    assert made.seed != SigningKey.new("headstart.example/public").seed
    assert repr(made.seed) not in repr(made)
    renamed = made.named("other")
    assert renamed.verifier.public == made.verifier.public
    assert renamed.verifier.id != made.verifier.id


VKEY, SKEY = str(KEY.verifier), KEY.dumps()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "NAME"),
        ("x", "NAME"),
        (VKEY + "\n", "base64"),
        (VKEY[:-4], "not of Ed25519"),
        (VKEY.replace("headstart", "tailstart"), "does not fit"),
        (VKEY.replace(KEY.verifier.id.hex(), KEY.verifier.id.hex().upper()), "8 hex digits"),
        (VKEY.replace(KEY.verifier.id.hex(), "00000000"), "does not fit"),
        (VKEY.replace("+A", "+B"), "not of Ed25519"),
        ("a b+00000000+AAAA", "no spaces"),
        ("é+00000000+ÀÀÀÀ", "base64"),
        (SKEY, "8 hex digits"),
    ],
)
def test_what_is_no_verifier_key(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        VerifierKey.loads(text)


def test_what_is_no_signing_key() -> None:
    wrong = SKEY.replace(KEY.verifier.id.hex(), "00000000")
    for text, why in (("", "is PRIVATE"), (VKEY, "is PRIVATE"), (wrong, "does not fit"), (SKEY[:-4], "Ed25519")):
        with pytest.raises(ValueError, match=why):
            SigningKey.loads(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\tb", "a\nb", "a\u2003b", "a\0", "\ud83d"])
def test_names_that_no_key_has(name: str) -> None:
    with pytest.raises(ValueError, match=r"name of a key|half"):
        key_name(name)


def test_signatures_of_others_are_passed_over() -> None:
    theirs = sign_note(TEXT, OTHER).removeprefix(f"{TEXT}\n")
    odd = f"\N{EM DASH} headstart.example {base64.b64encode(b'another kind of signature').decode()}\n"
    assert read_note(f"{TEXT}\n{theirs}{odd}{SIGNATURE}", KEY.verifier) == TEXT
    with pytest.raises(ValueError, match=r"not signed by headstart.example"):
        read_note(f"{TEXT}\n{theirs}{odd}", KEY.verifier)


def test_one_wrong_signature_of_a_known_key_is_enough() -> None:
    wrong = sign_note("two\n", KEY).removeprefix("two\n\n")
    with pytest.raises(ValueError, match="not of this text"):
        read_note(f"{TEXT}\n{SIGNATURE}{wrong}", KEY.verifier)


def test_another_key_of_the_same_name_is_not_believed() -> None:
    with pytest.raises(ValueError, match="not signed by"):
        read_note(sign_note(TEXT, SigningKey(KEY.name, bytes(32))), KEY.verifier)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n",
        "\n\n",
        TEXT,
        NOTE.removesuffix("\n"),
        NOTE + "\n",
        NOTE + " ",
        "\n\n" + SIGNATURE,
        f"one\n{SIGNATURE}",
        NOTE.replace("\N{EM DASH}", "-"),
        NOTE.replace("\N{EM DASH} ", "\N{EM DASH}  "),
        NOTE.replace("\n\n\N{EM DASH}", "\n\r\n\N{EM DASH}"),
        NOTE.replace("one", "o\0ne"),
        NOTE.replace("one", "o\ud83dne"),
        NOTE.replace("headstart.example", ""),
        f"{TEXT}\n\N{EM DASH} headstart.example AAAA\n",
        f"{TEXT}\n\N{EM DASH} headstart.example A\n",
        f"{TEXT}\n" + SIGNATURE * 101,
        NOTE.encode()[:-40] + b"\xff\n",
        b"x" * (1 << 21),
    ],
)
def test_what_is_no_note(note: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"note|signature|base64|key"):
        read_note(note, KEY.verifier)


@pytest.mark.parametrize("text", ["", "no newline", "a\tb\n", "a\0\n", "\ud83d\n"])
def test_texts_that_are_not_signed(text: str) -> None:
    with pytest.raises(ValueError, match="note"):
        sign_note(text, KEY)


def test_base64_has_one_spelling() -> None:
    assert decode_base64("AAE=") == b"\0\1"
    for odd in ("AAE", "AAF=", "AAE= ", "A\nAE=", "AA==AA==", "-_-_", "é"):
        with pytest.raises(ValueError, match="base64"):
            decode_base64(odd)


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(0, len(NOTE.encode())), st.integers(0, 8))
def test_any_bytes_are_a_note_or_refused(junk: bytes, start: int, length: int) -> None:
    whole = NOTE.encode()
    for data in (junk, whole[:start] + junk + whole[start + length :]):
        try:
            text, signatures = split_note(data)
        except ValueError as error:
            assert "\n" not in str(error)
            continue
        assert text.endswith("\n")
        assert signatures
        with suppress(ValueError):
            assert read_note(data, KEY.verifier) == TEXT


@settings(deadline=None)
@given(st.integers(0, len(NOTE.encode()) * 8 - 1))
def test_any_flipped_bit_is_seen(bit: int) -> None:
    changed = bytearray(NOTE.encode())
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ValueError, match=r"note|signature|signed|base64|key"):
        read_note(bytes(changed), KEY.verifier)


@given(st.text(max_size=200) | st.text("+=Aab0/ \n", max_size=60).map(lambda text: f"a+00000000+{text}"))
def test_any_text_is_a_key_or_refused(text: str) -> None:
    for read in (VerifierKey.loads, SigningKey.loads):
        with pytest.raises(ValueError, match=r"key|half"):
            read(text)


def test_key_files(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_key(path, KEY)
    assert read_key(path) == KEY
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(InputError, match="never overwritten"):
        write_key(path, OTHER)
    assert read_key(path) == KEY
    for content, why in ((b"\xff", "not text"), (b"", "is PRIVATE"), (b"x" * 1000, "is PRIVATE")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"no signing key: .*{why}"):
            read_key(path)
    path.chmod(0o640)
    with pytest.raises(InputError, match="others may read or change"):
        read_key(path)
    for missing in (tmp_path / "no" / "key", tmp_path):
        with pytest.raises(InputError, match="cannot read"):
            read_key(missing)
    with pytest.raises(InputError, match="cannot write"):
        write_key(tmp_path / "no" / "key", KEY)


def test_without_cryptography(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert str(VerifierKey.loads(VKEY)) == VKEY
    for use in (lambda: KEY.sign(b""), lambda: KEY.verifier, lambda: read_note(NOTE, VerifierKey.loads(VKEY))):
        with pytest.raises(MissingExtra, match=r"headstart\[serve\]"):
            use()
