"""What the tests ask of a page, and the checks that hold for every page."""
import json
import re
from html.parser import HTMLParser
from itertools import pairwise

from serving import CARD

from engine.tickets import claims

VOID = {"meta", "link", "input", "img", "br", "hr", "col", "rect", "path", "use", "circle"}


class Page(HTMLParser):
    """What the tests ask of a page: its elements, and whether they are closed in order."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.text, self.title = [], [], "", ""
        self.feed(html)
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.text += " "
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]} at {self.getpos()}"
        self.open.pop()

    def handle_data(self, data):
        if "title" in self.open[-1:] and "svg" not in self.open:
            self.title += data
        elif "script" not in self.open:
            self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def seen(client, path, status=200):
    """The page, after the checks that hold for every page."""
    answer = client.get(path)
    assert answer.status_code == status, answer.get_data(as_text=True)[:2000]
    return checked(answer)


def checked(answer):
    html = answer.get_data(as_text=True)
    page = Page(html)
    assert html.startswith("<!doctype html>") and page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == 1 and len(page.all("main")) == 1 and len(page.all("header")) == 1 and len(page.all("footer")) == 1 and page.all("nav")
    assert page.title.endswith(" · HITL Swarm") and len(page.title) > len(" · HITL Swarm")
    assert page.all("a")[0] == {"class": "skip-link", "href": "#main"}
    assert all(set(script) == {"src", "defer"} and script["src"].startswith("/static/") for script in page.all("script")), "inline script"
    assert not page.all("style") and not [attrs for _, attrs in page.elements if "style" in attrs], "inline style"
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")], "inline handler"
    assert not [attrs for _, attrs in page.elements if any(str(attrs.get(name)).startswith("javascript:") for name in ("href", "src", "action"))]
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids)), f"twice: {sorted({name for name in ids if ids.count(name) > 1})}"
    named = {value for _, attrs in page.elements for name in ("aria-labelledby", "aria-describedby") for value in (attrs.get(name) or "").split()}
    assert named <= set(ids), f"named but not there: {named - set(ids)}"
    labelled = {label["for"] for label in page.all("label") if "for" in label}
    for field in page.all("textarea"):
        assert field["id"] in labelled
    headings = [int(name[1]) for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
    assert all(later <= earlier + 1 for earlier, later in pairwise(headings)), headings
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    return page


def build(client, card=CARD):
    """A session whose build has begun, by forms alone. -> its path"""
    path = client.post("/sessions", data={"project_name": card["name"], "description": "An idea", "spec_card": json.dumps(card)}).location
    client.post(path + "/approve", data=form(client, path, "/approve"))
    assert client.post(path + "/start", data=form(client, path, "/start")).status_code == 303
    return path


def form(client, path, ending):
    """The hidden fields of the form on this page that posts there: what a browser would send."""
    html = client.get(path).get_data(as_text=True)
    body = re.search(rf'<form[^>]*action="[^"]*{ending}".*?</form>', html, re.S)
    assert body, f"no form for {ending}"
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', body[0]))


def live_run(db, ticket_id, log=b""):
    """A run of this ticket, as an engine would have begun it. -> its id"""
    db.execute("update tickets set base_sha = 'b' where type = 'epic'")
    db.execute("update tickets set status = 'ready' where id = ?", (ticket_id,))
    run = next(each for each in claims.claim(db, "engine", 100, "2100-01-01T00:00:00.000Z") if each["ticket_id"] == ticket_id)
    folder = db.path.parent / "runs" / run["id"]
    folder.mkdir(parents=True)
    (folder / "log").write_bytes(log)
    return run["id"]
