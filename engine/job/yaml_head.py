"""The front matter of a WORKFLOW.md as YAML. Only in the process of reader_child.py.

The text becomes nodes, never objects: what is not used here is left alone, whatever it is. Aliases are references, so that a bomb of
them stays small; no tag makes anything."""
import re
from typing import Any

from engine.errors import Permanent
from engine.job import front_matter, liquid_template

DEPTH, MERGES = 50, 20
VALUES, CHARACTERS = 2000, 300_000  # most of a key that is used as a whole
_PLAIN = (("bool", r"true|false", "tf"), ("null", r"null|~|", ("n", "~", "")), ("int", r"-?(?:0|[1-9][0-9]{0,14})", "-0123456789"),
          ("float", r"-?[0-9]{1,15}\.[0-9]{1,15}", "-0123456789"), ("merge", r"<<", "<"))
_TAG = "tag:yaml.org,2002:"


def read(text: str) -> dict[str, Any]:
    """As reader.read(). Raises Permanent with the line of what cannot be read."""
    head, template, line = front_matter.cut(text)
    if liquid_template.has_tags(template):
        liquid_template.check(template, line)
    return {"head": _values("\n".join(head)) if head else {}, "template": template, "line": line}


def _loader() -> Any:
    """A loader of YAML that reads few plain words as something else than text, and ends at a depth."""
    import yaml

    class Nodes(yaml.SafeLoader):
        depth = 0
        yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.depth += 1
            if self.depth > DEPTH:
                raise yaml.MarkedYAMLError(problem="it is nested too deeply", problem_mark=self.peek_event().start_mark)
            try:
                return super().compose_node(parent, index)
            finally:
                self.depth -= 1

    for name, pattern, first in _PLAIN:
        Nodes.add_implicit_resolver(_TAG + name, re.compile(rf"^(?:{pattern})$"), list(first))
    return Nodes


def _values(text: str) -> dict[str, Any]:
    """The maps and values that are used here, and environment as _bounded() has it; null for each other key."""
    import yaml

    try:
        root = yaml.compose(text, Loader=_loader())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Permanent(f"Line {mark.line + 2 if mark else 2}: this is not YAML that can be read here: {error.problem or error.context}.") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 2
        raise Permanent(f"Line {line}: YAML may not contain the character U+{int(error.character):04X}.") from None
    if root is None or (isinstance(root, yaml.ScalarNode) and root.tag == f"{_TAG}null"):
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise Permanent("Line 2: the front matter must be a map, which is lines with a name, a colon and a value.")
    return {name: _part(name, node) if name in front_matter.USED else _bounded(node) if name == front_matter.ENVIRONMENT else None
            for name, node in _pairs(root, (*front_matter.USED, front_matter.ENVIRONMENT)).items()}


def _bounded(node: Any) -> dict[str, Any]:
    """The whole value of a key, {"value": …}; {"error": sentence} if it cannot be read, because nothing else must wait for it."""
    try:
        return {"value": _Whole().value(node)}
    except Permanent as error:
        return {"error": error.sentence}


class _Whole:
    """Makes maps and lists of nodes, as long as they are few. An alias counts again each time."""

    def __init__(self) -> None:
        self._nodes, self._characters = VALUES, CHARACTERS

    def value(self, node: Any, depth: int = 0) -> Any:
        self._nodes -= 1
        self._characters -= len(node.value) if node.id == "scalar" else 0
        if self._nodes < 0 or self._characters < 0 or depth > front_matter.DEPTH:
            raise Permanent(f"Line {node.start_mark.line + 2}: environment has too many values, or is nested too deeply.")
        if node.id == "sequence":
            return [self.value(each, depth + 1) for each in node.value]
        if node.id == "mapping":
            return {name: self.value(each, depth + 1) for name, each in _pairs(node, _All()).items()}
        return _value(node)


class _All:
    """Holds every name."""

    def __contains__(self, name: object) -> bool:
        return True


def _part(name: str, node: Any) -> Any:
    """The value of a key of the first level."""
    if node.id != "mapping":
        return _value(node)
    return {inner: _value(each) if inner in front_matter.USED[name] else None for inner, each in _pairs(node, front_matter.USED[name]).items()}


def _pairs(mapping: Any, used: Any, merges: int = 0) -> dict[str, Any]:
    """{name: node} of a map. A key that is used here may be there only once. `<<` brings the keys of other maps, which count less."""
    found: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    for key, node in mapping.value:
        name = key.value if key.id == "scalar" else f"(line {key.start_mark.line + 2})"
        if key.tag == f"{_TAG}merge":
            for each in node.value if node.id == "sequence" else [node]:
                if each.id != "mapping" or merges == MERGES:
                    raise Permanent(f"Line {key.start_mark.line + 2}: << takes a map or a list of maps, at most {MERGES} deep.")
                merged = {**_pairs(each, used, merges + 1), **merged}
        elif name in found and name in used:
            raise Permanent(f"Line {key.start_mark.line + 2}: the name {name} is there twice.")
        else:
            found[name] = node
    return {**merged, **found}


def _value(node: Any) -> Any:
    """The value of a scalar. A list or a map becomes an empty one, because none is used here."""
    if node.id != "scalar":
        return [] if node.id == "sequence" else {}
    kind = node.tag.removeprefix(_TAG)
    pattern = next((each for name, each, _ in _PLAIN if name == kind and kind != "merge"), None)
    if pattern is None and kind != "str":
        raise Permanent(f"Line {node.start_mark.line + 2}: the tag {kind[:60]} is not read here.")
    if pattern is not None and not re.fullmatch(pattern, node.value):
        raise Permanent(f"Line {node.start_mark.line + 2}: this is no value of the kind {kind}.")
    if kind in ("int", "float"):
        return float(node.value) if kind == "float" else int(node.value)
    return {"bool": node.value == "true", "null": None}.get(kind, node.value)
