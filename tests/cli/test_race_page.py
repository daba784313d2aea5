"""docs/race.md, command for command, against a real service and against a file: both say the same."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cli.session import ROOT, TINY, Said, folder, plain, run, served
from tests.cli.test_reference import understand
from tests.tuning_db.claims import CHIP
from tests.tuning_db.example import POLICY, TOOLCHAIN
from tests.tuning_db.service.running import call
from tuning_db.records import Key, Status, Trial
from tuning_db.store import Store

PAGE = (ROOT / "docs" / "race.md").read_text()
# Title of a section, and each of its commands.
LINES = [
    (title.strip(), line)
    for title, text in (part.partition("\n")[::2] for part in PAGE.split("\n## ")[1:])
    for block in re.findall("```sh\n(.*?)```", text, re.S)
    for line in block.splitlines()
]


class Walk:
    """Goes through the page in a folder; ``told`` has each command and what it said."""

    def __init__(self, path: Path, how: str, stack: ExitStack) -> None:
        self.path, self.how, self.stack = path, how, stack
        self.told: list[tuple[str, Said]] = []
        self.known: dict[str, str] = {}
        self.url = ""
        (path / "v5").mkdir()
        (path / "v5" / "config.json").write_text(json.dumps(TINY))

    def line(self, title: str, line: str) -> None:
        """Do what a line of the page says."""
        command, _, kept = line.partition(" > ")
        program, *words = shlex.split(command)
        assert program == "headstart"
        if words[0] == "serve":
            understand(words, self.stack.enter_context(pytest.MonkeyPatch.context()))
            if self.how == "url":
                self.url = self.stack.enter_context(served(self.path, "--db=race.db", "--ledger-key=service.key"))
                # As most people have it.
                self.stack.enter_context(folder(self.path, HEADSTART_DB=self.url, HEADSTART_VERIFIER=self.verifier))
            else:
                self.stack.enter_context(folder(self.path, HEADSTART_DB="race.db", HEADSTART_VERIFIER=self.verifier))
            return
        if words[0] == "tune":
            understand(list(words), self.stack.enter_context(pytest.MonkeyPatch.context()))
            tuned(self.path / "v5.db", words[1])
            return
        if title == "The launch" and "launched" not in self.known:
            self.launch()
        if "KEY" in words:
            self.spare()
        words = [self.known.get(word, word) for word in words]
        words = [word.replace("ENVELOPE", self.known.get("ENVELOPE", "")) for word in words]
        if self.how == "file":
            if words[0] == "ledger" and words[1] == "verify":
                return  # of a file it goes over the rows
            words = as_somebody(words)
        if not kept:
            words.append("--json")
        said = run(*words)
        assert said.code == 0, (line, said)
        if kept:
            (self.path / kept).write_text(said.out)
            (self.path / kept).chmod(0o600)
            return
        self.told.append((line, said))
        self.learn(words, said.json)

    def learn(self, words: list[str], answer: Any) -> None:
        """Keep what later lines name in capitals."""
        if words[:2] == ["ledger", "key"]:
            self.verifier = self.known["VERIFIER"] = answer["key"]
        if words[0] == "submit" and "batches" in answer:
            self.known["CLAIM"] = answer["batches"][0]["claims"][0]
        if words[0] == "submit" and "envelopes" in answer:
            self.known["ENVELOPE"] = Path(answer["envelopes"][0]["path"]).name
        if words[:2] == ["claims", "list"]:
            one = next(claim for claim in answer["claims"] if claim["state"] == "standing")
            self.known |= {"CLAIM": one["id"], "WORKLOAD": one["workload"], "TARGET": one["target"]}

    def launch(self) -> None:
        """The time of the launch comes: nothing happens but that the clock says so."""
        assert run("releases", "list", "--json").json == {"releases": []}
        with Store.open(self.path / "race.db") as store, store.transaction():
            store.execute("UPDATE release SET launch = created + 1e-3")
        self.known["launched"] = ""

    def spare(self) -> None:
        """A key that got into other hands."""
        assert run("keys", "new", "spare").code == 0
        words = ["keys", "register", "spare.key", "--token-file", "acme.token", "--json"]
        said = run(*(as_somebody(words) if self.how == "file" else words))
        self.known["KEY"] = said.json["id"]


def as_somebody(words: list[str]) -> list[str]:
    """The words for a file: the name in place of the token."""
    if "--token-file" in words:
        at = words.index("--token-file")
        name = words[at + 1].removesuffix(".token")
        return [*words[:at], "--as", name, "--ledger-key", "service.key", *words[at + 2 :]]
    return [*words, "--as", "late"] if words[0] in ("show", "best") else words


def tuned(db: Path, model: str) -> None:
    """A database as tuning leaves it: the default schedule of some workloads, timed."""
    with Store.open(db) as store, store.transaction():
        store.add_target(CHIP.fingerprint, CHIP.name, CHIP.vendor, CHIP.spec())
        store.add_toolchain(TOOLCHAIN)
        store.add_policy(POLICY)
        schedule = ("default", 1, {})
        from schedules.schedule import Schedule

        plan = Schedule(*schedule)
        store.add_schedule(plan.id, *schedule)
        other = model.replace("decode", "prefill")
        ids = sorted({op["workload"] for name in (model, other) for op in store.model(name)["ops"]})
        for at, id in enumerate(ids):
            samples = (1e-3 + at * 1e-6, 1.03e-3 + at * 1e-6, 1.01e-3 + at * 1e-6)
            key = Key(id, CHIP.fingerprint, TOOLCHAIN.id, POLICY.id)
            trial = Trial(key, plan.id, Status.OK, samples, samples[2], 1e-5, build_s=0.1, machine="here")
            store.add_trial(trial, crown=True)


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Walk]]:
    """Both ways through the page."""
    done = {}
    for how in ("url", "file"):
        path = tmp_path_factory.mktemp(how)
        with ExitStack() as stack:
            stack.enter_context(folder(path))
            walk = done[how] = Walk(path, how, stack)
            for title, line in LINES:
                walk.line(title, line)
            if how == "url":
                # Anybody, without a token, by the clock alone.
                port = int(walk.url.rpartition(":")[2])
                assert call(port, "GET", "/v1/releases/v5-preview").status == 200
    yield done


def test_there_is_something_on_the_page() -> None:
    assert len(LINES) > 30
    assert {line.split()[1] for _, line in LINES} >= {"releases", "submit", "claims", "keys", "ledger", "best", "show"}


def test_a_file_says_what_a_service_says(walks: dict[str, Walk]) -> None:
    told = {}
    for how, walk in walks.items():
        seen: dict[str, str] = {}
        told[how] = [(line, plain(said.json, seen)) for line, said in walk.told if "ledger" not in line]
    assert len(told["url"]) > 25
    for of_url, of_file in zip(told["url"], told["file"], strict=True):
        assert of_url == of_file


@pytest.mark.parametrize("how", ["url", "file"])
def test_what_the_race_came_to(walks: dict[str, Walk], how: str) -> None:
    said = {}
    for line, answer in walks[how].told:
        said[line] = answer.json  # of a line that is there twice, the last time
    (first,) = said[next(line for line in said if line.startswith("headstart submit --from v5.db --model v5-d"))][
        "batches"
    ]
    assert (first["taken"], first["verified"], len(first["claims"])) == (True, True, first["trials"])
    (second,) = said[next(line for line in said if line.startswith("headstart submit --file"))]["batches"]
    assert second["taken"] and second["verified"]
    receipts = sorted(path.name for path in (walks[how].path / "receipts").iterdir())
    assert receipts == sorted(f"{batch['batch']}.receipt.json" for batch in (first, second))
    taken_back = next(answer for line, answer in said.items() if "withdraw" in line)
    assert taken_back["state"] == "withdrawn"
    revoked = next(answer for line, answer in said.items() if "keys revoke" in line)
    assert revoked["withdrawn"] == []
    made = next(answer for line, answer in said.items() if "releases create" in line)
    assert revoked["revoked"] < made["created"] - 86400
    before = said["headstart releases standings v5-preview --token-file lab.token"]
    assert before["standings"] == []
    after = said["headstart releases standings v5-preview"]["standings"]
    assert len(after) == first["trials"] + second["trials"] - 1
    assert {row["vendor"] for row in after} == {"acme"}
    (best,) = said["headstart best WORKLOAD --target TARGET"]["champions"]
    assert best["schedule"]["space"] == "default"
    assert said["headstart show CLAIM"]["id"] == best["id"]


def test_people_can_read_it(walks: dict[str, Walk]) -> None:
    """The same commands without --json print something for people, with no traceback."""
    walk = walks["file"]
    read = [
        "releases list --as acme",
        "releases show v5-preview --as acme",
        "releases openings v5-preview --as lab",
        "releases standings v5-preview",
        "keys list --as acme",
        "claims list --release v5-preview --as judge",
        f"claims show {walk.known['CLAIM']}",
        f"show {walk.known['CLAIM']} --as acme",
        f"show {walk.known['WORKLOAD']} --as acme",
        f"best {walk.known['WORKLOAD']} --target {walk.known['TARGET']} --as acme",
    ]
    with folder(walk.path, HEADSTART_DB="race.db"):
        for line in read:
            said = run(*line.split())
            assert (said.code, said.err) == (0, ""), (line, said)
            assert said.out.count("\n") >= 3 or "show w" in line, (line, said)
        assert "acme" in run("claims", "list").out
        refused = run("releases", "openings", "v5-preview", "--as", "acme")
        assert (refused.code, refused.err) == (2, "error: this takes a token with the scope publish\n")
