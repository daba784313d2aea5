"""Programs as TVM's JSON: what TVM wrote is read, whatever it holds, and nothing that would crash or never end."""

from __future__ import annotations

import json

import pytest
import tvm
import tvm_ffi

from schedules import tvm_json
from schedules.operator import operators
from schedules.workload import Workload
from targets.errors import InputError


@pytest.mark.parametrize("name", operators())
def test_programs_of_all_operators_are_read(name: str) -> None:
    """Those that were written as a script know the lines of it, which are numbers and refer to nothing."""
    func = Workload.of(next(iter(operators()[name].examples()))).prim_func
    assert tvm_ffi.structural_equal(tvm_json.load(tvm.ir.save_json(func)), func)


def graph(*data: object) -> str:
    nodes = [{"type": "None"}, *({"type": "ffi.Array", "data": each} for each in data)]
    return json.dumps({"root_index": len(nodes) - 1, "nodes": nodes})


def test_what_refers_forward_or_never_ends_is_refused() -> None:
    assert list(tvm_json.load(graph([], [1, 1]))) == [[], []]
    doubled = [[max(1, at)] * 2 for at in range(1, 80)]
    deep = [[max(1, at)] for at in range(1, 2000)]
    for text, said in (
        (graph([1]), "node 1 refers to one after it"),
        (graph([2], []), "node 1 refers to one after it"),
        (graph([-1]), "node 1 refers to one after it"),
        (graph([], *doubled), "larger or deeper than any program"),
        (graph([], *deep), "larger or deeper than any program"),
        ('{"root_index": 3, "nodes": []}', "has no root"),
        ("[" * 100_000, "nested too deeply"),
        ("{", "JSONDecodeError"),
        ("{}", "KeyError"),
        ('{"root_index": 1, "nodes": [{"type": "None"}, {"type": "no.Such", "data": {}}]}', "no.Such"),
    ):
        with pytest.raises(InputError) as refused:
            tvm_json.load(text)
        assert said in str(refused.value) and "\n" not in str(refused.value)
