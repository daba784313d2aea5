"""A model by what a person types: a catalogue name, a config, an ONNX file, or an exported program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from targets import Target, resolve
from targets.errors import InputError
from tuner.frontend import catalogue
from tuner.frontend.config import config_path, family_of, model_from_config, read_config
from tuner.frontend.fields import Fields
from tuner.frontend.missed import NAME as MISSES
from tuner.frontend.missed import model_of_misses
from tuner.frontend.model import Model, Step
from tuner.frontend.step import complete_step
from tuning_db.store import Store

SUFFIXES = (".json", ".onnx", ".pt2")


def load_model(
    spec: str,
    step: Step,
    skip_unsupported: bool = False,
    db: Path | None = None,
    target: Target | None = None,
    untuned: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Model:
    """The model that ``spec`` names, at one step.

    Args:
        spec: a catalogue name; a path to a ``config.json`` or to a folder with one; a path to an ``.onnx`` file; or a
            path to a ``.pt2`` file that ``torch.export.save`` wrote. A catalogue name wins over a path: write
            ``./NAME`` for a folder that has one.
        step: the step of inference; what an ONNX file or an exported program holds has its shapes already.
        skip_unsupported: go on without operators of an ONNX file or exported program that cannot be imported.
        db: a database; a model that was imported into it is known by its name, where nothing else is called so. The
            name ``misses`` is what deployments told it that they miss.
        target: whose misses are meant, this machine's chip unless said.
        untuned: only those that are not tuned for it yet.
        say: told in a line of what is left out of them.

    Raises:
        InputError: nothing of that name, or it cannot be read, or not at this step.
        MissingExtra: ONNX or torch is needed and not installed.
    """
    if spec in catalogue.names():
        return catalogue.load(spec, step)
    if spec == MISSES and db is not None:
        with Store.open(db, create=False) as store:
            return model_of_misses(store, target or resolve("host"), untuned, say)
    stored = _stored(spec, db)
    if stored is not None:
        return stored
    path = _existing(spec)
    if path.suffix == ".onnx":
        from tuner.frontend.onnx import model_from_onnx

        return model_from_onnx(path, step, skip_unsupported)
    if path.suffix == ".pt2":
        from tuner.frontend.torch_export import model_from_exported

        return model_from_exported(path, step, skip_unsupported)
    return model_from_config(path, step)


def step_for(
    spec: str,
    db: Path | None = None,
    *,
    phase: str | None = None,
    tokens: int | None = None,
    batch: int | None = None,
    kv_len: int | None = None,
    tp: int = 1,
    ep: int = 1,
) -> Step:
    """The step to load ``spec`` at, blanks filled in the way that suits the model (see ``complete_step``).

    A model imported into ``db`` has the step that it was imported at.

    Raises:
        InputError: nothing of that name, or the step makes no sense, or is not that of the imported model.
    """
    given: dict[str, Any] = {"phase": phase, "tokens": tokens, "batch": batch, "kv_len": kv_len, "tp": tp, "ep": ep}
    stored = _stored_step(spec, db)
    if stored is not None:
        said = {name: value for name, value in given.items() if value != (1 if name in ("tp", "ep") else None)}
        if any(getattr(stored, name) != value for name, value in said.items()):
            if spec == MISSES:
                raise InputError("misses have their shapes already; leave out the options of a step")
            raise InputError(
                f"{spec} was imported at another step; leave out its options, or import it again at this one"
            )
        return stored
    path = catalogue.path_of(spec) if spec in catalogue.names() else _existing(spec)
    if path.suffix in (".onnx", ".pt2"):
        return complete_step(**given)
    path = config_path(path)
    family = family_of(Fields(read_config(path), str(path)))
    return complete_step(**given, phases=family.phases, sequence=family.sequence)


def _stored(spec: str, db: Path | None) -> Model | None:
    """The model of this name in the database, unless the name is that of something else."""
    if db is None or spec in catalogue.names() or Path(spec).exists() or not db.is_file():
        return None
    from tuner.frontend.stored import read_model

    with Store.open(db, create=False, read_only=True) as store:
        return read_model(store, spec) if spec in store.model_names() else None


def _stored_step(spec: str, db: Path | None) -> Step | None:
    """The one step that a model of the database has; misses have whatever shapes they have, and any step will do."""
    if spec == MISSES and db is not None:
        return Step()
    stored = _stored(spec, db)
    return stored.step if stored else None


def _existing(spec: str) -> Path:
    """The path that ``spec`` is, if there is anything there.

    Raises:
        InputError: there is not.
    """
    path = Path(spec)
    try:
        if path.exists():
            return path
    except (OSError, ValueError):  # too long, no permission, a null character
        pass
    if path.suffix in SUFFIXES or "/" in spec:
        raise InputError(f"{spec}: no such file")
    return catalogue.path_of(spec)
