"""Checks of a report: well-formed, complete in itself, without scripts, readable without seeing."""
import html.parser
import re

VOID = {"meta", "link", "br", "img", "rect", "path", "circle", "image", "input", "hr"}


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.text, self.problems = [], [], "", []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"
        assert not self.problems, self.problems[:5]

    def handle_starttag(self, tag, attributes, closed=False):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if tag not in VOID and not closed:
            self.open.append(tag)
        for name, value in attributes.items():
            if name.startswith("on") or tag in ("script", "iframe", "object", "link", "base", "form"):
                self.problems.append(f"<{tag} {name}={value!r:.40}>")
            if name in ("src", "href", "xlink:href", "action", "srcset") and not value.startswith("data:image/jpeg;base64,"):
                self.problems.append(f"refers to {value!r:.60}")
        if tag == "svg" and not attributes.get("aria-label"):
            self.problems.append("a picture without a description")

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes, closed=True)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")

    def handle_data(self, data):
        self.text += data if not self.open or self.open[-1] != "style" else ""


def check(text):
    """Returns the page; raises where it is not as a report must be."""
    page = Page(text)
    names = [tag for tag, _ in page.tags]
    assert text.startswith("<!DOCTYPE html>") and names.count("h1") == 1 and names.count("main") == 1, names[:20]
    assert dict(page.tags)["html"] == {"lang": "en"}
    assert not re.search(r"url\(|@import|https?://", text), "refers to something outside"
    return page
