"""White space is hidden when asked for: what is left out, what stays, and that marks and comments are of the lines as they are."""
import pytest
from conftest import git
from paging import seen
from reviewing import SHOP

from hitl.pages.review_parts import DiffQuery

PATH, ROOT = "/tickets/TKT-002/changes", "/api/tickets/TKT-002"
HIDE = PATH + "?space=hide"
WRAPPED = "if True:\n" + "".join(f"    {line}\n" for line in SHOP.replace("result = 0", "result = 1").splitlines())


@pytest.fixture
def tip(work):
    """shop.py is indented, and one of its lines is another; old.txt gets spaces at its line ends alone; a picture and a new mode."""
    work.write("shop.py", WRAPPED)
    work.write("old.txt", "the same text on several lines  \r\n" * 5)
    work.write("dot.png", b"\x89PNG\0\1")
    return work.hand_over()


def files(client, query=""):
    return {each["path"]: each for each in client.get(f"{ROOT}/review{query}").json["files"]}


def test_only_what_differs_in_more_than_white_space_is_shown_and_every_file_stays_listed(client, tip):
    plain, hidden = files(client), files(client, "?space=hide")
    assert list(plain) == list(hidden) == ["dot.png", "old.txt", "shop.py"]
    assert [(plain[name]["added"], hidden[name]["added"]) for name in hidden] == [(0, 0), (5, 0), (6, 2)]
    assert hidden["old.txt"]["notes"] == ["Only white space differs."] and hidden["dot.png"]["notes"] == ["Binary file, not shown."]
    for view in ("unified", "split"):
        page = seen(client, f"{PATH}?view={view}&space=hide")
        assert "Only white space differs." in page.text and "Show white space" in page.text and "0 of 3 files viewed" in page.text
        assert f"/tickets/TKT-002/changes?view={view}" not in page.text
    assert "Hide white space" in seen(client, PATH).text


def test_it_stays_in_every_link_and_form_of_the_page(client, tip):
    page = seen(client, HIDE)
    comment = [attrs["href"] for attrs in page.all("a") if "data-comment" in attrs]
    assert comment and all("space=hide" in href for href in comment)
    assert "Your comment on line 3" in seen(client, PATH + next(href for href in comment if href.endswith("R3")).partition("#")[0]).text
    assert {attrs["value"] for attrs in page.all("input") if attrs.get("name") == "look"} == {"space=hide"}
    assert [attrs["href"] for attrs in page.all("a") if attrs.get("href", "").startswith("?view=split")] == ["?view=split&space=hide"]
    assert DiffQuery.of(DiffQuery.of({"space": "hide", "view": "split"}).text()) == DiffQuery("split", space="hide")
    assert DiffQuery.of({"space": "yes"}).space == ""


def test_comments_and_marks_are_of_the_lines_as_they_are(client, tip, work):
    """Line 3 is 'result = 1' indented: it has that number whether white space is hidden or not."""
    saved = client.post("/tickets/TKT-002/comments", data={"tip": tip, "file": "shop.py", "side": "R", "line": "3", "look": "space=hide", "text": "Why one?"})
    assert (saved.status_code, saved.location) == (303, PATH + "?space=hide")
    made = client.get(f"{ROOT}/comments").json["comments"]
    assert [(each["line"], each["quoted"]) for each in made] == [(3, "        result = 1")]
    for query in ("", "?space=hide", "?space=hide&view=split"):
        assert "Why one?" in seen(client, PATH + query).text
    client.post("/tickets/TKT-002/viewed", data={"tip": tip, "file": "old.txt", "viewed": "yes", "look": "space=hide"})
    assert "1 of 3 files viewed" in seen(client, HIDE).text and "1 of 3 files viewed" in seen(client, PATH).text


def test_a_comment_on_a_line_that_is_hidden_is_still_there(client, tip, work):
    """On a removed line that is the same but for its indentation; after the next round, too."""
    client.post(f"{ROOT}/comments", json={"tip": tip, "path": "shop.py", "side": "L", "line": 5, "body": "Why indent this?"})
    assert "Why indent this?" in seen(client, HIDE).text
    client.post(f"{ROOT}/request-changes", json={})
    work.write("shop.py", WRAPPED + "\n")
    work.hand_over()
    for query in ("", "?space=hide"):
        assert "the line is unchanged" in seen(client, PATH + query).text
    assert [each["now"] for each in client.get(f"{ROOT}/review?space=hide").json["comments"]] == [5]


def test_since_the_last_review_too(client, tip, work):
    client.post(f"{ROOT}/request-changes", json={"comments": "Again."})
    work.write("shop.py", WRAPPED.replace("        result = 1", "\tresult = 1"))
    work.hand_over()
    assert files(client, f"?since={tip}")["shop.py"]["added"] == 1
    assert files(client, f"?since={tip}&space=hide")["shop.py"]["notes"] == ["Only white space differs."]


def test_in_a_diff_that_is_too_long_to_be_read_in_one_piece(client, work):
    work.write("a.txt", "".join(f"{n} " + "x" * 2000 + "\n" for n in range(1100)))
    work.write("z.txt", "one\n")
    work.base = work.commit()
    git(work.tree, "push", "-q", "-f", str(work.path), "HEAD:refs/heads/swarm/tkt-001-shop")
    work.write("a.txt", "".join(f"{n}  " + "x" * 2000 + "\n" for n in range(1100)))
    work.write("z.txt", "one\n two\n")
    work.hand_over()
    assert files(client)["z.txt"]["folded"] == "large", "too long to be read"
    hidden = files(client, "?space=hide")
    assert hidden["a.txt"]["notes"] == ["Only white space differs."] and hidden["z.txt"]["folded"] is None


def test_a_renamed_or_executable_file_whose_text_only_moved_says_both(client, work):
    work.write("renamed.txt", "the same text on several lines\n" * 4 + " the same text on several lines\n")
    (work.tree / "old.txt").unlink()
    work.write("shop.py", SHOP.replace("    ", "\t"))
    (work.tree / "shop.py").chmod(0o755)
    work.hand_over()
    hidden = files(client, "?space=hide")
    assert (hidden["renamed.txt"]["change"], hidden["renamed.txt"]["notes"]) == ("renamed", ["Only white space differs."])
    assert hidden["shop.py"]["notes"] == ["Now executable.", "Only white space differs."]
