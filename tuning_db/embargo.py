"""What a database holds that not everybody may know of yet, and an export therefore leaves out."""

from __future__ import annotations

from tuning_db.connection import Connection
from tuning_db.windows import Viewer, public_model, public_trial, public_workload

# A claim belongs to its release, any other trial to its workload.
PUBLIC_TRIAL = public_trial("t")
NAMED = ("target", "toolchain", "policy", "schedule")


def embargoed(db: Connection, now: float) -> dict[str, set[str]]:
    """Ids, by table, of what is only known through releases that are not launched at ``now``.

    Of models and workloads the windows say what is public. A trial is not where it is a claim of such a release or its
    workload is not public; targets, toolchains, policies and schedules are not where only such trials name them, and a
    target is not where, without a trial, somebody is invited to it.
    """
    moment = Viewer(now).values
    if not db.value("SELECT 1 FROM release WHERE launch > :now", moment):
        return {}
    found = {
        "model": f"SELECT m.id FROM model m WHERE NOT {public_model('m.id')}",
        "workload": f"SELECT w.id FROM workload w WHERE NOT {public_workload('w.id')}",
        "trial": f"SELECT t.id FROM trial t WHERE NOT {PUBLIC_TRIAL}",
    }
    found |= {
        table: f"SELECT t.{table} FROM trial t GROUP BY t.{table} HAVING NOT max({PUBLIC_TRIAL})" for table in NAMED
    }
    found["target"] += (
        " UNION SELECT o.target FROM opening o JOIN release r ON r.id = o.release WHERE r.launch > :now"
        " AND NOT EXISTS (SELECT 1 FROM trial t WHERE t.target = o.target)"
    )
    ids = {table: {next(iter(row.values())) for row in db.rows(sql, moment)} for table, sql in found.items()}
    # A champion is named by its trial.
    return {**ids, "champion": ids["trial"]}
