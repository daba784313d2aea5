"""The model whose operators are what was missed: what deployments had no kernel for, called as often as they did."""

from __future__ import annotations

from collections.abc import Callable

from targets import Target
from targets.errors import InputError
from tuner.frontend.model import Model, ModelOp, Step
from tuner.missed import verified
from tuner.toolchain import toolchain
from tuning_db.store import Store

NAME = "misses"
# As many workloads as a job takes up, those that were missed most.
MOST = 256


def model_of_misses(
    store: Store, target: Target, untuned: bool = False, say: Callable[[str], None] = lambda line: None
) -> Model:
    """What the database knows to be missed on a chip.

    Args:
        store: an open database.
        target: the chip.
        untuned: only what is not tuned for it yet with this machine's toolchain.
        say: told in a line of what is left out, and why.
    """
    ops = []
    with_tools = toolchain(target).id if untuned else None
    for miss in store.misses(target=target.fingerprint, most=MOST, untuned=with_tools):
        try:
            workload = verified(miss)
        except InputError as error:
            say(f"left out, a miss of {miss.operator}, {miss.count} times: {error}")
            continue
        ops.append(ModelOp(f"{workload.operator} {workload.label}", miss.operator, miss.params, miss.count))
    wanted, known = (store.missed_workloads(target.fingerprint, tools) for tools in (with_tools, None))
    if tuned := known - wanted:
        say(f"{tuned} of the {known} workloads missed on {target.name} are tuned there by now, and left out")
    if wanted > MOST:
        say(f"of the {wanted} workloads missed on {target.name} the {MOST} that were missed most are taken up")
    return Model(NAME, "misses", Step(), tuple(ops))


def waiting_misses(store: Store, target: Target) -> int:
    """How many workloads that were missed on a chip are not tuned for it yet with this machine's toolchain."""
    return store.missed_workloads(target.fingerprint, toolchain(target).id)
