"""The errors that are the caller's to mend: shown as one line, never as a traceback."""


class HeadstartError(Exception):
    """Something the person at the keyboard can put right.

    The message says what was wrong, where, and what to do. The command line prints it after ``error:``
    and exits with ``exit_code``.
    """

    exit_code = 1


class InputError(HeadstartError):
    """Bad input: a missing or malformed file, an unknown name, an impossible option. Nothing was written."""

    exit_code = 2
