"""The elements of items, as a tree that remembers their paths.

A file says the same few hundred paths over and over, so each is put together once. An
element that repeats beside its like is numbered: `Ustrd[2]`. Numbered nodes are made
anew each time and forgotten, so that the tree cannot grow with the file.
"""

import math
from typing import Final

#: Of these elements one entry may have thousands; they are taken apart from it.
DETAIL: Final = "TxDtls"
_DETAIL_PARENTS: Final = ("", "NtryDtls")


class Node:
    """One path; `seen` and `times` are notes of whoever walks over the tree."""

    __slots__ = (
        *("depth", "is_detail", "is_kept", "is_stop", "keys", "kids", "parent"),
        *("path", "seen", "times", "times_round"),
    )

    def __init__(self, path: str, parent: "Node | None" = None) -> None:
        self.path = path
        #: Where the walk is behind the element. What has no parent is no element.
        self.parent: Node = parent or self
        self.is_stop = parent is None
        self.is_detail = False
        #: Whether it stays in the tree.
        self.is_kept = True
        self.depth: int = parent.depth + 1 if parent else 0
        self.kids: dict[str, Node] = {}
        #: The keys of its attributes.
        self.keys: dict[str, str] = {}
        #: The round of the walk that met it last.
        self.seen: float = 0
        #: How often it was met, in which round.
        self.times, self.times_round = 1, 0

    def kid(self, tag: str, local: str) -> "Node":
        """Return a new node for an element below, remembered by its tag."""
        node = Node(f"{self.path}/{local}" if self.path else local, self)
        node.is_kept = self.is_kept
        self.kids[tag] = node
        return node

    def numbered(self, times: int) -> "Node":
        """Return a node for one more element of this path."""
        node = Node(f"{self.path}[{times}]", self.parent)
        node.is_kept = False
        return node

    @property
    def name(self) -> str:
        """Return its path, without its own number."""
        return self.path.partition("[")[0]

    def may_hold_details(self) -> bool:
        """Return whether the details of an entry stand directly below."""
        return self.name in _DETAIL_PARENTS


def detail_node(parent: Node, gate: Node) -> Node:
    """Return the root of a detail; behind it the walk is at the gate.

    It counts as seen in every round, so that the walk takes the careful way.
    """
    node = Node(f"{parent.name}/{DETAIL}" if parent.path else DETAIL, gate)
    node.depth = parent.depth + 1
    node.is_detail = True
    node.seen = math.inf
    return node
