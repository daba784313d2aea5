"""``headstart submit``: sign what was tuned here, send it, and keep the receipts."""

from __future__ import annotations

import functools
import itertools
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli._interrupt import interruptible
from cli._limits import Duration
from cli._output import echo_json, json_option, say
from cli._passphrase import passphrase
from cli._service import Connection, service_options, verifier_option
from targets.errors import HeadstartError, InputError

if TYPE_CHECKING:
    from tuning_db.batch import Batch
    from tuning_db.following import Follower
    from tuning_db.note import VerifierKey
    from tuning_db.sending import Parcel, Sent


# Trials that are listed under a reason.
MOST = 20


@click.command()
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    default="headstart.db",
    show_default=True,
    help="Local database with the trials.",
)
@click.option("--key", type=click.Path(path_type=Path), help="Your private key, as `headstart keys new` makes it.")
@click.option("--release", help="Release that it is for; the public where it is left out.")
@click.option("--model", help="Only workloads of this model of the local database.")
@click.option("--workload", "workloads", multiple=True, help="Only this workload: an id or its first characters.")
@click.option("--target", help="Only trials on this chip, by name or fingerprint.")
@click.option("--every", is_flag=True, help="The fastest schedules of each workload, not only the champion.")
@click.option(
    "--follow",
    type=Duration(),
    help="Go on until Ctrl-C: look this often, such as every 5m, for what has become champion, and send it.",
)
@click.option(
    "--file",
    "files",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Send this envelope instead, one that --out or an attempt wrote.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Send nothing: write the envelopes into this folder.",
)
@click.option("--vendor", help="With --out: who you are at the service, so that it need not be asked.")
@click.option(
    "--receipts",
    type=click.Path(path_type=Path, file_okay=False),
    default="receipts",
    show_default=True,
    help="Folder for receipts.",
)
@verifier_option
@service_options
@json_option
def command(
    source: Path,
    key: Path | None,
    follow: float | None,
    files: tuple[Path, ...],
    out: Path | None,
    vendor: str | None,
    receipts: Path,
    verifier: VerifierKey | None,
    connection: Connection,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Sign the champions of a local database and send them to a shared one, as claims for a release.

    A batch is taken whole or not at all; where one is refused, the exit code is 1 and the reasons are listed. Receipts
    are kept in a folder, and verified where the key of the service is given. What the service has already is left out,
    and sending an envelope again is harmless.

    \b
    Example:
      headstart submit --release v5-preview --key acme-2026.key --db https://race.example --token-file acme.token
      headstart submit --release v5-preview --key acme-2026.key --follow 5m --token-file acme.token
      headstart submit --key acme-2026.key --vendor acme --release v5-preview --out outbox
      headstart submit --file outbox/b0123.envelope.json --db https://race.example --token-file acme.token
    """
    from tuning_db.answers import ACCOUNT
    from tuning_db.client import at
    from tuning_db.following import Follower
    from tuning_db.sending import Parcel, send, sent_before, without

    if follow and (files or out):
        raise InputError("--follow sends what comes: it goes with neither --file nor --out")
    if vendor is not None and out is None:
        raise InputError("--vendor goes with --out; who sends something is known by token or --as")
    if out is not None and vendor is not None:
        sign = _signer(key)
        _kept([sign(batch) for batch in _batches(source, vendor, **chosen)], out, as_json)
        return
    with connection.open() as client:
        account = client.get(at("account"), ACCOUNT)

        def deliver(parcel: Parcel) -> Sent:
            return send(client, parcel, receipts, account["id"], verifier)

        if files:
            parcels = [Parcel.read(file) for file in files]
        else:
            sign, known = _signer(key), sent_before(client, chosen["release"], account["name"])
            if follow:
                collect = functools.partial(_collect, source, account["name"], **chosen)
                _follow(Follower(collect, sign, deliver, known), follow, as_json)
                return
            batches = _batches(source, account["name"], **chosen)
            rest = without(batches, known)
            if left_out := _trials(batches) - _trials(rest):
                click.echo(f"{left_out} trials are there already, and left out", err=True)
            parcels = [sign(batch) for batch in rest]
        if out is not None:
            _kept(parcels, out, as_json)
            return
        sent: list[Sent] = []
        for number, parcel in enumerate(parcels, 1):
            if len(parcels) > 1:
                click.echo(f"batch {number} of {len(parcels)}: {len(parcel.batch.claims)} trials", err=True)
            sent.append(deliver(parcel))
            if not as_json:
                _tell(sent[-1])
    if as_json:
        echo_json({"batches": [_json(one) for one in sent]})
    elif verifier is None and any(one.taken for one in sent):
        click.echo("The receipts were not verified: give the key of the service with --verifier.", err=True)
    sys.exit(0 if all(one.taken for one in sent) else 1)


def _signer(key: Path | None) -> Callable[[Batch], Parcel]:
    """What signs batches with the key in a file, which is read once."""
    from tuning_db.keys import PrivateKey
    from tuning_db.sending import Parcel
    from tuning_db.submission import sign_batch

    if key is None:
        raise InputError("a batch is signed: give your key with --key, or an envelope with --file")
    private = PrivateKey.read(key, passphrase)
    return lambda batch: Parcel(batch, sign_batch(batch, private).dumps())


def _collect(source: Path, vendor: str, **chosen: Any) -> list[Batch]:
    """What a local database has to send."""
    from tuning_db.collect import batches_of
    from tuning_db.store import Store

    with Store.open(source, create=False) as store:
        return batches_of(store, vendor, **chosen)


def _batches(source: Path, vendor: str, **chosen: Any) -> list[Batch]:
    """The same, and something."""
    from tuning_db.screening import MIN_SAMPLES

    found = _collect(source, vendor, **chosen)
    if not found:
        what = "trial" if chosen["every"] else "champion"
        raise InputError(f"nothing to send: no {what} with {MIN_SAMPLES} samples of these workloads in {source}")
    return found


def _trials(batches: Sequence[Batch]) -> int:
    return sum(len(batch.claims) for batch in batches)


def _follow(follower: Follower, pause_s: float, as_json: bool) -> None:
    """Send what is new until somebody stops it. Only what goes wrong at first ends it: then nothing ever worked."""
    said = ""
    with interruptible(), suppress(KeyboardInterrupt):
        for visit in itertools.count():
            try:
                for sent in follower.visit():
                    if as_json:
                        say(json.dumps(_json(sent)))
                    else:
                        _tell(sent)
                said = ""
            except HeadstartError as error:
                if not visit:
                    raise
                if str(error) != said:
                    click.echo(f"{error}; going on", err=True)
                said = str(error)
            if not visit:
                click.echo("sending what becomes champion from now on; Ctrl-C ends it", err=True)
            time.sleep(pause_s)


def _kept(parcels: Sequence[Parcel], folder: Path, as_json: bool) -> None:
    """Write envelopes and say where."""
    written = [(parcel.write(folder), parcel.batch) for parcel in parcels]
    if as_json:
        echo_json(
            {
                "envelopes": [
                    {"path": str(path), "batch": batch.id, "trials": len(batch.claims)} for path, batch in written
                ]
            }
        )
        return
    for path, batch in written:
        say(f"{path}: {len(batch.claims)} trials for {batch.release or 'the public'}, signed and not sent")


def _tell(sent: Sent) -> None:
    """What became of a batch, for people."""
    batch = sent.parcel.batch
    said = sent.notes if sent.taken else sent.reasons
    if sent.taken:
        proof = "verified" if sent.verified else "not verified"
        where = batch.release or "the public"
        say(f"batch {batch.id}: {len(sent.claims)} claims for {where} taken, receipt {sent.receipt} {proof}")
    else:
        say(f"batch {batch.id}: refused, and nothing of it was kept")
    for code in dict.fromkeys(one["code"] for one in said):
        some = [one for one in said if one["code"] == code]
        say(f"{code}: {_meaning(code)}")
        for one in some[:MOST]:
            entry = one["entry"]
            claim = batch.claims[entry - 1] if isinstance(entry, int) and 0 < entry <= len(batch.claims) else None
            where = f"trial {entry}, {claim.workload} in {claim.schedule.space}: " if claim else ""
            say(f"  {where}{one['message']}")
        if len(some) > MOST:
            say(f"  and {len(some) - MOST} more; --json has all")


def _meaning(code: str) -> str:
    """What a code says, where this Headstart knows it."""
    from tuning_db.reasons import Reason

    return next((reason.meaning for reason in Reason if reason.value == code), "a reason that is new here")


def _json(sent: Sent) -> dict[str, Any]:
    batch = sent.parcel.batch
    return {
        "batch": batch.id,
        "release": batch.release,
        "trials": len(batch.claims),
        "taken": sent.taken,
        "claims": list(sent.claims),
        "notes": list(sent.notes),
        "reasons": list(sent.reasons),
        "receipt": str(sent.receipt) if sent.receipt else None,
        "verified": sent.verified,
    }
