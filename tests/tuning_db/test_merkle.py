"""Trees are those of RFC 9162: by known vectors, by another implementation, and by what no proof may survive."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuning_db.merkle import (
    EMPTY_ROOT,
    Frontier,
    completed,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_hash,
    verify_consistency,
    verify_inclusion,
)

# The eight leaves that implementations of certificate transparency are tested with, and what they hash to.
LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
# Index (from 0) and size, then the proof.
INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): INCLUSION[0, 8],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): INCLUSION[1, 5][1:],
}


def split(leaves: Sequence[bytes]) -> int:
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return half


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 9162, 2.1.1, over contents."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = split(leaves)
    return hashlib.sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = split(leaves)
    if index < k:
        return [*naive_path(index, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(index - k, leaves[k:]), naive_root(leaves[:k])]


def naive_subproof(m: int, leaves: Sequence[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF of 2.1.4.1."""
    if m == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = split(leaves)
    if m <= k:
        return [*naive_subproof(m, leaves[:k], whole), naive_root(leaves[k:])]
    return [*naive_subproof(m - k, leaves[k:], False), naive_root(leaves[:k])]


def naive_climb(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes | None:
    """The root that a path leads to, None where it is too long or too short."""
    if size == 1:
        return None if path else leaf
    if not path:
        return None
    k = split(range(size))  # type: ignore[arg-type]
    if index < k:
        below = naive_climb(leaf, index, k, path[:-1])
        return below and hashlib.sha256(b"\x01" + below + path[-1]).digest()
    below = naive_climb(leaf, index - k, size - k, path[:-1])
    return below and hashlib.sha256(b"\x01" + path[-1] + below).digest()


def naive_grow(m: int, n: int, path: list[bytes], whole: bool, old_root: bytes) -> tuple[bytes, bytes] | None:
    """The old and the new root that a consistency proof leads to, None where it is too long or too short."""
    if m == n:
        known = path if not whole else [old_root, *path]
        return (known[0], known[0]) if len(known) == 1 else None
    if not path:
        return None
    k = split(range(n))  # type: ignore[arg-type]
    if m <= k:
        below = naive_grow(m, k, path[:-1], whole, old_root)
        return below and (below[0], hashlib.sha256(b"\x01" + below[1] + path[-1]).digest())
    below = naive_grow(m - k, n - k, path[:-1], False, old_root)
    if below is None:
        return None
    old, new = (hashlib.sha256(b"\x01" + path[-1] + one).digest() for one in below)
    return old, new


def nodes(leaves: Sequence[bytes]) -> Callable[[int, int], bytes]:
    """Hashes of perfect subtrees, each there only once all of its leaves are, as a table of them would be."""
    table: dict[tuple[int, int], bytes] = {}
    for index, content in enumerate(leaves):
        made = completed(lambda level: table[level, (index >> level) - 1], index, leaf_hash(content))  # noqa: B023
        for level, one in enumerate(made):
            table[level, index >> level] = one
    return lambda level, index: table[level, index]


def contents(size: int) -> list[bytes]:
    return [f"leaf {n}".encode() for n in range(size)]


def hexes(proof: Sequence[bytes]) -> list[str]:
    return [one.hex() for one in proof]


def flipped(value: bytes, bit: int) -> bytes:
    return (int.from_bytes(value, "big") ^ 1 << bit % 256).to_bytes(32, "big")


def test_known_roots() -> None:
    frontier, node = Frontier(), nodes(LEAVES)
    assert EMPTY_ROOT.hex() == ROOTS[0]
    assert frontier.root().hex() == ROOTS[0]
    for size, leaf in enumerate(LEAVES, 1):
        frontier.append(leaf_hash(leaf))
        assert frontier.size == size
        assert frontier.root().hex() == root_hash(node, size).hex() == naive_root(LEAVES[:size]).hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_known_inclusion_proofs(index: int, size: int) -> None:
    proof = inclusion_proof(nodes(LEAVES), index, size)
    assert hexes(proof) == INCLUSION[index, size]
    assert verify_inclusion(leaf_hash(LEAVES[index]), index, size, proof, bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_known_consistency_proofs(old: int, new: int) -> None:
    proof = consistency_proof(nodes(LEAVES), old, new)
    assert hexes(proof) == CONSISTENCY[old, new]
    assert verify_consistency(old, new, bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new]), proof)


def test_every_small_tree_is_that_of_the_definition() -> None:
    leaves = contents(20)
    node, roots = nodes(leaves), [naive_root(leaves[:size]) for size in range(21)]
    for size in range(21):
        assert root_hash(node, size) == roots[size]
        for index in range(size):
            proof = inclusion_proof(node, index, size)
            assert proof == naive_path(index, leaves[:size])
            assert verify_inclusion(leaf_hash(leaves[index]), index, size, proof, roots[size])
        for old in range(size + 1):
            proof = consistency_proof(node, old, size)
            assert proof == ([] if old in (0, size) else naive_subproof(old, leaves[:size], True))
            assert verify_consistency(old, size, roots[old], roots[size], proof)


def test_what_is_claimed_of_a_proof_must_have_its_shape() -> None:
    """Every right proof, for every place and size that somebody may claim it is of."""
    leaves = contents(9)
    node, roots = nodes(leaves), [naive_root(leaves[:size]) for size in range(10)]
    pairs = [(small, size) for size in range(1, 10) for small in range(1, size + 1)]
    for small, size in pairs:
        leaf, inside = leaf_hash(leaves[small - 1]), inclusion_proof(node, small - 1, size)
        grown = consistency_proof(node, small, size)
        for less, more in pairs:
            climbed = naive_climb(leaf, less - 1, more, inside)
            assert verify_inclusion(leaf, less - 1, more, inside, roots[size]) == (climbed == roots[size])
            made = naive_grow(less, more, grown, True, roots[small])
            right = made == (roots[small], roots[size])
            assert verify_consistency(less, more, roots[small], roots[size], grown) == right


def test_few_hashes_are_read_of_a_large_tree() -> None:
    leaves = contents(3000)
    table, asked = nodes(leaves), []

    def node(level: int, index: int) -> bytes:
        asked.append((level, index))
        return table(level, index)

    for make in (
        lambda: root_hash(node, 2999),
        lambda: inclusion_proof(node, 1234, 2999),
        lambda: consistency_proof(node, 1777, 2999),
    ):
        asked.clear()
        make()
        assert len(asked) <= 2 * (2999).bit_length()


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 3), (3, 3), (4, 3)])
def test_no_proof_of_what_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="has no leaf"):
        inclusion_proof(nodes(LEAVES), index, size)
    assert not verify_inclusion(leaf_hash(b""), index, size, [], leaf_hash(b""))


@pytest.mark.parametrize(("old", "new"), [(-1, 3), (4, 3)])
def test_no_proof_of_shrinking(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="does not continue"):
        consistency_proof(nodes(LEAVES), old, new)
    assert not verify_consistency(old, new, leaf_hash(b""), leaf_hash(b""), [])


def test_what_is_no_hash_is_refused() -> None:
    leaf = leaf_hash(b"")
    for odd in (b"", leaf[:31], leaf + b"\0", "x" * 32, None, 7):
        assert not verify_inclusion(odd, 0, 1, [], odd)  # type: ignore[arg-type]
        assert not verify_inclusion(leaf, 0, 2, [odd], leaf)  # type: ignore[list-item]
        assert not verify_consistency(1, 1, odd, odd, [])  # type: ignore[arg-type]
        assert not verify_consistency(1, 2, leaf, leaf, [odd])  # type: ignore[list-item]


def test_an_empty_tree_is_the_beginning_of_all_but_only_as_itself() -> None:
    root = naive_root(contents(3))
    assert verify_consistency(0, 3, EMPTY_ROOT, root, [])
    assert not verify_consistency(0, 3, root, root, [])
    assert not verify_consistency(0, 3, EMPTY_ROOT, root, [root])
    assert verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, [])


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_nothing_but_the_right_inclusion_proof_will_do(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 70))
    index = data.draw(st.integers(0, size - 1))
    leaves = contents(size)
    node, leaf = nodes(leaves), leaf_hash(leaves[index])
    root, proof = root_hash(node, size), inclusion_proof(node, index, size)
    assert verify_inclusion(leaf, index, size, proof, root)
    bit = data.draw(st.integers(0, 255))
    assert not verify_inclusion(flipped(leaf, bit), index, size, proof, root)
    assert not verify_inclusion(leaf, index, size, proof, flipped(root, bit))
    assert not verify_inclusion(leaf, index, size, [*proof, root], root)
    assert not verify_inclusion(leaf, index, size, [root, *proof], root)
    wrong = data.draw(st.integers(-2, size + 2).filter(lambda n: n != index))
    assert not verify_inclusion(leaf, wrong, size, proof, root)
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        assert not verify_inclusion(leaf, index, size, proof[:at] + proof[at + 1 :], root)
        changed = [*proof[:at], flipped(proof[at], bit), *proof[at + 1 :]]
        assert not verify_inclusion(leaf, index, size, changed, root)
    # Under the same root another size is another tree only where the path has another shape; a checkpoint signs both.
    other = data.draw(st.integers(index + 1, 150).filter(lambda n: n != size))
    assert verify_inclusion(leaf, index, other, proof, root) == (naive_climb(leaf, index, other, proof) == root)
    assert not verify_inclusion(leaf, index, other, proof, naive_root(contents(other)))


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_nothing_but_the_right_consistency_proof_will_do(data: st.DataObject) -> None:
    new = data.draw(st.integers(2, 70))
    old = data.draw(st.integers(1, new - 1))
    leaves = contents(new)
    node = nodes(leaves)
    old_root, new_root, proof = root_hash(node, old), root_hash(node, new), consistency_proof(node, old, new)
    assert verify_consistency(old, new, old_root, new_root, proof)
    bit = data.draw(st.integers(0, 255))
    assert not verify_consistency(old, new, flipped(old_root, bit), new_root, proof)
    assert not verify_consistency(old, new, old_root, flipped(new_root, bit), proof)
    assert not verify_consistency(old, new, old_root, new_root, [*proof, new_root])
    assert not verify_consistency(old, new, old_root, new_root, [new_root, *proof])
    assert not verify_consistency(new, old, new_root, old_root, proof)
    at = data.draw(st.integers(0, len(proof) - 1))
    assert not verify_consistency(old, new, old_root, new_root, proof[:at] + proof[at + 1 :])
    changed = [*proof[:at], flipped(proof[at], bit), *proof[at + 1 :]]
    assert not verify_consistency(old, new, old_root, new_root, changed)
    other = data.draw(st.integers(1, new - 1).filter(lambda n: n != old)) if new > 2 else new
    assert not verify_consistency(other, new, root_hash(node, other), new_root, proof)
    # A tree that was rewritten where the old one was cannot be shown to continue it.
    rewritten = list(leaves)
    rewritten[data.draw(st.integers(0, old - 1))] = b"rewritten"
    forged = nodes(rewritten)
    assert not verify_consistency(old, new, old_root, root_hash(forged, new), consistency_proof(forged, old, new))


NUMBERS = st.integers(-3, 40) | st.integers(-(2**70), 2**70)
HASHES = st.binary(min_size=32, max_size=32) | st.binary(max_size=40)


@settings(deadline=None)
@given(NUMBERS, NUMBERS, HASHES, HASHES, st.lists(HASHES, max_size=70))
def test_anything_is_answered(one: int, two: int, first: bytes, second: bytes, proof: list[bytes]) -> None:
    assert verify_inclusion(first, one, two, proof, second) is (
        (one, two, proof, second) == (0, 1, [], first) and len(first) == 32
    )
    same = one == two >= 0 and first == second
    from_nothing = one == 0 < two and first == EMPTY_ROOT
    sound = len(first) == len(second) == 32 and not proof
    assert verify_consistency(one, two, first, second, proof) is (sound and (same or from_nothing))


@settings(deadline=None)
@given(st.binary(max_size=100), st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_leaf_is_never_a_node(content: bytes, left: bytes, right: bytes) -> None:
    assert leaf_hash(left + right) != node_hash(left, right)
    assert leaf_hash(content) != hashlib.sha256(content).digest()


def test_proofs_of_a_billion_leaves_are_short() -> None:
    """All leaves alike, so that there is one hash a level: as many are asked for and sent as of any other leaves."""
    size, levels, asked = 10**9, [leaf_hash(b"x")], []
    for _ in range(30):
        levels.append(node_hash(levels[-1], levels[-1]))

    def node(level: int, index: int) -> bytes:
        asked.append((level, index))
        return levels[level]

    root = root_hash(node, size)
    for at in (0, 1, size // 3, 2**29, size - 1):
        asked.clear()
        proof = inclusion_proof(node, at, size)
        assert verify_inclusion(levels[0], at, size, proof, root)
        assert not verify_inclusion(levels[0], at, size, proof[1:], root)
        assert len(proof) <= 30 and len(asked) <= 41
        grown = consistency_proof(node, at + 1, size)
        assert verify_consistency(at + 1, size, root_hash(node, at + 1), root, grown)
        assert len(grown) <= 31
