"""The template of a WORKFLOW.md as Liquid, strict: an unknown variable, filter or tag is an error. Only in the process of reader_child.py."""
import re
from typing import Any

from engine.errors import Permanent
from engine.job.small_template import text_of

LOOPS, BYTES, DEPTH = 10_000, 2_000_000, 20
_OUTPUT = re.compile(r"\{\{.{0,1000}?\}\}", re.DOTALL)


class Lines(tuple[Any, ...]):
    """A list that is shown with each item on a line of its own."""

    def __str__(self) -> str:
        return text_of(self)


class Named(dict[str, Any]):
    """A ticket that is shown by its identifier."""

    def __str__(self) -> str:
        return text_of(self)


def has_tags(template: str) -> bool:
    """False for a text that Liquid leaves as it is."""
    return "{{" in template or "{%" in template


def check(template: str, line: int) -> None:
    """Checks a template before anything runs. line: of its first line in the file. Raises Permanent."""
    _parsed(_environment(), template, line)


def render(template: str, values: dict[str, Any], line: int) -> str:
    """As reader.render()."""
    from liquid.exceptions import LiquidError

    parsed = _parsed(_environment(), template, line)
    try:
        return str(parsed.render(**{name: _shown(value) for name, value in values.items()}))
    except LiquidError as error:
        raise _refusal(error, template, line) from None


def _environment() -> Any:
    import liquid

    class Strict(liquid.Environment):
        loop_iteration_limit, local_namespace_limit, output_stream_limit, context_depth_limit = LOOPS, BYTES, BYTES, DEPTH

    return Strict(undefined=liquid.StrictUndefined, strict_filters=True, autoescape=False)


def _parsed(environment: Any, template: str, line: int) -> Any:
    from liquid.exceptions import LiquidError

    try:
        return environment.from_string(template)
    except LiquidError as error:
        raise _refusal(error, template, line, _place(environment, template)) from None


def _place(environment: Any, template: str) -> int:
    """Where a mistake is that the library gives no place for: the first {{ … }} that is wrong by itself, or else the end."""
    from liquid.exceptions import LiquidError

    for output in _OUTPUT.finditer(template):
        try:
            environment.from_string(output[0])
        except LiquidError:
            return output.start()
    return len(template)


def _refusal(error: Any, template: str, first: int, place: int = 0) -> Permanent:
    from liquid import exceptions

    at = error.token.start_index if error.token is not None and error.token.start_index >= 0 else place
    words = str(error.message)[:200]
    if isinstance(error, exceptions.UndefinedError):
        words = f"the template uses {words.removesuffix(' is undefined').strip(chr(39))}, which is not a variable"
    elif isinstance(error, exceptions.TemplateNotFoundError):
        words = f"the template includes {words}, but there are no other files for it"
    elif isinstance(error, exceptions.ResourceLimitError):
        words = f"the template makes too much ({words})"
    else:
        words = f"the template cannot be used: {words}"
    return Permanent(f"Line {first + template.count(chr(10), 0, at)}: {words}.")


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return Lines(_shown(each) for each in value) if value else []  # the library compares lists alone with `empty`
    if isinstance(value, dict):
        shown = {name: _shown(each) for name, each in value.items()}
        return Named(shown) if "identifier" in shown else shown
    return value
