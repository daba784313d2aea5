"""People of a service: who they are, the tokens that they show, and the keys that they sign with."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from targets.errors import InputError
from tuning_db.connection import Connection
from tuning_db.readers import name as read_name
from tuning_db.records import new_id

ROLES = ("operator", "publisher", "vendor", "referee", "deployer")
# What a token may be used for; a role's tokens have at most those of the role.
SCOPES = {
    "operator": ("admin", "misses"),
    "publisher": ("read", "publish"),
    "vendor": ("read", "submit"),
    "referee": ("read", "judge"),
    "deployer": ("read", "misses"),
}
# Every token begins so, so that one that was left in a file or a log is found by looking for it.
PREFIX = "hst_"


@dataclass(frozen=True)
class Account:
    """One person or company.

    Attributes:
        id: random; says nothing of when others joined.
        name: unique, see ``readers.name``; in files from before that rule other marks may be together or at the end.
        role: one of ``ROLES``.
        scopes: what the token that was shown may do.
    """

    id: str
    name: str
    role: str
    scopes: tuple[str, ...] = ()


def check_name(name: str) -> str:
    """The name itself.

    Raises:
        InputError: it is not one that looks the same to everybody, and that batches may have.
    """
    try:
        return read_name(name)
    except ValueError as error:
        raise InputError(f"{name!r} cannot be a name: it {error}") from None


class Accounts(Connection):
    """The tables ``account``, ``token`` and ``signing_key``. Tokens are stored as hashes; they are shown once."""

    def add_account(self, name: str, role: str, now: float) -> Account:
        """Let somebody in.

        Raises:
            InputError: the name is taken or none, or there is no such role.
        """
        check_name(name)
        if role not in ROLES:
            raise InputError(f"no role {role!r}; there are {', '.join(ROLES)}")
        id = "a" + secrets.token_hex(12)
        with self.transaction():
            if self.value("SELECT 1 FROM account WHERE name = ?", (name,)):
                raise InputError(f"there is an account {name!r} already")
            self.execute("INSERT INTO account (id, name, role, created) VALUES (?, ?, ?, ?)", (id, name, role, now))
        return Account(id, name, role)

    def account(self, name: str) -> Account:
        """An account by name or id.

        Raises:
            InputError: there is none.
        """
        # An id first: nobody is found by a name that looks like the id of somebody else.
        rows = self.rows(
            "SELECT id, name, role FROM account WHERE name = ? OR id = ? ORDER BY id <> ?", (name, name, name)
        )
        if not rows:
            raise InputError(f"no account {name!r}")
        return Account(**rows[0])

    def full_account(self, name: str, now: float) -> Account:
        """An account by name with all that its role may do, as if it had shown a token for that.

        Raises:
            InputError: there is none, or it is closed.
        """
        account = self.account(name)
        self._require_open(account, now)
        return replace(account, scopes=SCOPES[account.role])

    def accounts(self) -> list[dict[str, Any]]:
        """Every account, by name."""
        return self.rows("SELECT id, name, role, created, closed FROM account ORDER BY name")

    def close_account(self, name: str, now: float) -> None:
        """End an account: none of its tokens opens anything from now on."""
        account = self.account(name)
        with self.transaction():
            self.execute("UPDATE account SET closed = ? WHERE id = ? AND closed IS NULL", (now, account.id))

    def issue_token(
        self, account: Account, now: float, lifetime_s: float, scopes: Sequence[str] | None = None
    ) -> tuple[str, str]:
        """A new token.

        Args:
            account: whose.
            now: seconds since 1970.
            lifetime_s: seconds until it expires.
            scopes: fewer than the role has.

        Returns:
            Its id, which may be shown, and the token, which is not kept anywhere.

        Raises:
            InputError: no scope or one that the role does not have, no lifetime, or the account is closed.
        """
        allowed = SCOPES[account.role]
        wanted = tuple(dict.fromkeys(scopes)) if scopes is not None else allowed
        if not wanted:
            raise InputError("a token has at least one scope")
        if beyond := sorted(set(wanted) - set(allowed)):
            raise InputError(f"a {account.role} cannot have {', '.join(beyond)}; it can have {', '.join(allowed)}")
        if not 0 < lifetime_s < 10 * 365 * 86400:
            raise InputError("a token lives for more than no time and less than ten years")
        id, secret = new_id("k"), secrets.token_urlsafe(32)
        token = f"{PREFIX}{id}_{secret}"
        with self.transaction():
            self._require_open(account, now)
            self.execute(
                "INSERT INTO token (id, account, hash, scopes, created, expires) VALUES (?, ?, ?, ?, ?, ?)",
                (id, account.id, _hash(token), " ".join(wanted), now, now + lifetime_s),
            )
        return id, token

    def authenticate(self, token: str, now: float) -> Account | None:
        """Whose token it is, None where it opens nothing: unknown, expired, revoked, or of a closed account.

        Unknown and wrong tokens take as long as right ones: one indexed read and one comparison of hashes.
        """
        if not token.isascii():
            return None
        id = token[len(PREFIX) :].partition("_")[0] if token.startswith(PREFIX) else ""
        rows = self.rows(
            "SELECT t.hash, t.scopes, t.expires, t.revoked, a.id, a.name, a.role, a.closed"
            " FROM token t JOIN account a ON a.id = t.account WHERE t.id = ?",
            (id,),
        )
        hash = rows[0]["hash"] if rows else "0" * 64
        if not hmac.compare_digest(_hash(token), hash):
            return None
        row = rows[0]
        if row["expires"] <= now or _past(row["revoked"], now) or _past(row["closed"], now):
            return None
        return Account(row["id"], row["name"], row["role"], tuple(row["scopes"].split()))

    def revoke_token(self, id: str, now: float) -> None:
        """End a token.

        Raises:
            InputError: there is none of this id.
        """
        with self.transaction():
            if not self.value("SELECT 1 FROM token WHERE id = ?", (id,)):
                raise InputError(f"no token {id}")
            self.execute("UPDATE token SET revoked = ? WHERE id = ? AND revoked IS NULL", (now, id))

    def tokens(self, account: Account) -> list[dict[str, Any]]:
        """Tokens of an account, without what would open anything."""
        return self.rows(
            "SELECT id, scopes, created, expires, revoked FROM token WHERE account = ? ORDER BY id", (account.id,)
        )

    def add_key(self, account: Account, id: str, public: str, now: float) -> None:
        """Register a public key that an account signs with; twice is once, and a revoked key stays revoked.

        Args:
            account: whose.
            id: hash of the key, computed by the caller.
            public: the key in its published form.
            now: seconds since 1970.

        Raises:
            InputError: the key is somebody else's, or the account is closed.
        """
        with self.transaction():
            self._require_open(account, now)
            owner = self.value("SELECT account FROM signing_key WHERE id = ?", (id,))
            if owner is not None and owner != account.id:
                raise InputError(f"key {id} is registered already, and not for {account.name}")
            insert = "INSERT INTO signing_key (id, account, public, created) VALUES (?, ?, ?, ?)"
            self.execute(f"{insert} ON CONFLICT (id) DO NOTHING", (id, account.id, public, now))

    def revoke_key(self, account: Account, id: str, since: float) -> None:
        """Say that what a key signed from a date on is not to be believed; a second date counts where it is earlier.

        What it signed since that was taken already is for ``revocation.revoke`` to withdraw.

        Raises:
            InputError: the account has no such key.
        """
        with self.transaction():
            if not self.value("SELECT 1 FROM signing_key WHERE id = ? AND account = ?", (id, account.id)):
                raise InputError(f"{account.name} has no key {id}")
            self.execute(
                "UPDATE signing_key SET revoked = min(?, coalesce(revoked, ?)) WHERE id = ?", (since, since, id)
            )

    def keys(self, account: Account) -> list[dict[str, Any]]:
        """Keys of an account, oldest first."""
        return self.rows(
            "SELECT id, public, created, revoked FROM signing_key WHERE account = ? ORDER BY created, id", (account.id,)
        )

    def good_keys(self, account: Account, ids: Iterable[str], now: float) -> list[str]:
        """Public keys among ``ids`` that are the account's and not revoked at ``now``, when a signature arrived."""
        found = {row["id"]: row for row in self.keys(account)}
        return [found[id]["public"] for id in ids if id in found and not _past(found[id]["revoked"], now)]

    def _require_open(self, account: Account, now: float) -> None:
        if _past(self.value("SELECT closed FROM account WHERE id = ?", (account.id,)), now):
            raise InputError(f"the account {account.name} is closed")


def _hash(token: str) -> str:
    # The secret has 256 random bits: a slow hash would add nothing.
    return hashlib.sha256(token.encode()).hexdigest()


def _past(when: float | None, now: float) -> bool:
    return when is not None and when <= now
