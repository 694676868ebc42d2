"""What is accepted as JSON, and that each refusal says what and where."""
import hashlib
import json

import pytest

from engine.errors import BadRequest
from hitl.web.strict_json import canonical, parse, sha256

REFUSED = {
    "not UTF-8": (b'{"a":\n "\xff"}', "UTF-8", 2, 3),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "UTF-8", 1, 1),
    "a duplicate key": (b'{"a": 1,\n "b": 2, "a": 3}', '"a" occurs twice', 2, 10),
    "a duplicate key, once escaped": (b'{"ab": 1, "\\u0061b": 3}', '"ab" occurs twice', 1, 11),
    "a duplicate key within a list": (b'[{"a": {"x": 1}}, {"x": {}, "x": 1}]', '"x" occurs twice', 1, 29),
    "NaN": (b'["NaN", NaN]', "NaN is not JSON", 1, 9),
    "Infinity": (b"[1, -Infinity]", "-Infinity is not JSON", 1, 5),
    "a float that overflows": (b'{"a": 1e999}', "too large", 1, 7),
    "a float of 6,000 digits": (b"[" + b"9" * 6000 + b".5]", "too large", 1, 2),
    "2^63": (b"[9223372036854775808]", "64 bits", 1, 2),
    "-2^63 - 1": (b"[-9223372036854775809]", "64 bits", 1, 2),
    "6,000 digits": (b'{"a":\n' + b"1" * 6000 + b"}", "64 bits", 2, 1),
    "an escaped NUL": (b'{"a": "x\\u0000"}', "NUL", 1, 9),
    "a raw NUL": (b'{"a": "x\x00"}', "control character", 1, 9),
    "a lone high surrogate": (b'["\\ud83d"]', "surrogate", 1, 3),
    "a lone low surrogate": (b'["\\ude00"]', "surrogate", 1, 3),
    "a high surrogate and a letter": (b'["\\ud83dx\\ude00"]', "surrogate", 1, 3),
    "surrogates the wrong way round": (b'["\\ude00\\ud83d"]', "surrogate", 1, 3),
    "a surrogate in a key": (b'{"\\ud83d": 1}', "surrogate", 1, 3),
    "101 levels": (b"[" * 101 + b"]" * 101, "deeper than 100", 1, 101),
    "101 levels of objects": (b'{"a":' * 101 + b"1" + b"}" * 101, "deeper than 100", 1, 501),
    "100,000 levels, never closed": (b"[" * 100_000, "deeper than 100", 1, 101),
    "broken": (b'{"a": 1,}', "not valid JSON", 1, 9),
    "two values": (b"{} {}", "not valid JSON", 1, 4),
    "nothing": (b"", "not valid JSON", 1, 1),
    "an unfinished text": (b'{"a": "x', "not valid JSON", 1, 7),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_what_and_where(name):
    body, what, line, column = REFUSED[name]
    with pytest.raises(BadRequest) as refused:
        parse(body)
    assert what in refused.value.sentence and len(refused.value.sentence) < 200
    assert (refused.value.extra["line"], refused.value.extra["column"]) == (line, column)


@pytest.mark.parametrize("text", [
    "null", "0", "-9223372036854775808", "9223372036854775807", "1.5e10", '"\\\\u0000 \\\\ud83d"', '"\\ud83d\\ude00"', '"😀"',
    '{"a": {"a": 1}, "b": [{"a": 1}]}',
    '"[[[[{{{{"', "[" * 100 + "]" * 100, '["' + "[" * 500 + '"]',
])
def test_what_is_json_is_accepted_as_it_is(text):
    assert parse(text.encode()) == json.loads(text)


def test_the_canonical_text_has_sorted_keys_no_space_and_characters_as_they_are():
    value = {"b": [1, 2.5, None], "a": {"ü": "😀", "c": True}}
    assert canonical(value) == '{"a":{"c":true,"ü":"😀"},"b":[1,2.5,null]}'
    assert sha256(value) == hashlib.sha256(canonical(value).encode()).hexdigest()
    assert sha256({"a": 1, "b": 2}) == sha256({"b": 2, "a": 1}) != sha256({"a": 1, "b": "2"})
