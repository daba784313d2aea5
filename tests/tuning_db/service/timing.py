"""How long answers for hidden things take beside those for things that do not exist.

Both are asked for in turn on one connection, in an order that is drawn, so that whatever disturbs the machine disturbs
both. What is compared is not seconds: it is how likely an answer for the hidden thing takes longer than one for the
absent thing, one half where nobody can tell.

``python -m tests.tuning_db.service.timing [SAMPLES] [RELEASES]`` measures with many samples, and with so many hidden
releases more, each with an invitation.
"""

from __future__ import annotations

import bisect
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.tuning_db.claims import CHIP, WORKLOAD, batch, claim
from tests.tuning_db.example import POLICY, TOOLCHAIN
from tests.tuning_db.service.probes import Probe
from tests.tuning_db.service.running import EARLY, LAUNCH, START
from tests.tuning_db.service.worlds import SECRET_CHIP, SEEN, Wire, Worlds, worlds
from tuning_db.releases import Rules
from tuning_db.store import Store
from tuning_db.submission import sign_batch


@dataclass(frozen=True)
class Measured:
    """Seconds of answers for a hidden and for an absent thing."""

    there: list[float]
    absent: list[float]

    @property
    def slower(self) -> float:
        """How likely an answer for the hidden thing took longer, ties counting half."""
        ordered = sorted(self.absent)
        ranks = (bisect.bisect_left(ordered, one) + bisect.bisect_right(ordered, one) for one in self.there)
        return sum(ranks) / (2 * len(self.there) * len(ordered))

    @property
    def apart(self) -> float:
        """Seconds between the medians."""
        return statistics.median(self.there) - statistics.median(self.absent)


def measure(
    pairs: Mapping[str, tuple[Wire, Wire, Probe, Probe]], tokens: dict[str, str], samples: int
) -> dict[str, Measured]:
    """Time pairs of requests, so many samples of each."""
    lucky = random.Random(1)
    found: dict[str, Measured] = {name: Measured([], []) for name in pairs}
    for at in range(samples + 5):
        for name in lucky.sample(sorted(pairs), len(pairs)):
            first, second, there, absent = pairs[name]
            both = [(first, there, found[name].there), (second, absent, found[name].absent)]
            for wire, probe, times in lucky.sample(both, 2):
                began = time.perf_counter()
                wire.ask([probe], tokens)
                took = time.perf_counter() - began
                if at >= 5:
                    times.append(took)
    return found


def pairs_of(both: Worlds) -> dict[str, tuple[Wire, Wire, Probe, Probe]]:
    """What to time: hidden things and absent ones in one world; and the same question to both worlds."""
    wire, other = both.wires
    ids, here, absent = both.there.ids, both.release, "r" + "5" * 24
    trial, no_trial = both.trials[0], "t" + "5" * 28

    def of(
        method: str, who: str | None, path: str, there: str, gone: str, *bodies: bytes
    ) -> tuple[Wire, Wire, Probe, Probe]:
        sent = bodies or (b"", b"")
        made = [Probe("/v1", method, path.format(id), who, body) for id, body in zip((there, gone), sent, strict=True)]
        return wire, wire, made[0], made[1]

    def sent(workload: str, release: str | None) -> bytes:
        made = batch(claim(1, workload=workload), vendor="rival", release=release, nonce="7" * 32)
        return sign_batch(made, both.there.keys["rival"]).dumps()

    key = f"/v1/champion?workload={{}}&target={CHIP.fingerprint}&toolchain={TOOLCHAIN.id}&policy={POLICY.id}"
    nowhere = "w" + "5" * 24
    verdict, invitation = b'{"outcome": "withdrawn"}', b'{"account": "rival", "opens": 1}'
    chips = [
        f'{{"account": "rival", "opens": 1, "target": "{of}"}}'.encode()
        for of in (SECRET_CHIP.fingerprint, "c" + "5" * 24)
    ]
    same = {
        "releases": Probe("/v1", "GET", "/v1/releases", "rival"),
        "releases, anybody": Probe("/v1", "GET", "/v1/releases", None),
        "champion that is public": Probe("/v1", "GET", key.format(SEEN), "rival"),
        "standings that are public": Probe("/v1", "GET", f"/v1/releases/{ids['r0']}/standings", None),
        "repository that is public": Probe("/v1", "GET", "/v1/repositories/public/metadata/timestamp.json", None),
        "checkpoint of public": Probe("/v1", "GET", "/v1/ledgers/public/checkpoint", None),
        "a submission that is refused": Probe("/v1", "POST", "/v1/submissions", "rival", sent(nowhere, None)),
    }
    return {
        "release by id": of("GET", "rival", "/v1/releases/{}", here, absent),
        "release by name, anybody": of("GET", None, "/v1/releases/{}", "r1", "r9"),
        "standings": of("GET", "rival", "/v1/releases/{}/standings", here, absent),
        "claim": of("GET", "rival", "/v1/claims/{}", trial, no_trial),
        "claim, anybody": of("GET", None, "/v1/claims/{}", trial, no_trial),
        "champion": of("GET", "rival", key, WORKLOAD, nowhere),
        "champion, anybody": of("GET", None, key, WORKLOAD, nowhere),
        "checkpoint": of("GET", "rival", f"/v1/ledgers/{{}}.{ids['acme']}/checkpoint", here, absent),
        "entries": of("GET", None, f"/v1/ledgers/{{}}.{ids['acme']}/entries", here, absent),
        "verdict of a vendor": of("POST", "rival", "/v1/claims/{}/verdicts", trial, no_trial, verdict, verdict),
        "verdict of a referee": of("POST", "judge", "/v1/claims/{}/verdicts", trial, no_trial, verdict, verdict),
        "invitation": of("POST", "other-lab", "/v1/releases/{}/invitations", here, absent, invitation, invitation),
        "repository": of("GET", "rival", "/v1/repositories/{}/metadata/timestamp.json", here, absent),
        "repository, anybody": of("GET", None, "/v1/repositories/{}/metadata/1.root.json", "r1", "r9"),
        "file, anybody": of("GET", None, f"/v1/repositories/{{}}/targets/{both.files[0]}", here, absent),
        "repository of another lab": of("GET", "other-lab", "/v1/repositories/{}", here, absent),
        "invitation to a chip": of("POST", "other-lab", f"/v1/releases/{ids['own']}/invitations", "", "", *chips),
        "submission": of("POST", "rival", "/v1/submissions", "", "", sent(WORKLOAD, "r1"), sent(nowhere, "r9")),
        "submission for all": of("POST", "rival", "/v1/submissions", "", "", sent(WORKLOAD, None), sent(nowhere, None)),
        **{f"both worlds: {name}": (wire, other, probe, probe) for name, probe in same.items()},
    }


@contextmanager
def busy(folder: Path, claims: int = 20, releases: int = 0) -> Iterator[Worlds]:
    """Both worlds with some hidden work in one, a moment before the launch."""
    with worlds(folder, 1) as both:
        both.at(EARLY)
        while both.claims < claims or not both.files:
            both.work()
        with Store.open(both.there.db) as store:
            lab, vendor = store.account("lab"), store.account("acme")
            for n in range(releases):
                both.dice.throw(f"release {n}")
                model = {"name": f"more {n}", "source": "lab", "step": {}, "ops": []}
                made = store.add_release(f"more{n}", lab, LAUNCH, Rules(), [model], START)
                store.invite(made, vendor, EARLY)
        both.at(LAUNCH - 1)
        yield both


def main(samples: int, releases: int) -> None:
    """Print what was measured."""
    with tempfile.TemporaryDirectory() as folder, busy(Path(folder), 100, releases) as both:
        print(f"{samples} samples of each; {both.claims} hidden claims, {releases + 1} hidden releases")
        print(f"{'':42} {'absent':>9} {'apart':>9} {'5 to 95 % of absent':>20} {'slower':>7}")
        for name, of in measure(pairs_of(both), both.there.tokens, samples).items():
            cut = statistics.quantiles(of.absent, n=20)
            spread = f"{cut[0] * 1e3:.2f} to {cut[-1] * 1e3:.2f} ms"
            middle = f"{statistics.median(of.absent) * 1e3:.3f} ms"
            print(f"{name:42} {middle:>9} {of.apart * 1e6:>+6.0f} us {spread:>20} {of.slower:>7.3f}")


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    main(given[0] if given else 2000, given[1] if len(given) > 1 else 0)
