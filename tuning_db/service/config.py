"""What a service is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from targets.errors import InputError
from tuning_db.keys import PrivateKey
from tuning_db.note import SigningKey
from tuning_db.quotas import NO_QUOTA, Quota
from tuning_db.service.limits import NO_RATES, Rates


@dataclass(frozen=True)
class Config:
    """What a service needs to know.

    Attributes:
        db: the database file, which is there.
        key: signs checkpoints and receipts; its name is that of the service. None only where a file is used by itself:
            what takes a signature is refused then.
        clock: seconds since 1970; every window opens by it.
        readers: threads that answer questions, each with a connection of its own.
        spaces: versions of spaces by name that submissions may have schedules of; None for those of this Headstart.
        rates: how often somebody may ask.
        quota: what a vendor may send of whom nothing else is said.
        proxies: addresses of proxies whose word on who asks is believed, or networks of them.
        copies: the folder in which a copy lies while it is made; None for that of the database.
        repository_key: signs what the service says of repositories by itself; None where they are only read.
        trusted: name of the account that every request is from, where whoever can ask may do everything anyway;
            empty where tokens say who asks.
    """

    db: Path
    key: SigningKey | None
    clock: Callable[[], float] = time.time
    readers: int = 4
    spaces: Mapping[str, int] | None = None
    rates: Rates = NO_RATES
    quota: Quota = NO_QUOTA
    proxies: Sequence[str] = ()
    copies: Path | None = None
    repository_key: PrivateKey | None = None
    trusted: str = ""

    @property
    def signer(self) -> SigningKey:
        """The key, where something is to be signed.

        Raises:
            InputError: there is none.
        """
        if self.key is None:
            raise InputError("this takes the signing key of the service: give it with --ledger-key")
        return self.key

    @property
    def repository_signer(self) -> PrivateKey:
        """The key of repositories, where something is to be signed.

        Raises:
            InputError: there is none.
        """
        if self.repository_key is None:
            raise InputError("this takes the key that the service signs repositories with: --repository-key")
        return self.repository_key
