"""Walks over the elements of one item and writes down what they say.

Idea: the path of an element and its text are one entry of a flat mapping, and an
attribute is one under `path/@name`. Each transaction of an entry (`TxDtls`) has its own
mapping, so that a batch of thousands is a list of small ones.

What grows too long is left out while its end is awaited: an entry without its
transactions, one transaction, or all of them together. What is left out depends on the
true lengths alone, not on how the bytes came.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ingestion.sources.camt.names import DamageError, Names
from ingestion.sources.camt.nodes import DETAIL, Node, detail_node
from ingestion.sources.camt.tags import Spot, Tags, Values

#: An entry without its details, one detail, any other item.
MAX_PART_BYTES: Final = 1 << 20
#: The details of one entry, in bytes and in values.
MAX_DETAILS_BYTES: Final = 1 << 24
MAX_DETAIL_VALUES: Final = 300_000
MAX_NODES: Final = 20_000
MAX_DEPTH: Final = 32
MAX_ATTRIBUTES: Final = 64

TOO_DEEP: Final = "elements nested too deep"
ENTRY: Final = "Ntry"


class Detail(NamedTuple):
    """One transaction of an entry: its line, its path, what it says."""

    line: int
    path: str
    values: Values


class Content(NamedTuple):
    """What an item says; `details` has only those that could be kept."""

    values: Values
    details: list[Detail]
    detail_count: int
    is_too_long: bool


class Walk:
    """Handles the tags of the parser between `begin` and the call of `done`."""

    def __init__(
        self,
        parser: Any,
        names: Names,
        here: Callable[[], int],
        line: Callable[[], int],
        done: Callable[[Content], None],
    ) -> None:
        self._parser, self._names = parser, names
        self._here, self._line, self._done = here, line, done
        self._top, self._gate = Node(""), Node("")
        self._roots: dict[str, Node] = {}
        self._node_count = self._rounds = 0
        #: How many end tags are awaited before anything is of interest again.
        self._left = 0
        self._tags = Tags(self._top, self)

    def begin(self, name: str, attributes: dict[str, str], here: int) -> None:
        """Take over: the start tag of an item was met."""
        self._begun = here
        self._details: list[Detail] = []
        self._detail_begun: int | None = None
        self._detail_count = self._detail_values = self._detail_bytes = 0
        self._leaves_out_details = False
        self._root = self._roots.get(name) or self._new_root(name)
        values: Values = {}
        spot = Spot(self._root, values, self._next_round())
        self._tags.go_to(spot, is_at_start=True)
        if attributes:
            self.take_attributes(self._root, attributes, values)
        self._take_tags()

    def check(self, fed: int) -> None:
        """Leave out what is too long already, with that many bytes read."""
        if self._left:
            return
        begun = self._detail_begun
        own = (fed if begun is None else begun) - self._begun - self._detail_bytes
        if own > MAX_PART_BYTES:
            self._leave_out(self._end)
        elif begun is not None and fed - begun > MAX_PART_BYTES:
            self._leave_out(self._detail_left_out)

    def _take_tags(self) -> None:
        parser, tags = self._parser, self._tags
        parser.StartElementHandler = tags.start
        parser.EndElementHandler = tags.stop
        parser.CharacterDataHandler = tags.text

    def _next_round(self) -> int:
        self._rounds += 1
        return self._rounds

    def take_attributes(
        self, node: Node, attributes: dict[str, str], values: Values
    ) -> None:
        """Write down the attributes of an element; raises DamageError."""
        if len(attributes) > MAX_ATTRIBUTES:
            raise DamageError(self._line(), f"over {MAX_ATTRIBUTES} attributes")
        for name, value in attributes.items():
            key = node.keys.get(name)
            if key is None:
                local = self._names.local(name)
                key = f"{node.path}/@{local}" if node.path else f"@{local}"
                node.keys[name] = key
            values[key] = value

    # --- nodes --------------------------------------------------------------------

    def _new_root(self, name: str) -> Node:
        root = self._roots[name] = Node("", self._top)
        return root

    def new_kid(self, node: Node, tag: str) -> Node:
        """Return the node of an element that was not met before.

        Raises DamageError if it is nested too deep, or one of too many.
        """
        local = self._names.local(tag)
        if node.depth >= MAX_DEPTH:
            raise DamageError(self._line(), TOO_DEEP)
        if node.is_kept:
            self._node_count += 1
            if self._node_count > MAX_NODES:
                raise DamageError(self._line(), "too many different elements")
        if local == DETAIL and self._holds_details(node):
            kid = node.kids[tag] = detail_node(node, self._gate)
            return kid
        return node.kid(tag, local)

    def _holds_details(self, node: Node) -> bool:
        is_high = node is self._root or node.parent is self._root
        is_entry = self._root is self._roots.get(ENTRY)
        return is_entry and is_high and node.may_hold_details()

    def one_more(self, node: Node, round_: int) -> Node:
        """Return the node of an element whose like stands before it."""
        if node.times_round != round_:
            node.times_round, node.times = round_, 1
        node.times += 1
        return node.numbered(node.times)

    # --- details ------------------------------------------------------------------

    def begin_detail(self, node: Node, around: Spot) -> Spot | None:
        """Begin a transaction; returns None if it is left out."""
        self._detail_begun, self._around = self._here(), around
        self._detail_count += 1
        if self._leaves_out_details:
            self._await(1, self._detail_left_out)
            return None
        self._detail_line, self._detail_path = self._line(), node.path
        return Spot(node, {}, self._next_round())

    def behind_part(self, stop: Node, values: Values) -> Spot | None:
        """Return where the walk goes on behind a detail; None behind an item."""
        if stop is not self._gate:
            self._values = values
            self._end()
            return None
        self._detail_values += len(values)
        self._details.append(Detail(self._detail_line, self._detail_path, values))
        self._behind_detail()
        return self._around

    def _detail_left_out(self) -> None:
        self._behind_detail()
        self._tags.go_to(self._around, is_at_start=False)
        self._take_tags()

    def _behind_detail(self) -> None:
        size = self._here() - (self._detail_begun or 0)
        self._detail_begun = None
        self._detail_bytes += size
        if (
            size > MAX_PART_BYTES
            or self._detail_bytes > MAX_DETAILS_BYTES
            or self._detail_values > MAX_DETAIL_VALUES
        ):
            self._leaves_out_details = True
            self._details.clear()

    def _end(self) -> None:
        own = self._here() - self._begun - self._detail_bytes
        is_too_long = own > MAX_PART_BYTES
        values = {} if is_too_long else self._values
        self._left = 0
        self._done(Content(values, self._details, self._detail_count, is_too_long))

    # --- what is left out ---------------------------------------------------------

    def _leave_out(self, then: Callable[[], None]) -> None:
        """Wait for the end of the detail, or of the item, that is open."""
        depth = _depth(self._tags.spot.node)
        if then == self._end and self._detail_begun is not None:
            depth += _depth(self._around.node)
        self._await(depth, then)

    def _await(self, depth: int, then: Callable[[], None]) -> None:
        self._left, self._then = depth, then
        parser = self._parser
        parser.StartElementHandler = self._deeper
        parser.EndElementHandler = self._higher
        parser.CharacterDataHandler = None

    def _deeper(self, tag: str, attributes: dict[str, str]) -> None:
        for name in (tag, *attributes):
            self._names.local(name)
        self._left += 1
        if self._left > 2 * MAX_DEPTH:
            raise DamageError(self._line(), TOO_DEEP)

    def _higher(self, _: str) -> None:
        self._left -= 1
        if not self._left:
            self._then()


def _depth(node: Node) -> int:
    """Return how many elements of the walk are open."""
    depth = 0
    while not node.is_stop:
        node, depth = node.parent, depth + 1
    return depth
