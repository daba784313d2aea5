"""The process that runs the kernels of a plan: JSON lines on its standard output say where it is and what it found."""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from schedules.operator import Operator, Tolerance, make_operator
from targets.errors import HeadstartError, first_line
from tuner.bench import torch_ops
from tuner.bench.torch_ops.made import VIEWED
from tuner.cuda.build import launches
from tuner.cuda.device import FLUSH, IN_A_ROW, slack
from tuner.cuda.driver import Driver

# Samples that every schedule gets, those of the best and of torch, and how many are the best.
FIRST, ROUNDS, BEST = 3, 25, 6

Call = Callable[[], Any]


class Bench:
    """The GPU with what timing needs."""

    def __init__(self) -> None:
        torch.set_grad_enabled(False)
        torch.cuda.init()
        self.flush = torch.empty(FLUSH, dtype=torch.uint8, device="cuda")
        self.driver = Driver()
        self.driver.use(0)

    def cold(self, call: Call) -> tuple[Any, Any]:
        """One call with nothing of it in the caches, between two events."""
        self.flush.zero_()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        return start, end

    def rounds(self, calls: Sequence[Call], count: int) -> list[list[float]]:
        """Seconds of cold calls that take turns."""
        events: list[list[Any]] = [[] for _ in calls]
        for _ in range(count):
            for at, call in enumerate(calls):
                events[at].append(self.cold(call))
            torch.cuda.synchronize()
        return [[start.elapsed_time(end) / 1000 for start, end in pairs] for pairs in events]

    def warm(self, call: Call) -> list[float]:
        """Seconds of a call, of many in a row that were recorded once, so that the CPU has no part in it."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(IN_A_ROW):
                call()
        graph.replay()
        found = []
        for _ in range(5):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            graph.replay()
            end.record()
            torch.cuda.synchronize()
            found.append(start.elapsed_time(end) / 1000 / IN_A_ROW)
        return found


def say(**line: Any) -> None:
    """One line to the parent."""
    print(json.dumps(line), flush=True)


def on_gpu(array: np.ndarray) -> torch.Tensor:
    """A copy of an array on the GPU."""
    if array.dtype in VIEWED:
        integer, kind = VIEWED[array.dtype]
        return torch.from_numpy(array.view(integer)).cuda().view(kind)
    return torch.from_numpy(array).cuda()


def mismatch(out: torch.Tensor, reference: torch.Tensor, tolerance: Tolerance) -> str | None:
    """The rule of ``schedules.compare.mismatch``, on the GPU."""
    a, b = out.float(), reference.float()
    finite = b.isfinite()
    scale = b[finite].square().mean().sqrt() if finite.any() else 0.0
    right = (a == b) | (a.isfinite() & ((a - b).abs() <= tolerance.atol * scale + tolerance.rtol * b.abs()))
    wrong = ~right
    count = int(wrong.sum())
    if a.numel() - count >= tolerance.fraction * a.numel():
        return None
    first = int(wrong.flatten().nonzero()[0])
    got, expected = float(a.flatten()[first]), float(b.flatten()[first])
    return f"{count} of {a.numel()} elements wrong, the first at {first}: got {got:.6g}, expected {expected:.6g}"


class Case:
    """A workload of the plan on the GPU: inputs, outputs and what they should be."""

    def __init__(self, bench: Bench, case: dict[str, Any]) -> None:
        self.bench, self.case = bench, case
        self.operator: Operator = make_operator(case["operator"], case["params"])
        self.inputs = self.operator.inputs(np.random.default_rng(1))
        self.expected = [on_gpu(array) for array in self.operator.reference(self.inputs)]
        self.outputs = [torch.empty_like(array) for array in self.expected]
        self.arguments = [on_gpu(array) for array in self.inputs]
        named = zip(case["inputs"] + case["outputs"], self.arguments + self.outputs, strict=True)
        self.addresses = {name: tensor.data_ptr() for name, tensor in named}

    def wrong(self, outputs: Sequence[torch.Tensor]) -> str | None:
        """What is wrong with outputs."""
        torch.cuda.synchronize()
        for out, reference, tolerance in zip(outputs, self.expected, self.operator.tolerances, strict=True):
            reason = mismatch(out, reference, self.tolerance(tolerance))
            if reason is not None:
                return reason
        return None

    def tolerance(self, tolerance: Tolerance) -> Tolerance:
        """What an output may be off on a GPU."""
        return replace(tolerance, atol=slack(self.operator.arithmetic) * tolerance.atol)

    def check(self, call: Call) -> str | None:
        """Run a kernel on outputs that nothing has written yet; what is wrong with them."""
        for output in self.outputs:
            output.view(torch.uint8).fill_(0xFF)
        call()
        return self.wrong(self.outputs)

    def tried(self, folder: Path, boxes: bool) -> list[dict[str, Any]]:
        """The schedules that were built; without ``boxes`` none that waits for the tensor memory unit."""
        return [
            line
            for line in self.case["schedules"]
            if "file" in line
            and (folder / f"{line['file']}.cubin").exists()
            and (boxes or not any(launch.boxes for launch in launches(line)))
        ]

    def kernel(self, folder: Path, line: dict[str, Any]) -> Call:
        """A schedule of the plan, ready to be started."""
        code = (folder / f"{line['file']}.cubin").read_bytes()
        program = self.bench.driver.load(code, launches(line))
        scratch = {name: torch.empty(size, dtype=torch.uint8, device="cuda") for name, size in line["scratch"].items()}

        def call() -> None:
            addresses = self.addresses | {name: tensor.data_ptr() for name, tensor in scratch.items()}
            program.start(addresses, torch.cuda.current_stream().cuda_stream)

        return call

    def torch_calls(self, compiling: bool) -> dict[str, Call]:
        """Ways to compute it in torch, as it comes and, where it is no product, the first of them compiled.

        Those that take operands of another type are marked in ``others``: they are timed all the same.
        """
        found: dict[str, Call] = {}
        self.others: set[str] = set()
        for name, make in torch_ops.ways(self.operator).items():
            if "float32" in name:
                continue
            made = make(self.inputs)
            module = made.module.cuda()
            # As a function of tensors: not every torch can trace a module that holds a list of parameters.
            body = getattr(module, "function", module)
            held = [weight.detach() for weight in module.weights] if hasattr(module, "weights") else []
            arguments = [tensor.cuda() for tensor in made.arguments] + (held if body is not module else [])
            ways = {f"torch {name}": partial(body, *arguments)}
            if compiling and not found and "linear" not in self.case["operator"]:
                torch._dynamo.reset()
                ways[f"torch.compile {name}"] = partial(torch.compile(body, dynamic=False), *arguments)
            self.others |= ways.keys() if made.stand_in else set()
            found |= ways
        if self.case["operator"] == "linear_fp8":
            a, sa, w, sw = self.arguments
            # cuBLAS wants the scales of rows with the rows next to one another.
            rows = sa.t().contiguous().t()
            found["torch._scaled_mm"] = partial(
                torch._scaled_mm, a, w.t(), scale_a=rows, scale_b=sw.t(), out_dtype=torch.bfloat16
            )
        return found


def run_case(
    bench: Bench, folder: Path, case: dict[str, Any], name: str, skip: set[str], deadline: float, boxes: bool
) -> None:
    """Check every schedule of a case, time the right ones, and say what came of it."""
    began = time.monotonic()
    say(event="at", at=f"{name}/inputs")
    here = Case(bench, case)
    calls: dict[str, Call] = {}
    wrong: dict[str, str] = {}
    for line in here.tried(folder, boxes):
        at = f"{name}/{line['id']}"
        if at in skip:
            continue
        say(event="at", at=at)
        call = here.kernel(folder, line)
        reason = here.check(call)
        if reason is None:
            calls[line["id"]] = call
        else:
            wrong[line["id"]] = reason
    say(event="at", at=f"{name}/torch")
    peers: dict[str, Call] = {}
    for peer, call in here.torch_calls(time.monotonic() < deadline - 60).items() if f"{name}/torch" not in skip else ():
        try:
            result = call()
        except Exception as error:
            wrong[peer] = first_line(error)
            print("".join(traceback.format_exception(error)[-4:])[-1500:], flush=True)
            continue
        reason = here.wrong(result if isinstance(result, tuple) else [result])
        if reason is not None:
            wrong[peer] = reason
        # What torch computes from the same operands and gets wrong is no peer.
        if reason is None or peer in here.others:
            peers[peer] = call
    say(event="at", at=f"{name}/times")
    cold = dict(zip(calls, bench.rounds(list(calls.values()), FIRST), strict=True))
    best = sorted(calls, key=lambda at: min(cold[at]))[:BEST]
    best += [
        line["id"]
        for line in case["schedules"]
        if line["schedule"]["space"] == "default" and line["id"] in calls and line["id"] not in best
    ]
    finalists = {at: calls[at] for at in best} | peers
    cold |= dict(zip(finalists, bench.rounds(list(finalists.values()), ROUNDS), strict=True))
    warm = {}
    for at, call in finalists.items():
        with contextlib.suppress(RuntimeError):
            warm[at] = bench.warm(call)
    # Once more, now that they were timed: a race may show late.
    for at in best:
        reason = here.check(calls[at])
        if reason is not None:
            wrong[at] = reason
    took = time.monotonic() - began
    others = sorted(here.others & peers.keys()) if peers else []
    say(
        event="case", case=name, cold=cold, warm=warm, wrong=wrong, others=others, finalists=list(finalists),
        seconds=took,
    )  # fmt: skip
    times = {at: statistics.median(cold[at]) * 1e6 for at in finalists}
    ranked = sorted(times, key=lambda at: times[at])[:5]
    listed = ", ".join(f"{at[:24]} {times[at]:.1f}" for at in ranked)
    print(f"{name}: {listed} us; {len(calls)} right, {len(wrong)} wrong; {took:.1f} s", flush=True)
    for at, reason in list(wrong.items())[:2]:
        print(f"    {at[:24]}: {reason}", flush=True)


def main() -> None:
    """Read the request of the parent and do what it says."""
    request = json.load(sys.stdin)
    folder, deadline = Path(request["folder"]), time.monotonic() + request["seconds"]
    plan = json.loads((folder / "plan.json").read_text())
    bench = Bench()
    samples = {"every schedule": FIRST, "in the last rounds": ROUNDS}
    say(event="device", name=bench.driver.gpus()[0].name, torch=torch.__version__, samples=samples)
    for case in plan["cases"]:
        name = f"{case['operator']} {case['label']}"
        lost = {f"{name}/inputs", f"{name}/times"} & set(request["skip"])
        if name in request["done"] or lost or time.monotonic() > deadline - 5:
            continue
        try:
            run_case(bench, folder, case, name, set(request["skip"]), deadline, request["boxes"])
        except (RuntimeError, HeadstartError) as error:
            # What a broken kernel leaves of the context is of no use to the next case.
            print(f"{name}: {first_line(error)}", flush=True)
            sys.exit(1)


if __name__ == "__main__":
    main()
