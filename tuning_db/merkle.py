"""Merkle trees over SHA-256 as RFC 9162, section 2.1, has them (RFC 6962's are the same): roots, growing, proofs.

A hash is 32 bytes. Trees are not held here: what makes roots and proofs asks a ``Node`` for the hashes of perfect
subtrees, which never change once the tree has grown past them, and asks for O(log n) of them. What verifies takes
hashes and numbers from strangers and answers True or False; it raises nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

# Level and index of a perfect subtree to its hash: leaves ``index << level`` up to ``(index + 1) << level``.
Node = Callable[[int, int], bytes]


def leaf_hash(content: bytes) -> bytes:
    """Hash of a leaf: SHA-256 of a zero byte and its content."""
    return hashlib.sha256(b"\0" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: SHA-256 of a one byte and the hashes of both children."""
    return hashlib.sha256(b"\1" + left + right).digest()


def completed(left: Callable[[int], bytes], index: int, leaf: bytes) -> list[bytes]:
    """Hashes of the perfect subtrees whose last leaf is number ``index``, the leaf itself first, each twice the last.

    Args:
        left: level to the hash of the perfect subtree to merge with: the one of that level that ends where the subtree
            found so far begins. Asked with growing levels, once for each bit of ``index`` that is set below its
            lowest zero.
        index: of the leaf, from 0.
        leaf: its hash.
    """
    made = [leaf]
    while index >> (len(made) - 1) & 1:
        made.append(node_hash(left(len(made) - 1), made[-1]))
    return made


class Frontier:
    """The right edge of a tree that grows: hashes of its perfect subtrees, largest first; O(log n) of memory.

    Attributes:
        size: number of leaves.
    """

    def __init__(self) -> None:
        self.size = 0
        self._edge: list[bytes] = []

    def append(self, leaf: bytes) -> list[bytes]:
        """Add a leaf by its hash, and return ``completed`` of it."""
        made = completed(lambda level: self._edge.pop(), self.size, leaf)
        self._edge.append(made[-1])
        self.size += 1
        return made

    def root(self) -> bytes:
        """Root hash of the leaves so far."""
        return _joined(self._edge) if self.size else EMPTY_ROOT


def root_hash(node: Node, size: int) -> bytes:
    """Root hash of the first ``size`` leaves."""
    return _range_hash(node, 0, size) if size else EMPTY_ROOT


def inclusion_proof(node: Node, index: int, size: int) -> list[bytes]:
    """Hashes that prove that leaf ``index`` is in the tree of the first ``size`` leaves (RFC 9162, 2.1.3.1).

    Raises:
        ValueError: there is no such leaf in a tree of that size.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    start, stop, path = 0, size, []
    while stop - start > 1:
        middle = start + _half(stop - start)
        if index < middle:
            path.append(_range_hash(node, middle, stop))
            stop = middle
        else:
            path.append(_range_hash(node, start, middle))
            start = middle
    return path[::-1]


def consistency_proof(node: Node, old: int, new: int) -> list[bytes]:
    """Hashes that prove that the tree of ``old`` leaves is the beginning of that of ``new`` (RFC 9162, 2.1.4.1).

    Nothing needs to be shown of an empty tree or of one that did not grow: the proof is empty.

    Raises:
        ValueError: ``old`` is negative or more than ``new``.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} leaves does not continue one of {old}")
    start, stop, path = 0, new, []
    while 0 < old < stop:
        middle = start + _half(stop - start)
        if old <= middle:
            path.append(_range_hash(node, middle, stop))
            stop = middle
        else:
            path.append(_range_hash(node, start, middle))
            start = middle
    if start:
        path.append(_range_hash(node, start, stop))
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether ``proof`` shows that ``leaf`` is number ``index`` under ``root`` (RFC 9162, 2.1.3.2).

    ``size`` is believed: it must come with ``root``, out of a checkpoint whose signature was verified.
    """
    if not (0 <= index < size and _are_hashes(leaf, root, *proof)):
        return False
    at, last, made = index, size - 1, leaf
    for other in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            made = node_hash(other, made)
            at, last = _up_to_the_right(at, last)
        else:
            made = node_hash(made, other)
        at, last = at >> 1, last >> 1
    return last == 0 and made == root


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether ``proof`` shows that the tree of ``old_root`` is the beginning of that of ``new_root`` (2.1.4.2).

    Sizes are believed, as by ``verify_inclusion``. An empty tree is the beginning of every tree.
    """
    if not (0 <= old <= new and _are_hashes(old_root, new_root, *proof)):
        return False
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    # Where the old tree is perfect, its root is itself the first hash of the proof, and left out.
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        return False
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old_made = new_made = path[0]
    for other in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old_made, new_made = node_hash(other, old_made), node_hash(other, new_made)
            at, last = _up_to_the_right(at, last)
        else:
            new_made = node_hash(new_made, other)
        at, last = at >> 1, last >> 1
    return last == 0 and old_made == old_root and new_made == new_root


def _half(size: int) -> int:
    """The largest power of two below ``size``, which is 2 or more: leaves under the left child."""
    return 1 << ((size - 1).bit_length() - 1)


def _range_hash(node: Node, start: int, stop: int) -> bytes:
    """Hash of the subtree over leaves ``start`` up to ``stop``; a power of two no less than it divides ``start``."""
    parts = []
    while start < stop:
        level = (stop - start).bit_length() - 1
        parts.append(node(level, start >> level))
        start += 1 << level
    return _joined(parts)


def _joined(parts: Sequence[bytes]) -> bytes:
    """Hash over perfect subtrees that shrink from left to right, one or more."""
    made = parts[-1]
    for left in parts[-2::-1]:
        made = node_hash(left, made)
    return made


def _up_to_the_right(at: int, last: int) -> tuple[int, int]:
    """Where a node at the right edge is, after the levels on which it has no sibling."""
    while at and not at & 1:
        at, last = at >> 1, last >> 1
    return at, last


def _are_hashes(*values: bytes) -> bool:
    return all(isinstance(value, bytes) and len(value) == HASH_BYTES for value in values)
