"""The passphrase of a private key: from the environment, or typed where nobody sees it."""

from __future__ import annotations

import os
import sys

import click

from targets.errors import InputError

VARIABLE = "HEADSTART_KEY_PASSPHRASE"


def from_environment() -> bytes | None:
    """What the variable holds, None where it is not set."""
    value = os.environb.get(VARIABLE.encode())
    if value == b"":
        raise InputError(f"{VARIABLE} is empty; unset it for a key without a passphrase")
    return value


def passphrase(new: bool = False) -> bytes:
    """The passphrase, asked for where the environment does not have it; with ``new``, asked for twice.

    Raises:
        InputError: the variable is not set, and there is nobody to ask.
    """
    value = from_environment()
    if value is not None:
        return value
    if not sys.stdin.isatty():
        raise InputError(f"the key has a passphrase, and there is no terminal to ask for it at; set {VARIABLE}")
    typed: str = click.prompt("Passphrase of the key", hide_input=True, confirmation_prompt=new, err=True)
    return typed.encode()
