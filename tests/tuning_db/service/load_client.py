"""Vendors that send signed batches as fast as they are answered, many in a process, and never give up."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from tests.tuning_db.crowd import WORKLOADS, chip, claim, computation
from tuning_db.batch import Batch
from tuning_db.keys import PrivateKey
from tuning_db.submission import sign_batch

# Seconds to wait before what was not answered is sent again.
PAUSE_S = 0.05


@dataclass
class Vendor:
    """One of many.

    Attributes:
        release: number of the release that it works on.
        key: file of its private key.
    """

    number: int
    name: str
    token: str
    release: int
    key: Path


@dataclass
class Sent:
    """A batch that was acknowledged.

    Attributes:
        began, ended: seconds of a clock that all processes share.
        tries: how often it was sent.
        answer: the body.
    """

    vendor: int
    trials: int
    began: float
    ended: float
    tries: int
    answer: Any


@dataclass
class Result:
    """What a process of vendors saw; ``cpu_s`` is what it took while it sent."""

    sent: list[Sent] = field(default_factory=list)
    cpu_s: float = 0.0
    idle: int = 0


class Client:
    """A connection that stays open, and is made again where it broke; errors are ``OSError`` or ``EOFError``."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, method: str, path: str, token: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of the answer."""
        lines = [f"{method} {path} HTTP/1.1", "host: x", f"content-length: {len(body)}"]
        lines += [f"authorization: Bearer {token}"] if token else []
        try:
            if self.ends is None:
                self.ends = await asyncio.open_connection("127.0.0.1", self.port)
            reader, writer = self.ends
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:] if line)
            answer = await reader.readexactly(int(headers["content-length"]))
            if headers.get("connection") == "close":
                self.close()
            return int(lines[0].split()[1]), answer
        except (OSError, EOFError):
            self.close()
            raise

    def close(self) -> None:
        """Hang up."""
        if self.ends is not None:
            self.ends[1].close()
            self.ends = None


def batches(vendor: Vendor, count: int, trials: int) -> list[bytes]:
    """What a vendor will send: envelopes, signed before anything is timed."""
    rng = random.Random(vendor.number)
    key = PrivateKey.read(vendor.key, lambda: b"")
    work = [computation(vendor.release, n) for n in range(WORKLOADS)]
    chips = [chip(vendor.number, n) for n in range(2)]
    made = []
    for at in range(count):
        claims = tuple(claim(rng, work[n % len(work)], chips[n % 2], n) for n in range(at * trials, (at + 1) * trials))
        batch = Batch(vendor.name, claims, f"release-{vendor.release}", created=1.75e9)
        made.append(sign_batch(batch, key).dumps())
    return made


async def submit(client: Client, vendor: Vendor, data: bytes, trials: int) -> Sent:
    """Send a batch until it is acknowledged, the very same bytes each time."""
    began, tries = time.perf_counter(), 0
    while True:
        tries += 1
        try:
            status, answer = await client.call("POST", "/v1/submissions", vendor.token, data)
        except (OSError, EOFError):
            await asyncio.sleep(PAUSE_S)
            continue
        if status == 200:
            return Sent(vendor.number, trials, began, time.perf_counter(), tries, answer)
        if status not in (429, 503):
            raise RuntimeError(f"{vendor.name}: {status} {answer!r}")
        await asyncio.sleep(PAUSE_S)


async def race(
    port: int, vendors: Sequence[Vendor], ready: Sequence[list[bytes]], trials: int, over: Callable[[], bool]
) -> Result:
    """Every vendor sends one batch after another until it is over, and the last one until it is acknowledged."""
    result = Result()

    async def work(vendor: Vendor, envelopes: deque[bytes]) -> None:
        client = Client(port)
        while envelopes and not over():
            result.sent.append(await submit(client, vendor, envelopes.popleft(), trials))
        result.idle += not envelopes
        client.close()

    await asyncio.gather(*(work(vendor, deque(some)) for vendor, some in zip(vendors, ready, strict=True)))
    return result


def run(pipe: Connection, over: Event, vendors: Sequence[Vendor], count: int, trials: int) -> None:
    """A process of vendors: says when it has signed, is told the port, and returns a ``Result``."""
    ready = [batches(vendor, count, trials) for vendor in vendors]
    pipe.send("ready")
    port = pipe.recv()
    before = resource.getrusage(resource.RUSAGE_SELF)
    result = asyncio.run(race(port, vendors, ready, trials, over.is_set))
    after = resource.getrusage(resource.RUSAGE_SELF)
    result.cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    for sent in result.sent:
        sent.answer = json.loads(sent.answer)
    pipe.send(result)
