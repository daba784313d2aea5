"""``headstart targets``: the chips that are known, and the one of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli import _output

if TYPE_CHECKING:
    from targets import Target


@click.group()
def command() -> None:
    """Show the chips that are known, recognise this one and measure what it can reach.

    \b
    Examples:
      headstart targets list
      headstart targets show graviton3
      headstart targets detect
    """


@command.command("list")
@_output.json_option
def list_targets(as_json: bool) -> None:
    """List the chips of the catalogue and those that plug-ins add, the ones that cannot be used with the reason.

    \b
    Example:
      headstart targets list --json
    """
    from schedules.plugin_spaces import checked
    from targets import catalogue, plugins

    known, added = catalogue.targets(), [checked(name) for name in plugins.names()]
    good = [chip for chip, _ in added if chip is not None]
    broken = {name: fault for name, (chip, fault) in zip(plugins.names(), added, strict=True) if chip is None}
    if as_json:
        listed = [_document(target) for target in known]
        listed += [_document(chip.target) | {"plugin": chip.origin} for chip in good]
        _output.echo_json(listed + [{"name": name, "broken": fault} for name, fault in broken.items()])
        return
    columns = ("name", "chip", "cores", "fp32", "bf16", "int8", "memory")
    rows = [(t.name, _model(t), str(t.cores), *_rates(t)) for t in [*known, *(chip.target for chip in good)]]
    _output.table("Chips (peaks in 10^12 operations/s, memory in GB/s)", columns, rows, left=2)
    for chip in good:
        click.echo(f"{chip.target.name}: added by {chip.origin}")
    for fault in broken.values():
        click.echo(f"cannot be used: {fault}")
    click.echo("headstart targets show NAME prints one with the source of every figure; detect recognises this CPU.")


@command.command("show")
@click.argument("name")
@_output.json_option
def show_target(name: str, as_json: bool) -> None:
    """Show one chip, each figure with its source; NAME may be host.

    \b
    Example:
      headstart targets show zen4
    """
    import targets
    from targets import catalogue, host

    target = targets.resolve(name)
    is_host = isinstance(target, host.Host)
    sources = catalogue.specs().get(target.name, {}).get("sources", {}) if not is_host else {}
    if is_host:
        _measure(fresh=False)
    if as_json:
        _output.echo_json(_document(target) | ({"sources": sources} if sources else {}))
        return
    _print(target, sources)


@command.command("detect")
@click.option("--fresh", is_flag=True, help="Measure the peaks again; the best of all measurements is kept.")
@_output.json_option
def detect_target(fresh: bool, as_json: bool) -> None:
    """Recognise this CPU and measure its peaks, once: they are kept for later runs.

    \b
    Examples:
      headstart targets detect
      headstart targets detect --fresh --json
    """
    target = _measure(fresh)
    if as_json:
        _output.echo_json(_document(target))
        return
    _print(target, {})


def _measure(fresh: bool) -> Target:
    """The host, with peaks; a spinner while they are measured."""
    from targets import host

    here = host.host()
    if fresh or host.stored_peaks(here) is None:
        with _output.progress_console.status(f"measuring the peaks of {here.name}, about 8 seconds"):
            here.measure_again()
    return here


def _document(target: Target) -> dict[str, Any]:
    return target.spec() | {"fingerprint": target.fingerprint}


def _rates(target: Target) -> tuple[str, ...]:
    flops = target.peaks.flops if target.peaks else {}
    rates = (_short(flops[key] / 1e12, 1) if key in flops else "-" for key in ("float32", "bfloat16", "int8"))
    return (*rates, _short(target.peaks.dram / 1e9, 0) if target.peaks else "-")


def _short(value: float, digits: int) -> str:
    """So many digits after the point, or the first two that are not 0: chips differ by a million times."""
    return f"{value:,.{digits}f}" if value >= 10**-digits else f"{value:.2g}"


def _print(target: Target, sources: dict[str, str]) -> None:
    rows = [
        ("name", target.name, ""),
        ("fingerprint", target.fingerprint, ""),
        ("model", _model(target), ""),
        (
            "TVM target",
            ", ".join(f"{key}={_plain(value)}" for key, value in target.tvm.items()),
            sources.get("tvm", ""),
        ),
        ("cores", str(target.cores), sources.get("cores", "")),
        ("vector registers", f"{target.vector_bits} bits", sources.get("vector_bits", "")),
        ("features", " ".join(target.features) or "-", sources.get("features", "")),
        ("L1 data, a core", _size(target.l1d), sources.get("l1d", "")),
        ("L2, a core", _size(target.l2), sources.get("l2", "")),
        ("last level, in all", _size(target.l3), sources.get("l3", "")),
        ("memory", _size(target.memory), sources.get("memory", "")),
    ]
    if target.peaks is not None:
        for key, value in target.peaks.flops.items():
            rows.append((key, f"{_short(value / 1e9, 0)} G/s", sources.get(f"peaks.flops.{key}", "")))
        rows.append(("memory bandwidth", f"{target.peaks.dram / 1e9:,.1f} GB/s", sources.get("peaks.dram", "")))
        cache = f"{target.peaks.cache / 1e9:,.1f} GB/s" if target.peaks.cache else "-"
        rows.append(("cache bandwidth", cache, sources.get("peaks.cache", "")))
        rows.append(("peaks", target.peaks.source, ""))
    columns = ("", "value", "source") if sources else ("", "value")
    _output.table(target.name, columns, [row[: len(columns)] for row in rows], left=3)


def _model(target: Target) -> str:
    """Vendor and model, the vendor said once."""
    return target.model if target.model.startswith(target.vendor) else f"{target.vendor} {target.model}"


def _plain(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)


def _size(value: int) -> str:
    return _output.size(value) if value else "-"
