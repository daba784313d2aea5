"""A report as one HTML file that asks the network for nothing and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tuner.failures import failures
from tuner.report import Report, champions
from tuner.report.plots import curve, roofline
from tuner.report.templates import templates
from tuner.summary import Row
from tuning_db.files import whole_file

# Curves drawn, and workloads with a bar of their own: the ones a step spends most time in, and at least this share.
CURVES = 24
BARS = 12
BAR_SHARE = 0.01
# Reasons that are shown of a way to fail.
REASONS = 5


def render(report: Report, now: float) -> str:
    """The page as text; the same report and time give the same text.

    Args:
        now: seconds since 1970 that the page says it was written at.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    environment = templates("the report")
    from markupsafe import Markup  # comes with jinja2

    environment.filters["csp_hash"] = _csp_hash
    rows = report.summary.rows
    reigns = {row.workload: champions(report.trials[row.workload]) for row in rows}
    # A curve of one trial shows nothing that the table does not.
    curved = [(at, row) for at, row in enumerate(rows, 1) if reigns[row.workload] and row.trials > 1]
    every = report.every_trial
    return environment.get_template("report.html.jinja").render(
        report=report,
        model=report.model,
        target=report.target,
        policy=report.policy,
        summary=report.summary,
        rows=list(enumerate(rows, 1)),
        bars=_bars(report.summary.measured),
        roofline=Markup(roofline(rows, report.target.peaks)),
        curves=[
            (at, row, Markup(curve(at, row, report.trials[row.workload], reigns[row.workload])))
            for at, row in curved[:CURVES]
        ],
        more_curves=len(curved[CURVES:]),
        failures=failures(
            ((row.operator, trial) for row in rows for trial in report.trials.get(row.workload, ())), REASONS
        ),
        trials=len(every),
        first=every[0].created if every else None,
        last=every[-1].created if every else None,
        machines=sorted({trial.machine for trial in every if trial.machine}),
        authors=sorted({trial.author for trial in every if trial.author}),
        version=version("headstart"),
        now=now,
    )


def write(path: Path, text: str) -> int:
    """Write a page whole or not at all; returns its bytes.

    Raises:
        InputError: the path cannot be written.
    """
    # A name of a file may hold bytes that are no text.
    data = text.encode("utf-8", errors="replace")
    with whole_file(path) as part:
        part.write_bytes(data)
    return len(data)


def _bars(measured: Sequence[Row]) -> list[dict[str, Any]]:
    """Seconds of a step that each row takes, default and tuned, the small ones in one bar."""
    bars: list[dict[str, Any]] = [
        {
            "name": ", ".join(row.names) or row.operator,
            "what": f"{row.operator} {row.label}",
            "default": row.calls * (row.default_s or 0.0),
            "tuned": row.calls * (row.champion_s or 0.0),
        }
        for row in measured
    ]
    least = BAR_SHARE * sum(bar["default"] for bar in bars)
    large = [bar for bar in bars if bar["default"] >= least][:BARS]
    small = [bar for bar in bars if bar not in large]
    if len(small) > 1:
        total = {key: sum(bar[key] for bar in small) for key in ("default", "tuned")}
        small = [{"name": f"{len(small)} others", "what": "", **total}]
    return large + small


def _csp_hash(script: str) -> str:
    """A script as a Content-Security-Policy names it: the page runs this one and no other."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"
