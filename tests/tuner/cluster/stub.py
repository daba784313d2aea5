"""A measurer that measures nothing: each trial takes a tenth of a second and says what its schedule's hash makes of it.

It imports next to nothing, so that many of them fit into a machine.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time

TRIAL_S = 0.1


class StubMeasurer:
    """As ``tuner.cluster.measurer.Measurer``, seen from the job."""

    def __init__(self, job: str) -> None:
        self.incumbent_s = 0.0
        self.last_s = 0.0

    def begin(self) -> str:
        return json.dumps({"machine": platform.node(), "name": "stub"})

    def open(self, workload: str, seed: int) -> str:
        return json.dumps({"alive": True})

    def ahead(self, schedules: str) -> str:
        return json.dumps({"alive": True})

    def incumbent(self, schedule: str) -> str:
        answer = self.trial(schedule, None)
        self.incumbent_s = self.last_s
        return answer

    def trial(self, schedule: str, built: object) -> str:
        began = time.time()
        time.sleep(TRIAL_S)
        self.last_s = seconds = 1e-3 * (1 + hashlib.sha256(schedule.encode()).digest()[0] / 255)
        ratios = [seconds / self.incumbent_s] * 5 if self.incumbent_s else []
        notes = {"device": f"{platform.node()}/stub", "began": began, "ended": time.time()}
        found = {"status": "ok", "samples": [seconds] * 5, "error": "", "build_s": 0.0, "ratios": ratios}
        return json.dumps({**found, "notes": notes, "alive": True})

    def crown(self) -> str:
        self.incumbent_s = self.last_s
        return json.dumps({"alive": True})
