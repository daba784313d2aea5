"""What has one spelling, canonical JSON: what was read writes the same bytes again, so that a digest names it."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import Any, ClassVar, TypeVar

from targets.digest import canonical_json
from tuning_db.readers import parse

S = TypeVar("S", bound="Spelled")


class Spelled(ABC):
    """A record that travels as its bytes.

    Attributes:
        MOST: bytes that it may have.
        DEPTH: how deep its JSON may be nested.
    """

    MOST: ClassVar[int]
    DEPTH: ClassVar[int]

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """It as JSON types."""

    @classmethod
    @abstractmethod
    def from_json(cls: type[S], value: Any) -> S:
        """Read what ``to_json`` wrote.

        Raises:
            ValueError: it is anything else; the message says where.
        """

    def dumps(self) -> bytes:
        """The one spelling of it, in canonical JSON."""
        return canonical_json(self.to_json()).encode()

    @property
    def digest(self) -> str:
        """SHA-256 of ``dumps()``, in hex."""
        return hashlib.sha256(self.dumps()).hexdigest()

    @classmethod
    def loads(cls: type[S], data: bytes) -> S:
        """Read what ``dumps`` wrote, to the byte.

        Raises:
            ValueError: it is anything else; the message says where.
        """
        if len(data) > cls.MOST:
            raise ValueError(f"is longer than {cls.MOST >> 20} MiB")
        found = cls.from_json(parse(data, cls.DEPTH))
        if found.dumps() != data:
            raise ValueError("is not spelled as canonical JSON is")
        return found
