"""The handlers of tags inside an item.

Half of the time is spent here, so whatever is seldom is done by somebody else.
"""

from typing import NamedTuple, Protocol

from ingestion.sources.camt.nodes import Node

Values = dict[str, str]


class Spot(NamedTuple):
    """Where a walk is: in which element, what was said so far, in which round."""

    node: Node
    values: Values
    #: Of two elements met in the same round with the same path one gets a number.
    round: int


class Seldom(Protocol):
    """What happens less often than tags."""

    def new_kid(self, node: Node, tag: str) -> Node:
        """Return the node of an element that was not met before."""

    def one_more(self, node: Node, round_: int) -> Node:
        """Return the node of an element whose like stands before it."""

    def begin_detail(self, node: Node, around: Spot) -> Spot | None:
        """Return where the walk goes on, or None if it is not wanted here."""

    def behind_part(self, stop: Node, values: Values) -> Spot | None:
        """Return where the walk goes on behind a detail; None behind an item."""

    def take_attributes(
        self, node: Node, attributes: dict[str, str], values: Values
    ) -> None:
        """Write down the attributes of an element."""


class Tags:
    """Where a walk is, and the handlers that move it on."""

    def __init__(self, nowhere: Node, seldom: Seldom) -> None:
        self._seldom = seldom
        self._texts: list[str] = []
        self.text = self._texts.append
        self.go_to(Spot(nowhere, {}, 0), is_at_start=False)

    @property
    def spot(self) -> Spot:
        """Return where the walk is."""
        return Spot(self._node, self._values, self._round)

    def go_to(self, spot: Spot, *, is_at_start: bool) -> None:
        """Be behind the start tag of an element, or anywhere else in it."""
        self._node, self._values, self._round = spot
        #: Whether the element that is open has had none inside.
        self._is_leaf = is_at_start
        self._texts.clear()

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Handle a start tag."""
        node, texts = self._node, self._texts
        if texts:
            if self._is_leaf and not (len(texts) == 1 and texts[0].isspace()):
                _take_mixed(self._values, node.path, texts)
            texts.clear()
        kid = node.kids.get(tag) or self._seldom.new_kid(node, tag)
        if kid.seen < self._round:
            kid.seen = self._round
        elif kid.is_detail:
            if not self._begin_detail(kid):
                return
        else:
            kid = self._seldom.one_more(kid, self._round)
        if attributes:
            self._seldom.take_attributes(kid, attributes, self._values)
        self._node = kid
        self._is_leaf = True

    def stop(self, _: str) -> None:
        """Handle an end tag."""
        node, texts = self._node, self._texts
        if self._is_leaf:
            self._is_leaf = False
            self._values[node.path] = texts[0] if len(texts) == 1 else "".join(texts)
            texts.clear()
        elif texts:
            if len(texts) > 1 or not texts[0].isspace():
                _take_mixed(self._values, node.path, texts)
            texts.clear()
        self._node = node = node.parent
        if node.is_stop:
            around = self._seldom.behind_part(node, self._values)
            if around:
                self._node, self._values, self._round = around

    def _begin_detail(self, kid: Node) -> bool:
        self._is_leaf = False
        detail = self._seldom.begin_detail(kid, self.spot)
        if detail is None:
            return False
        _, self._values, self._round = detail
        return True


def _take_mixed(values: Values, path: str, texts: list[str]) -> None:
    """Keep text beside elements, which no message should have."""
    if text := "".join(texts).strip():
        before = values.get(path)
        values[path] = f"{before} {text}" if before else text
