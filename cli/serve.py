"""``headstart serve``: a shared database over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cli._options import db_option
from cli._passphrase import passphrase
from targets.errors import InputError, MissingExtra

LIMIT = click.FloatRange(0, 1e6)
# A second, from one address.
WRONG_TOKENS = 1.0


@click.command()
@db_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8420, show_default=True, help="Port; 0 for a free one.")
@click.option(
    "--ledger-key",
    type=click.Path(path_type=Path),
    required=True,
    help="Signing key, as `headstart ledger key` makes it.",
)
@click.option(
    "--repository-key",
    type=click.Path(path_type=Path),
    help="Key that signs the service's part of repositories, as `headstart keys new` makes it.",
)
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Certificate chain in PEM.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its private key in PEM.")
@click.option(
    "--proxy",
    "proxies",
    multiple=True,
    metavar="ADDRESS",
    help="Believe the X-Forwarded-For of a proxy with this address, or network; nobody is believed unless said.",
)
@click.option(
    "--rate", type=LIMIT, default=50, show_default=True, help="Requests a second of an account; 0 for no limit."
)
@click.option(
    "--anonymous-rate",
    type=LIMIT,
    default=50,
    show_default=True,
    help="Requests a second of an address without a token; 0 for no limit, on wrong tokens neither.",
)
@click.option(
    "--claims-per-day",
    type=click.IntRange(0),
    default=20_000,
    show_default=True,
    help="Claims of a vendor in 24 hours.",
)
@click.option(
    "--bytes-per-day",
    type=click.IntRange(0),
    default=256 << 20,
    show_default=True,
    help="Bytes of a vendor's submissions in 24 hours.",
)
@click.option(
    "--misses",
    type=click.IntRange(0),
    default=20_000,
    show_default=True,
    help="Misses that are kept of an account: a row for each workload, chip and file.",
)
@click.option(
    "--uploads-per-day",
    type=click.IntRange(0),
    default=8 << 30,
    show_default=True,
    help="Bytes of files that an account may publish in 24 hours.",
)
@click.option(
    "--backup-folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Where a copy lies while it is made; beside the database unless said.",
)
def command(
    db: Path,
    host: str,
    port: int,
    ledger_key: Path,
    repository_key: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    proxies: tuple[str, ...],
    backup_folder: Path | None,
    **limits: Any,
) -> None:
    """Serve a database to vendors, publishers and the public until it is stopped by Ctrl-C or SIGTERM.

    Prints one line of JSON with its url, service and verifier key when it takes requests; what it does goes to standard
    error, a line of JSON for each request. Accounts are made with `headstart accounts`, which also lets one of them do
    more or less than others.

    \b
    Example:
      headstart serve --db race.db --ledger-key service.key
      headstart serve --db race.db --ledger-key service.key --repository-key repository.key
      headstart serve --db race.db --ledger-key service.key --host 0.0.0.0 --tls-cert chain.pem --tls-key tls.key
    """
    if (tls_cert is None) != (tls_key is None):
        raise InputError("TLS takes both --tls-cert and --tls-key")
    try:
        from tuning_db.service.config import Config
        from tuning_db.service.lanes import require_servable
        from tuning_db.service.limits import Rates
        from tuning_db.service.server import ended_by_signals, listen, log_to_stderr, make_server
    except ModuleNotFoundError:
        raise MissingExtra("the service", "serve") from None
    from tuning_db.checkpoint import key_of_log
    from tuning_db.keyfile import read_key
    from tuning_db.keys import PrivateKey
    from tuning_db.quotas import Quota
    from tuning_db.windows import PUBLIC

    key = read_key(ledger_key)
    signer = PrivateKey.read(repository_key, passphrase) if repository_key else None
    require_servable(db)
    with listen(host, port) as bound:
        at = bound.getsockname()
        name = f"[{at[0]}]" if ":" in at[0] else at[0]
        told = {
            "url": f"{'https' if tls_cert else 'http'}://{name}:{at[1]}",
            "port": at[1],
            "service": key.name,
            "verifier_key": str(key_of_log(key, PUBLIC).verifier),
        }

        def ready() -> None:
            click.echo(json.dumps({**told, "writable": server.writable}))

        config = Config(
            db,
            key,
            rates=Rates(limits["rate"], limits["anonymous_rate"], WRONG_TOKENS if limits["anonymous_rate"] else 0),
            quota=Quota(
                claims=limits["claims_per_day"],
                bytes=limits["bytes_per_day"],
                misses=limits["misses"],
                uploads=limits["uploads_per_day"],
            ),
            proxies=proxies,
            copies=backup_folder,
            repository_key=signer,
        )
        server = make_server(config, ready, tls_cert, tls_key)
        log_to_stderr()
        with ended_by_signals():
            server.run(sockets=[bound])
