"""What a job of the queue is to tune, for which chip, and when it is done: as it was asked for, and as it is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from targets import Target
from targets.errors import InputError
from tuner.backends import devices
from tuner.executors import chip_for
from tuner.frontend import catalogue
from tuner.frontend.load import load_model
from tuner.frontend.missed import NAME as MISSES
from tuner.frontend.model import Model, Step
from tuner.tasks import distinct


@dataclass(frozen=True)
class Request:
    """A model at one step or several, and the limits of the job.

    Attributes:
        model: as ``tuner.frontend.load_model`` takes it.
        target: as ``tuner.executors.chip_for`` takes it.
        cache: of the policy; the phase's own where None.
        seconds, trials, within: when it is done, as in ``tuner.job.Budget``; one of them at least.
        ray: address of the cluster that runs its trials; None for this machine.
    """

    model: str
    steps: tuple[Step, ...]
    target: str = "host"
    cache: str | None = None
    seconds: float | None = None
    trials: int | None = None
    within: float | None = None
    skip_unsupported: bool = False
    ray: str | None = None

    def __post_init__(self) -> None:
        if self.seconds is None and self.trials is None and self.within is None:
            raise InputError("say when to stop: --for 4h, --trials 64, --until-within 5%, or several of them")

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return asdict(self) | {"steps": [asdict(step) for step in self.steps]}

    @classmethod
    def from_json(cls, spec: Mapping[str, Any]) -> Request:
        """The request that a job was made of.

        Raises:
            InputError: it is not one that this Headstart can read.
        """
        try:
            fields = {name: spec[name] for name in cls.__dataclass_fields__}
            return cls(**fields | {"steps": tuple(Step(**step) for step in spec["steps"])})
        except (KeyError, TypeError) as error:
            raise InputError(f"what was asked for cannot be read: {error!r}") from None

    def checked(self, db: Path) -> dict[str, Any]:
        """What to keep of the request in the database, once it is clear that it can be met here.

        Raises:
            InputError: no such model, chip or step, nothing of the model can be tuned, or this machine has no such chip
                (whether a cluster has it is known when the job runs).
            HeadstartError: the chip is known to the cluster at most, and that cannot be reached.
        """
        chip = chip_for(self.target, self.ray)
        if self.ray is None:
            devices(chip)
        models = self.models(db, chip)
        if self.model != MISSES and not any(distinct(model) for model in models):
            raise InputError(f"{self.model}: Headstart has none of its operators, so there is nothing to tune")
        kept = self.to_json() | {"chip": chip.name}
        # Whoever runs the job may do so from another folder.
        path = Path(self.model)
        if self.model not in (*catalogue.names(), MISSES) and path.exists():
            kept["model"] = str(path.absolute())
        return kept

    def models(self, db: Path, chip: Target, say: Callable[[str], None] = lambda line: None) -> list[Model]:
        """The model at each step; ``say`` as in ``load_model``."""
        return [
            load_model(self.model, step, self.skip_unsupported, db, chip, untuned=True, say=say) for step in self.steps
        ]
