"""What a run on a GPU found, as one file and a table: the best schedule of each case beside torch and the default.

    python -m tuner.cuda.table PLAN RUN.json BUILT.json OUT.json

writes what is worth keeping to OUT.json and prints the table in Markdown.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from targets import Target
from targets.roofline import floor_seconds


def results(plan: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], built: Mapping[str, Any]) -> dict[str, Any]:
    """By case: how many schedules there were and what became of them, and the times of those in the last rounds.

    Args:
        plan: of ``tuner.cuda.plan``.
        lines: of ``tuner.cuda.run``.
        built: of ``tuner.cuda.build``.
    """
    ran = {line["case"]: line for line in lines if line["event"] == "case"}
    device = next((line for line in lines if line["event"] == "device"), {})
    target = Target.from_spec(plan["target"])
    cases = []
    for case in plan["cases"]:
        name = f"{case['operator']} {case['label']}"
        if name not in ran or "cold" not in ran[name]:
            continue
        line, known = ran[name], {each["id"]: each for each in case["schedules"]}
        entrants = []
        for at in line["finalists"]:
            if at in line["wrong"] and at in known:
                continue
            entrant: dict[str, Any] = {"cold": _summary(line["cold"][at]), "wrong": line["wrong"].get(at)}
            if at in line["warm"]:
                entrant["warm"] = _summary(line["warm"][at])
            if at in known:
                resources = built.get(known[at]["file"], {}).get("resources", [])
                entrant |= {"schedule": known[at]["schedule"], "resources": resources}
            else:
                entrant["peer"] = at
                # Operands of another type, for want of torch's own: not the same product, and so marked.
                entrant["stand in"] = at in line.get("others", ())
            entrants.append(entrant)
        cases.append(
            {key: case[key] for key in ("operator", "params", "label", "workload", "flops", "bytes")}
            | {
                "floor": floor_seconds(target, case["flops"], case["bytes"], arithmetic=case["arithmetic"]),
                "schedules": len(known),
                "not built": sum("error" in each or "error" in built.get(each["file"], {}) for each in known.values()),
                "right": sum(at in line["cold"] and at not in line["wrong"] for at in known),
                "wrong": {at: reason for at, reason in line["wrong"].items() if at in known},
                "entrants": sorted(entrants, key=lambda entrant: entrant["cold"]["median"]),
            }
        )
    lost = [line["at"] for line in lines if line["event"] == "lost"]
    return {
        "device": device.get("name"),
        "torch": device.get("torch"),
        "toolchain": plan["toolchain"],
        "samples": device.get("samples"),
        "lost": lost,
        "cases": cases,
    }


def _summary(samples: Sequence[float]) -> dict[str, float]:
    ordered = sorted(samples)
    quarter = len(ordered) // 4
    return {"median": statistics.median(ordered), "low": ordered[quarter], "high": ordered[-1 - quarter]}


def table(found: Mapping[str, Any]) -> Iterable[str]:
    """Lines of a table in Markdown; times in microseconds, cold caches, warm ones in parentheses.

    A dagger marks a peer that computes from operands of another type, where torch has nothing for these.
    """
    yield "| operator | best of ours | its space | TVM's default | torch | ours against torch | of the floor |"
    yield "|---|---|---|---|---|---|---|"
    for case in found["cases"]:
        ours = [entrant for entrant in case["entrants"] if "schedule" in entrant]
        tuned = [entrant for entrant in ours if entrant["schedule"]["space"] != "default"]
        default = [entrant for entrant in ours if entrant["schedule"]["space"] == "default"]
        peers = [entrant for entrant in case["entrants"] if "peer" in entrant]
        if not tuned:
            continue
        best = tuned[0]
        same = [entrant for entrant in peers if not entrant.get("stand in")]
        peers = same or peers
        mark = "" if same else " †"
        peer = f"{_times(peers[0])} {peers[0]['peer']}{mark}" if peers else ""
        ratio = f"{peers[0]['cold']['median'] / best['cold']['median']:.2f}" if peers else ""
        yield (
            f"| {case['operator']} {case['label']} | {_times(best)} | {best['schedule']['space']} "
            f"| {_times(default[0]) if default else ''} | {peer} | {ratio} "
            f"| {case['floor'] / best['cold']['median']:.0%} |"
        )


def _times(entrant: Mapping[str, Any]) -> str:
    warm = f" ({entrant['warm']['median'] * 1e6:.1f})" if "warm" in entrant else ""
    return f"{entrant['cold']['median'] * 1e6:.1f}{warm}"


def main() -> None:
    """The command above."""
    plan, run, built, out = (Path(argument) for argument in sys.argv[1:])
    found = results(json.loads(plan.read_text()), json.loads(run.read_text()), json.loads(built.read_text()))
    out.write_text(json.dumps(found, indent=1))
    print(*table(found), sep="\n")


if __name__ == "__main__":
    main()
