"""Errors as one line. The two that are the caller's to mend are the runtime's, which stands below everything."""

from collections.abc import Iterator

from headstart_runtime.errors import HeadstartError, InputError

__all__ = ["HeadstartError", "InputError", "MissingExtra", "causes", "first_line", "one_line"]


def one_line(error: BaseException) -> str:
    """The most telling line of an error: TVM's own message follows the dump of a whole program."""
    if isinstance(error, HeadstartError):
        return str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("Error message:")] or lines[-1:] or [""]
    return f"{type(error).__name__}: {told[0]}"[:300]


def first_line(error: BaseException) -> str:
    """The type of an error and the first line of what it says, for libraries that tell the most at the start."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"[:300]


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


class MissingExtra(InputError):
    """An optional part of Headstart was asked for and is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional part of Headstart: pip install 'headstart[{extra}]'")
        self.extra = extra
