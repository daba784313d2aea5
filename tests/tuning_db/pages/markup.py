"""What is wrong with a page, as far as its markup tells."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "input", "br"}


class Markup(HTMLParser):
    """Reads a page.

    Attributes:
        links: where its links and forms lead.
        problems: what a reader without eyes, mouse or trust would stumble over.
        text: all that is to be read.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.problems: list[str] = []
        self.ids: list[str] = []
        self.wanted: set[str] = set()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.level = 0
        self.captioned: list[bool] = []
        self.text = ""
        self.feed(text)
        self.close()
        if self.open:
            self.problems.append(f"left open: {self.open}")
        if len(self.ids) != len(set(self.ids)):
            self.problems.append("an id is there twice")
        if missing := self.wanted - set(self.ids):
            self.problems.append(f"no element has the id {missing}")
        for tag, times in {"main": 1, "h1": 1, "title": None, "footer": 1, "nav": None}.items():
            if self.tags.count(tag) != times if times else tag not in self.tags:
                self.problems.append(f"{tag} is there {self.tags.count(tag)} times")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.problems += [f"{tag} has {name}" for name in given if name.startswith("on") or name == "style"]
        if tag in ("script", "iframe", "object", "embed", "style"):
            self.problems.append(f"there is a {tag}")
        if tag == "img" and "alt" not in given:
            self.problems.append("an image without a text")
        if tag == "svg" and not {"role", "aria-labelledby", "aria-describedby"} <= set(given):
            self.problems.append("a chart without title and description")
        if tag == "th" and given.get("scope") not in ("col", "row"):
            self.problems.append("a heading of a table without a scope")
        if tag == "table":
            self.captioned.append(False)
        if tag == "caption":
            self.captioned[-1] = True
        if tag in ("h1", "h2", "h3"):
            if int(tag[1]) > self.level + 1:
                self.problems.append(f"{tag} follows on h{self.level}")
            self.level = int(tag[1])
        for name in ("aria-labelledby", "aria-describedby", "for"):
            self.wanted |= set(given.get(name, "").split())
        self.ids += [given["id"]] if "id" in given else []
        for name in ("href", "src", "action"):
            if name in given:
                self.links.add(given[name])

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes something else")
        if tag == "table" and not self.captioned.pop():
            self.problems.append("a table without a caption")

    def handle_data(self, data: str) -> None:
        self.text += data
