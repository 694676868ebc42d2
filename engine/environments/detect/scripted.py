"""Packages of Ruby and PHP: into a folder vendor in the work tree."""
import re

from engine.environments.detect.parts import WORK_TREE, Part, missing, unused, used
from engine.environments.detect.versions import fits
from engine.environments.detect.view import View, mapping, string

FILES = ("Gemfile", "Gemfile.lock", "composer.json", "composer.lock")
_RUBY = re.compile(r"^[ \t]*ruby[ \t(]+[\"']([^\"'\n]{1,40})[\"']", re.MULTILINE)


def ruby(view: View) -> Part | None:
    if not view.has("Gemfile"):
        return None
    file = view.at("Gemfile.lock" if view.has("Gemfile.lock") else "Gemfile")
    if not (view.can("ruby") and view.can("bundle")):
        return Part(found=(unused(file, missing("ruby with bundler", "ruby-dev ruby-bundler")),))
    wanted = _RUBY.search(view.text("Gemfile"))
    if wanted and fits(wanted[1], view.version("ruby")) is False:
        return Part(found=(unused(file, f"The Gemfile asks for Ruby {wanted[1]}, and bundler refuses this machine's {view.version('ruby')}: install Ruby "
                                        f"{wanted[1]} on this machine, then look again."),))
    root = f"{WORK_TREE}/{view.folder}"
    command = "BUNDLE_FROZEN=true bundle install" if view.has("Gemfile.lock") else "bundle install"
    local = bool(view.under("vendor/cache"))
    said = "bundler installs exactly its versions" if view.has("Gemfile.lock") else "bundler installs its packages in their newest fitting versions"
    return Part((command + (" --local" if local else ""),), () if local else ("rubygems",), {"BUNDLE_PATH": f"{root}vendor/bundle"}, (f"{root}bin",),
                (used(file, f"{said}{', from vendor/cache' if local else ''}."),))


def php(view: View) -> Part | None:
    if not view.has("composer.json"):
        return None
    file = view.at("composer.lock" if view.has("composer.lock") else "composer.json")
    lacking = missing("php", "php-cli") if not view.can("php") else missing("composer") if not view.can("composer") else ""
    wanted = string(mapping(view.json("composer.json"), "require").get("php"))[:60]
    if not lacking and wanted and fits(wanted.replace("|", "||").replace("||||", "||"), view.version("php")) is False:
        lacking = (f"It asks for PHP {wanted}, and composer refuses this machine's {view.version('php')}: install a fitting version on this machine, then "
                   "look again.")
    if lacking:
        return Part(found=(unused(file, lacking),))
    said = "exactly its versions" if view.has("composer.lock") else "its packages in their newest fitting versions"
    hosts = ("packagist", "api.github.com", "codeload.github.com")
    return Part(("composer install --no-interaction --no-progress",), hosts, {"COMPOSER_HOME": "$HOME/.composer"},
                (f"{WORK_TREE}/{view.folder}vendor/bin",), (used(file, f"composer installs {said}."),))
