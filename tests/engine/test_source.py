"""Where a card's repository may be, and what its tickets' branches are called."""
from pathlib import Path

import pytest
from agent_side import upstream
from conftest import git

from engine.errors import BadRequest
from engine.git.branch_names import branch_name
from engine.git.source import validate_source

FILE = ("file",)
SESSION = "1F2E3D4C-aaaa-bbbb-cccc-000000000000"
PATTERN = "https://github.com/{repository}.git"


@pytest.mark.parametrize(("title", "expected"), [
    ("Add a login page", "tkt-002-add-a-login-page"),
    ("; rm -rf /", "tkt-002-rm-rf"),
    ("🙂🙂", "tkt-002"),
    ("Über  Größe.lock", "tkt-002-uber-gro-e-lock"),
    ("-- --x@{y}~^:?*[\\..", "tkt-002-x-y"),
    ("x" * 300, "tkt-002-" + "x" * 40),
    ("a" * 39 + " b", "tkt-002-" + "a" * 39),
    ("", "tkt-002"),
    ("\ud800\0\n", "tkt-002"),
])
def test_a_branch_name_is_legal_whatever_the_title(title: str, expected: str) -> None:
    name = branch_name(SESSION, "TKT-002", title)
    assert name == f"swarm/1f2e3d4c/{expected}"
    assert git(Path("/"), "check-ref-format", "--branch", name).strip() == name


@pytest.mark.parametrize(("repository", "url", "protocol"), [
    ("owner/repo", "https://github.com/owner/repo.git", "https"),
    ("owner/repo.git", "https://github.com/owner/repo.git", "https"),
    ("https://example.org:8443/a/b.git", "https://example.org:8443/a/b.git", "https"),
    ("ssh://git@example.org:22/a/b.git", "ssh://git@example.org:22/a/b.git", "ssh"),
    ("git@example.org:a/b.git", "git@example.org:a/b.git", "ssh"),
    ("https://[::1]:8443/a", "https://[::1]:8443/a", "https"),
])
def test_a_remote_source_is_turned_into_a_url_and_its_one_protocol(repository: str, url: str, protocol: str) -> None:
    assert validate_source(repository, (), PATTERN, ("https", "ssh")) == (url, (protocol,))


@pytest.mark.parametrize("repository", [
    "", " owner/repo", "owner", "a/b/c", "-u/x", "--upload-pack=x", "owner/..", "../x/y", "https://h/../x", "/a/../etc", "ext::sh -c id",
    "ext::https://x/y", "https::x", "file:///etc", "FILE:///etc", "http://example.org/x", "git://example.org/x", "https:///x", "https://h",
    "https://-oProxyCommand=x/y", "ssh://-oProxyCommand=x/y", "ssh://h/-x", "git@-h:x", "git@h:-x", "git@h:/-x", "a\nb/c", "a/b\0",
    "https://user@h/x", "https://user:pass@h/x", "ssh://git:pass@h/x", "https://h:port/x", "https://h/x?y=z", "https://h/x#y",
    "C:\\repo", "https://h/a b", "git@h:a b", "/etc", "/nowhere/at/all", "a/" + "b" * 2000, "ssh://git@h/%2e%2e/x", "\u202eowner/repo",
])
def test_any_other_source_is_refused_with_a_sentence(repository: str, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"^repository"):
        validate_source(repository, (tmp_path,), PATTERN, ("https", "ssh", "file"))


def test_the_sentence_says_what_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=f"owner/repo, a URL that starts with https://, or an absolute path under {tmp_path}"):
        validate_source("ssh://h/x", (tmp_path,), PATTERN, ("https",))


def test_a_local_source_must_really_be_under_a_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", upstream(tmp_path / "outside")
    root.mkdir()
    inside = upstream(root / "inside")
    (root / "link").symlink_to(outside)
    (root / "gitlink").mkdir()
    (root / "gitlink" / ".git").write_text(f"gitdir: {outside}/.git\n")
    (root / "dotgit").mkdir()
    (root / "dotgit" / ".git").symlink_to(outside / ".git")
    (tmp_path / "root-alias").symlink_to(root)
    assert validate_source(str(inside), (root,), PATTERN, ("https",)) == (str(inside), FILE)
    assert validate_source(str(inside), (tmp_path / "root-alias",), PATTERN, ()) == (str(inside), FILE)
    assert validate_source(str(tmp_path / "root-alias" / "inside"), (root,), PATTERN, ()) == (str(inside), FILE)
    for bad in (outside, root / "link", root / "gitlink", root / "dotgit", root):
        with pytest.raises(BadRequest):
            validate_source(str(bad), (root,), PATTERN, ("https", "file"))
    with pytest.raises(BadRequest):
        validate_source(str(inside), (), PATTERN, ("https", "file"))


def test_a_file_pattern_works_only_where_file_is_allowed(tmp_path: Path) -> None:
    pattern = f"file://{tmp_path}/{{repository}}"
    assert validate_source("owner/repo", (), pattern, ("https", "file")) == (f"file://{tmp_path}/owner/repo", FILE)
    with pytest.raises(BadRequest):
        validate_source("owner/repo", (), pattern, ("https", "ssh"))
