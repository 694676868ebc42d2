import hashlib
import re

import pytest

from engine.config import ROOT

STATIC = ROOT / "hitl" / "static"
VENDOR = STATIC / "vendor"
LISTED = dict(re.findall(r"^\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|$", (VENDOR / "README.md").read_text(encoding="utf-8"), re.M))


def test_the_list_names_every_vendored_file():
    assert set(LISTED) == {path.name for path in VENDOR.iterdir()} - {"README.md"}


@pytest.mark.parametrize("name", sorted(LISTED))
def test_a_vendored_file_is_the_one_that_its_package_ships(name):
    assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == LISTED[name]


def test_the_list_says_the_version_that_the_file_says():
    version = re.search(r"npm pack htmx\.org@(\S+) ", (VENDOR / "README.md").read_text(encoding="utf-8"))
    assert version and f'version="{version[1]}"' in (VENDOR / "htmx.min.js").read_text(encoding="utf-8").replace("'", '"')


@pytest.mark.parametrize("path", sorted(path for path in STATIC.rglob("*") if path.suffix in (".js", ".css", ".svg")), ids=lambda path: path.name)
def test_nothing_is_fetched_from_elsewhere(path):
    own = path.read_text(encoding="utf-8").replace("http://www.w3.org/", "")
    assert not re.search(r"@import|url\(|(?:src|href)=[\"']https?:", own)


def test_every_static_file_that_a_page_or_a_script_names_is_there():
    sources = [*(ROOT / "hitl" / "templates").rglob("*.html"), *STATIC.rglob("*.js")]
    named = [(path, name) for path in sources for name in re.findall(r"""(?:filename='|/static/)([a-z/_.-]+)""", path.read_text(encoding="utf-8"))]
    assert len(named) > 20
    assert not [(path.name, name) for path, name in named if not (STATIC / name).is_file()]
