"""The process in which a WORKFLOW.md is read: reader.py starts it, with a question as JSON on its standard input, and reads the answer.

It lowers its own limits before it sees the file, and loads only the library that it needs."""
import json
import sys
from typing import Any

from engine.errors import Permanent
from engine.host.limited import TOO_MUCH, lower_limits
from engine.job import liquid_template, yaml_head

CPU_SECONDS = 3  # of a processor, with the imports


def main() -> None:
    lower_limits(CPU_SECONDS)
    sys.stdout.write(json.dumps(_answer(json.loads(sys.stdin.buffer.read()))))


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    try:
        if "read" in question:
            return {"ok": yaml_head.read(question["read"])}
        return {"ok": liquid_template.render(question["render"], question["values"], question["line"])}
    except Permanent as error:
        return {"wrong": error.sentence}
    except (MemoryError, RecursionError):
        return {"wrong": TOO_MUCH}
    except Exception as error:  # the outer edge of this process: a value that a library did not expect, such as a number of 5,000 digits
        return {"wrong": f"It cannot be read ({type(error).__name__}: {error})."}
