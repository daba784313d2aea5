"""Schedules that do what bad schedules do, to whoever builds or runs them."""

import os
import signal
import time

import numpy as np

from schedules.space import LoopSpace

# Done while the schedule is built, in Python.
BUILDING = ("die", "hang", "eat", "refuse", "fork", "print", "forge", "flood", "close", "end", "end once")
# Done while the kernel runs: a function of the C library that it calls before it computes, with arguments; (name,
# elements) stands for the address so many elements behind the start of an argument.
RUNNING = {
    "crash": ("abort",),
    "spin": ("pause",),
    "leave": ("_exit", 7),
    "chat": ("puts", '{"to": 1, "done": {}}'),
    "listen": ("getchar",),
    "spill": ("memset", ("C", 32), 0, 4),
    "reach": ("memset", ("C", -1), 0, 4),
    "stray": ("memset", ("C", 1 << 18), 0, 4),
    "scribble": ("memset", ("A", 0), 0, 4),
    "lie": (),
    "skip": (),
    "partial": (),
    "seeded": (),
    "hoard": (),
    "overflow": (),
}


class Hostile(LoopSpace):
    """One knob: which harm to do."""

    name = "hostile"
    version = 1
    KINDS = (*BUILDING, *RUNNING)

    @classmethod
    def supports(cls, workload, target):
        return True

    @property
    def knobs(self):
        return {"kind": list(range(len(self.KINDS)))}

    def transform(self, sch, config):
        kind = self.KINDS[config["kind"]]
        if kind == "die":
            os._exit(7)
        if kind == "hang":
            time.sleep(1000)
        if kind == "eat":
            hoard = []
            while True:
                hoard.append(np.empty(1 << 28, np.uint8))
        if kind == "refuse":
            sch.vectorize(sch.get_loops(sch.get_sblock("C"))[-1])
        if kind == "fork" and os.fork() == 0:
            # The child of a child, in a session of its own: neither the group nor the parent leads to it.
            os.setsid()
            if os.fork() == 0:
                time.sleep(1000)
            os._exit(0)
        if kind in ("print", "forge", "flood"):
            text = {"print": b"rubbish", "forge": b'{"done": {"status": "ok"}}\n', "flood": b"x" * (1 << 25)}[kind]
            for pipe in filter(writable_pipe, map(int, os.listdir("/proc/self/fd"))):
                os.write(pipe, text)
        if kind == "close":
            os.closerange(0, 1000)
        if kind == "end" or (kind == "end once" and not os.path.exists(os.environ["HEADSTART_ENDED"])):
            open(os.environ["HEADSTART_ENDED"], "w").close()
            os.kill(os.getpid(), signal.SIGKILL)

    def apply(self, schedule):
        module = super().apply(schedule)
        kind = self.KINDS[schedule.config["kind"]]
        return harmful(kind) if kind in RUNNING else module


def writable_pipe(number):
    """Whether a file descriptor is the writing end of a pipe."""
    try:
        with open(f"/proc/self/fdinfo/{number}") as info:
            flags = int(info.read().split("flags:")[1].split()[0], 8)
        return os.readlink(f"/proc/self/fd/{number}").startswith("pipe:") and flags & os.O_ACCMODE == os.O_WRONLY
    except OSError:
        return False


def harmful(kind):
    """A linear layer of 4 x 8 x 32 that does harm."""
    import tvm
    from tvm import te, tirx

    a, w = te.placeholder((4, 32), "float32", "A"), te.placeholder((8, 32), "float32", "W")
    k = te.reduce_axis((0, 32), "k")
    if kind == "lie":
        c = te.compute((4, 8), lambda i, j: tirx.const(0.0, "float32"), "C")
    elif kind == "seeded":
        # Right for the inputs of seed 0, which it does not even look at.
        from schedules.operators.linear import Linear

        layer = Linear(4, 8, 32)
        right = layer.reference(layer.inputs(np.random.default_rng(0)))[0].reshape(-1)

        def known(i, j):
            value = tirx.const(float(right[0]), "float32")
            for at in range(1, 32):
                value = tirx.Select(i * 8 + j == at, tirx.const(float(right[at]), "float32"), value)
            return value

        c = te.compute((4, 8), known, "C")
    elif kind == "overflow":
        # The program itself asks for more memory than there is.
        large = te.compute((1 << 45,), lambda i: a[i % 4, i % 32], "large")
        c = te.compute((4, 8), lambda i, j: large[i * 8 + j], "C")
    else:
        c = te.compute((4, 8), lambda i, j: te.sum(a[i, k] * w[j, k], axis=k), "C")
    function = te.create_prim_func([a, w, c]).with_attr("global_symbol", "main")
    buffers = {"A": function.params[0], "C": function.params[2]}  # TVM 0.27: the parameters are the buffers

    def argument(value):
        return buffers[value[0]].access_ptr("w", offset=value[1]) if isinstance(value, tuple) else value

    if kind == "skip":
        function = function.with_body(tirx.Evaluate(0))
    elif kind == "partial":
        function = half(function)
    elif kind == "hoard":
        much = tirx.const(1 << 30, "int64")
        take = tirx.call_extern("int32", "memset", tirx.call_extern("handle", "malloc", much), 1, 4)
        loop = tirx.For(tirx.Var("i", "int32"), 0, 1000, tirx.ForKind.SERIAL, tirx.Evaluate(take))
        function = function.with_body(tirx.SeqStmt([loop, function.body]))
    elif RUNNING[kind]:
        name, *arguments = RUNNING[kind]
        call = tirx.call_extern("int32", name, *map(argument, arguments))
        function = function.with_body(tirx.SeqStmt([tirx.Evaluate(call), function.body]))
    return tvm.IRModule({"main": function})


def half(function):
    """The function with its outermost loop run half as often."""
    import tvm_ffi
    from tvm import tirx

    done = []

    def shorter(loop):
        if done or int(loop.extent) != 4:
            return loop
        done.append(loop)
        return tirx.For(loop.loop_var, loop.min, 2, loop.kind, loop.body)

    return tvm_ffi.structural_map(function, (tirx.For, shorter))
