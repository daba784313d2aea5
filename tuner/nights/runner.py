"""Runs the jobs of a database, a slice of one after a slice of another, until all are done or the night is over."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from targets.errors import HeadstartError, InputError, first_line
from tuner.executor import Executor
from tuner.executors import chip_for, executor_for
from tuner.job import Event, Job
from tuner.nights.heart import Heart
from tuner.nights.lock import only_runner
from tuner.nights.plan import plan_of
from tuner.nights.request import Request
from tuner.nights.slice import Slice
from tuner.policy import policy_for
from tuner.row_job import job_for
from tuner.tasks import step_tasks
from tuning_db.job_life import is_lost
from tuning_db.store import Store

# Seconds of a slice, after which whoever else waits has a turn; to begin one takes some seconds.
SLICE_S = 300.0
# Times in a row that a job may be unable to begin, as where a cluster is away, and seconds to wait after each.
PATIENCE_S = (30.0, 120.0, 600.0)
POLL_S = 1.0
# Slices in which a workload is tried that cannot be tuned, as where it does not fit into memory.
TRIES = 2

Row = dict[str, Any]


class Runner:
    """The one process that runs the jobs of a database.

    Each slice begins as a new process would: from what the database has. So a night that ends in the middle, however
    it ends, costs the trials in flight, and what one job found another one that shares workloads knows.

    Args:
        store: the database.
        length: seconds of the night; None for as long as there are jobs.
        slice_s: seconds of a slice.
        listener: called after each trial with the row of its job, and with None wherever the log has new lines.
    """

    def __init__(
        self,
        store: Store,
        length: float | None = None,
        slice_s: float = SLICE_S,
        listener: Callable[[Row, Event | None], None] = lambda row, event: None,
    ) -> None:
        self.store, self.length, self.slice_s, self.listener = store, length, slice_s, listener
        self.stopped = False
        self._start = time.monotonic()
        self._job: Job | None = None
        # Of this night: how often a workload of a job could not be tuned; and jobs that could not begin, with how often
        # in a row, and when to try again.
        self._failures: dict[str, Counter[str]] = {}
        self._troubled: dict[str, tuple[int, float]] = {}

    def run(self) -> None:
        """Run jobs until none waits any more or the night is over.

        Raises:
            HeadstartError: another process runs the jobs of this database, or the database cannot be written.
        """
        with only_runner(self.store.path):
            self._take_up()
            while not self.over:
                waiting = {job for job, (_, moment) in self._troubled.items() if moment > time.monotonic()}
                row = self.store.take_job(waiting)
                if row is not None:
                    self._turn(row)
                elif waiting & {row["id"] for row in self.store.jobs("queued")}:
                    time.sleep(POLL_S)
                else:
                    return

    def stop(self) -> None:
        """End after the trials in flight; the job waits for the next night."""
        self.stopped = True
        self._halt()

    @property
    def over(self) -> bool:
        """Whether the night is."""
        return self.stopped or (self.length is not None and time.monotonic() - self._start >= self.length)

    def _take_up(self) -> None:
        """Put back into the queue what was running when the last runner, or its machine, lost its power."""
        for row in self.store.jobs("running"):
            seen = {name: row[name] for name in ("host", "pid", "heartbeat")}
            if row["queued"] is not None:
                # The lock is ours, so nobody runs it.
                self.store.lose_job(row["id"], "queued", seen)
                self.listener(row, None)
            elif is_lost(row, time.time()):
                self.store.lose_job(row["id"], "interrupted", seen)

    def _turn(self, row: Row) -> None:
        """Run a job for a slice; whatever comes of it, the next one has its turn."""
        id = row["id"]
        self.listener(row, None)
        try:
            end, data = self._tune(row)
        except KeyboardInterrupt:
            self.stopped = True
            end, data = "queued", {}
        except HeadstartError as error:
            # What is wrong with a cluster may be better in a while; what was asked for is not.
            lasting = isinstance(error, InputError) and not row["spec"].get("ray")
            end, data = ("failed", {"reason": str(error)}) if lasting else self._trouble(id, str(error))
        except Exception as error:  # whatever it is must not end the night for the others
            end, data = "failed", {"reason": first_line(error)}
        finally:
            self._job = None
        if end == "queued":
            self.store.leave_job(id, "stopped" if self.over else "trouble" if data else "waits", data)
        else:
            self.store.finish_job(id, end, data)
        self.listener(row, None)

    def _tune(self, row: Row) -> tuple[str, dict[str, Any]]:
        """Tune for a slice; returns the state in which the job goes on, and what to keep of how it got there."""
        id, request = row["id"], Request.from_json(row["spec"])
        budget = Slice(request.seconds, request.trials, request.within, used=row["spent"], up=partial(self._up, id))
        with Heart(self.store.path, id, lambda: budget.progress(self._job.tasks) if self._job else None, self._halt):
            chip = chip_for(request.target, request.ray)
            models = request.models(self.store.path, chip, partial(self._note, id))
            policy = policy_for(models[0].step.phase, chip, request.cache)
            by_step = step_tasks(self.store, models, chip, policy)
            tasks = list({task.workload.id: task for step in by_step for task in step}.values())
            self._note_plan(id, plan_of(models, tasks))
            with executor_for(chip, policy, request.ray) as executor:
                job = job_for(self.store, executor, tasks, budget, models, listener=self._listen(row), id=id)
                self._run(job, executor)
            self._troubled.pop(id, None)
        self.store.heartbeat(id, budget.progress(job.tasks))
        if job.interrupted or budget.ended:
            return "queued", {}
        if tasks and all(task.workload.id in job.failures and task.champion is None for task in tasks):
            return "failed", {"reason": f"no workload could be tuned: {job.failures[tasks[0].workload.id]}"}
        return "done", {}

    def _run(self, job: Job, executor: Executor) -> None:
        """Run a job for its slice, and keep what went wrong with workloads and devices."""
        failures = self._failures.setdefault(job.id, Counter())
        given_up = {workload: "tried in vain" for workload, count in failures.items() if count >= TRIES}
        job.failures |= given_up
        self._job = job
        if self.over:
            job.stop()
        try:
            job.run()
        finally:
            for device in executor.status():
                if device.state in ("lost", "refused"):
                    self.store.log_job(job.id, "device", device.to_json())
        for workload in sorted(set(job.failures) - set(given_up)):
            self.store.log_job(job.id, "failure", {"workload": workload, "reason": job.failures[workload]})
            failures[workload] += 1

    def _note(self, id: str, text: str) -> None:
        self.store.log_job(id, "note", {"text": text})

    def _note_plan(self, id: str, plan: dict[str, Any]) -> None:
        """Keep what the job works on, where that is not what it was last time."""
        if [plan] != [line["data"] for line in self.store.job_log(id) if line["event"] == "plan"][-1:]:
            self.store.log_job(id, "plan", plan)

    def _up(self, id: str, had: float) -> bool:
        """Whether a slice that had so many seconds is up: whose turn it is still makes room for nobody."""
        up = self.over or (had >= self.slice_s and self.store.must_wait(id))
        if up:
            self._halt()  # so that the job does without what only its end is for
        return up

    def _halt(self) -> None:
        """End the job's slice after the trial that is being taken."""
        if self._job is not None:
            self._job.stop()

    def _trouble(self, id: str, reason: str) -> tuple[str, dict[str, Any]]:
        """Something that may be better in a while."""
        times = self._troubled.get(id, (0, 0.0))[0]
        if times == len(PATIENCE_S):
            return "failed", {"reason": reason}
        self._troubled[id] = times + 1, time.monotonic() + PATIENCE_S[times]
        return "queued", {"reason": reason, "again_s": PATIENCE_S[times]}

    def _listen(self, row: Row) -> Callable[[Event], None]:
        def listen(event: Event) -> None:
            if event.crowned:
                workload = event.task.workload
                told = {"workload": workload.id, "operator": workload.operator, "label": workload.label}
                self.store.log_job(row["id"], "champion", told | {"seconds": event.outcome.median})
            self.listener(row, event)

        return listen
