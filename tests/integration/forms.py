"""What a browser would send of a page's form that nobody has touched."""

from html.parser import HTMLParser


class _Form(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, value = given.get("name") or "", given.get("value")
        if tag == "select":
            self._select = name
        elif tag == "option" and "selected" in given:
            self.fields[self._select] = value or ""
        elif tag == "input" and given.get("type") == "checkbox":
            if "checked" in given:
                self.fields[name] = value or "on"
        elif tag == "input" and given.get("type") != "submit":
            self.fields[name] = value or ""


def form_of(page: str) -> dict[str, str]:
    """Return the fields of all forms on a page, of one name the last."""
    parser = _Form()
    parser.feed(page)
    return parser.fields
