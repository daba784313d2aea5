"""Keys: those of the standard, those that are none, files that others may not read, secrets that stay secret."""

from __future__ import annotations

import base64
import copy
import logging
import os
import pickle
import sys
import traceback
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from targets.errors import InputError, MissingExtra
from tests.tuning_db.claims import SEED, key
from tuning_db.edwards import ORDER, P, point_problem
from tuning_db.keys import SCHEME, PrivateKey, PublicKey, is_private, read_public

PASSPHRASE = b"correct horse battery"


def never() -> bytes:
    raise AssertionError("nobody should be asked")


def test_the_pair_of_the_standard() -> None:
    """RFC 8032, section 7.1, test 1: an empty message."""
    assert key().public.raw.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    signature = key().sign(b"")
    assert signature.hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert key().public.verifies(signature, b"")
    assert not key().public.verifies(signature, b"x")


def test_there_and_back(tmp_path: Path) -> None:
    made = PrivateKey.new("acme-2026")
    secret, public = made.write(tmp_path)
    assert (secret.name, public.name) == ("acme-2026.key", "acme-2026.pub")
    assert secret.stat().st_mode & 0o777 == 0o600
    assert public.stat().st_mode & 0o777 == 0o644
    assert public.read_text() == f"{made.public.line}\n"
    assert read_public(public) == made.public
    again = PrivateKey.read(secret, never)
    assert again.public == made.public and again.public.name == "acme-2026"
    assert again.sign(b"x") == made.sign(b"x")
    assert is_private(secret) and not is_private(public)
    assert PublicKey.from_line(made.public.line) == made.public
    assert len({PrivateKey.new("a").public.id for _ in range(10)}) == 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["acme-2026.key", "acme-2026.pub"]


def test_the_umask_decides_nothing(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        secret, public = key().write(tmp_path)
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (secret, public)] == [0o600, 0o644]


def test_an_encrypted_key(tmp_path: Path) -> None:
    secret, _ = key().write(tmp_path, PASSPHRASE)
    assert b"ENCRYPTED" in secret.read_bytes()
    assert SEED not in base64.b64decode(b"".join(secret.read_bytes().splitlines()[1:-1]))
    assert PrivateKey.read(secret, lambda: PASSPHRASE).public == key().public
    with pytest.raises(InputError, match="not its passphrase"):
        PrivateKey.read(secret, lambda: b"incorrect horse battery")


@pytest.mark.parametrize("passphrase", [b"", b"too short", b"x" * 1001])
def test_passphrases_that_protect_nothing(tmp_path: Path, passphrase: bytes) -> None:
    with pytest.raises(InputError, match="12 to 1000"):
        key().write(tmp_path, passphrase)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_ever_replaced(tmp_path: Path) -> None:
    (tmp_path / "acme-2026.key").write_text("precious")
    with pytest.raises(InputError, match=r"acme-2026\.key: File exists"):
        key().write(tmp_path)
    assert (tmp_path / "acme-2026.key").read_text() == "precious"
    (tmp_path / "acme-2026.key").rename(tmp_path / "acme-2026.pub")
    with pytest.raises(InputError, match=r"acme-2026\.pub: File exists"):
        key().write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["acme-2026.pub"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_key_that_others_may_read(tmp_path: Path, mode: int) -> None:
    secret, _ = key().write(tmp_path)
    secret.chmod(mode)
    with pytest.raises(InputError, match="chmod 600"):
        PrivateKey.read(secret, never)


def pem(private: object) -> bytes:
    from cryptography.hazmat.primitives import serialization as form

    encoded: bytes = private.private_bytes(  # type: ignore[attr-defined]
        form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()
    )
    return encoded


def other_kind() -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey

    return pem(Ed448PrivateKey.generate())


def damaged(data: bytes) -> bytes:
    lines = data.splitlines()
    return b"\n".join([lines[0], b"AAAA" + lines[1][4:], *lines[2:]]) + b"\n"


def test_files_that_are_no_private_key(tmp_path: Path) -> None:
    right = key().write(tmp_path)[0].read_bytes()
    wrong = {
        "empty": (b"", "is not a private key"),
        "text": (b"text\n", "is not a private key"),
        "a public key": (f"{key().public.line}\n".encode(), "is not a private key"),
        "two of them": (right + right, "is not a private key"),
        "something before it": (b"x\n" + right, "is not a private key"),
        "something after it": (right + b"x", "is not a private key"),
        "headers": (right.replace(b"\n", b"\nProc-Type: 4,ENCRYPTED\n\n", 1), "is not a private key"),
        "another label": (right.replace(b"PRIVATE", b"EC PRIVATE"), "is not a private key"),
        "long": (right + b"\n" * 5000, "too long"),
        "damaged": (damaged(right), "is damaged"),
        "another kind": (other_kind(), "another kind"),
    }
    for name, (data, why) in wrong.items():
        path = tmp_path / f"{name.replace(' ', '-')}.key"
        path.write_bytes(data)
        path.chmod(0o600)
        with pytest.raises(InputError, match=why) as failure:
            PrivateKey.read(path, never)
        assert "\n" not in str(failure.value), name
    with pytest.raises(InputError, match="No such file"):
        PrivateKey.read(tmp_path / "none", never)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(InputError, match="is not a file"):
        PrivateKey.read(tmp_path / "pipe", never)


def low_order() -> list[bytes]:
    """Every point of order 1, 2 and 4, and what other encodings of them there are."""
    numbers = [0, 1, P - 1, P, P + 1]
    return [(number | sign << 255).to_bytes(32, "little") for number in numbers for sign in (0, 1)]


def order_eight() -> bytes:
    """A point of order 8: a point of the curve, times the large prime."""
    from tuning_db import edwards

    y = next(y for y in range(2, 100) if edwards.point_problem(y.to_bytes(32, "little")) in (MIXED, None))
    square = (y * y - 1) * pow(edwards.D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if x * x % P == square else x * edwards.ROOT_OF_MINUS_ONE % P
    point = edwards._times(ORDER, (x, y, 1, x * y % P))
    inverse = pow(point[2], -1, P)
    return (point[1] * inverse % P | (point[0] * inverse % P & 1) << 255).to_bytes(32, "little")


MIXED = "is a point of small or mixed order, which no private key has"


@pytest.mark.parametrize("raw", [*low_order(), order_eight()], ids=bytes.hex)
def test_degenerate_keys_are_refused(raw: bytes) -> None:
    with pytest.raises(InputError, match=r"small or mixed order|canonical way"):
        PublicKey(raw, "evil")


def test_why_degenerate_keys_are_refused() -> None:
    """Under the neutral point as key, one signature is right for every message."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    neutral = (1).to_bytes(32, "little")
    for message in (b"one", b"other"):
        Ed25519PublicKey.from_public_bytes(neutral).verify(neutral + bytes(32), message)


@settings(max_examples=100, deadline=None)
@given(seed=st.binary(min_size=32, max_size=32))
def test_every_honest_key_passes(seed: bytes) -> None:
    assert point_problem(key("a", seed).public.raw) is None


@settings(max_examples=100, deadline=None)
@given(raw=st.binary(max_size=40))
def test_any_bytes_are_a_key_or_refused(raw: bytes) -> None:
    problem = point_problem(raw)
    assert problem is None or "\n" not in problem


LINE = key().public.line
ENCODED = LINE.split(" ")[1]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "\n",
        ENCODED,
        f"{SCHEME} {ENCODED}",
        f"{SCHEME}  {ENCODED} acme",
        f"{SCHEME} {ENCODED} acme corp",
        f" {LINE}",
        f"{LINE}\n\n",
        f"{LINE}\n{LINE}",
        f"ssh-ed25519 {ENCODED} acme",
        f"{SCHEME.upper()} {ENCODED} acme",
        f"{SCHEME} {ENCODED[:-1]} acme",
        f"{SCHEME} {ENCODED[:-2]}R= acme",
        f"{SCHEME} {ENCODED.replace('=', '')} acme",
        f"{SCHEME} {ENCODED[:20]}-{ENCODED[21:]} acme",
        f"{SCHEME} {ENCODED[:20]}\n{ENCODED[20:]} acme",
        f"{SCHEME} {base64.b64encode(bytes(31)).decode()} acme",
        f"{SCHEME} {base64.b64encode(bytes([1] + [0] * 31)).decode()} acme",
        f"{SCHEME} {ENCODED} Acme",
        f"{SCHEME} {ENCODED} аcme",  # noqa: RUF001
        f"{SCHEME} {ENCODED} ac\u202eme",
        f"{SCHEME} {ENCODED} " + "a" * 65,
    ],
)
def test_lines_that_are_no_public_key(line: str) -> None:
    with pytest.raises(InputError) as failure:
        PublicKey.from_line(line)
    assert "\n" not in str(failure.value)


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(LINE) - 1), letter=st.characters())
def test_a_changed_line_is_another_key_or_none(at: int, letter: str) -> None:
    line = LINE[:at] + letter + LINE[at + 1 :]
    try:
        read = PublicKey.from_line(line)
    except InputError:
        return
    assert read.line == line


def test_equality_is_of_keys_not_names() -> None:
    assert key("a").public == key("b").public
    assert key("a").public.id == key("b").public.id
    assert len({key("a").public, key("b").public}) == 1


def test_a_secret_shows_itself_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret = key()
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("x").warning("%s %r", secret, secret)
        path, _ = secret.write(tmp_path, PASSPHRASE)
        said = []
        for attempt in (lambda: PrivateKey.read(path, lambda: b"a wrong passphrase"), lambda: pickle.dumps(secret)):
            try:
                attempt()
            except (InputError, TypeError):
                said.append(traceback.format_exc())
    assert len(said) == 2
    told = " ".join([str(secret), repr(secret), f"{secret}", caplog.text, *said])
    encodings = (SEED.hex(), base64.b64encode(SEED).decode(), repr(SEED), PASSPHRASE.decode(), "a wrong passphrase")
    assert not [form for form in encodings if form in told.replace('lambda: b"a wrong passphrase"', "")]
    with pytest.raises(TypeError):
        copy.deepcopy(secret)
    assert not hasattr(secret, "__dict__")


def test_a_signature_has_one_form() -> None:
    """A scalar with the order of the group added to it would sign the same; it is refused."""
    signature = key().sign(b"x")
    other = signature[:32] + (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")
    assert key().public.verifies(signature, b"x")
    assert not key().public.verifies(other, b"x")


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, public = key().write(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.setitem(sys.modules, name, None)
    for attempt in (
        lambda: PrivateKey.new("a"),
        lambda: PrivateKey.read(secret, never),
        lambda: read_public(public).verifies(bytes(64), b""),
    ):
        with pytest.raises(MissingExtra, match=r"headstart\[serve\]"):
            attempt()
