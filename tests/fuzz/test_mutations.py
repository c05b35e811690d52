"""Real requests, damaged or written in another way that protobuf allows: every check holds for them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar import wire
from tests.fuzz import invariants, seeds

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fuzz.seeds import Seeds

    Draw = Callable[[st.SearchStrategy[Any]], Any]

MANY = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
# A field that is known nowhere, of each wire type, and with more bytes than it needs.
UNKNOWN = (
    b"\xf8\x01\x96\x01",
    b"\xf9\x01" + b"12345678",
    b"\xfa\x01\x03abc",
    b"\xfa\x01\x00",
    b"\xfa\x81\x80\x00\x82\x80\x00xy",
    b"\xfb\x01\x08\x01\x13\x0d1234\x14\xfc\x01",
    b"\xfd\x01" + b"1234",
    b"\xf8\x01" + b"\xff" * 9 + b"\x01",
    # Entity references, which are to become field 3 of a Resource; a packed list of numbers.
    b"\x1a\x08\x12\x04host\x1a\x00",
    b"\x22\x03\x01\x96\x01",
)
# How many levels hold fields that are frames: a request, a ResourceX, a ScopeX.
LEVELS = 3


@pytest.fixture(scope="module")
def recorded() -> Seeds:
    return seeds.record()


@pytest.mark.parametrize("check", invariants.CHECKS)
def test_what_the_encoders_send_passes_every_check(recorded: Seeds, check: str) -> None:
    for choice, body in recorded.of(check):
        invariants.CHECKS[check](choice, body)


@pytest.mark.parametrize("check", ["wire", "regroup", "compression"])
@MANY
@given(data=st.data())
def test_damaged_bytes_are_refused_or_read_alike(recorded: Seeds, check: str, data: st.DataObject) -> None:
    bodies = list(recorded.of(check))
    choice, body = data.draw(st.sampled_from(bodies))
    for _ in range(data.draw(st.integers(1, 4))):
        _, other = data.draw(st.sampled_from(bodies))
        body = damaged(data.draw, body, other)
    invariants.CHECKS[check](choice, body)


def damaged(draw: Draw, body: bytes, other: bytes) -> bytes:
    """Return a body with bits flipped, cut off, with bytes put in, or with a part of another in it."""
    start, end = sorted(draw(st.integers(0, len(body))) for _ in range(2))
    kind = draw(st.sampled_from(("flip", "cut", "remove", "insert", "overwrite", "splice")))
    if kind == "flip" and start < len(body):
        return body[:start] + bytes([body[start] ^ 1 << draw(st.integers(0, 7))]) + body[start + 1 :]
    if kind == "cut":
        return body[:end]
    if kind == "remove":
        return body[:start] + body[end:]
    if kind == "splice":
        from_other = draw(st.integers(0, len(other)))
        return body[:start] + other[from_other : from_other + end - start] + body[end:]
    put_in: bytes = draw(st.sampled_from(UNKNOWN) | st.binary(max_size=12))
    return body[:start] + put_in + body[start + (len(put_in) if kind == "overwrite" else 0) :]


@pytest.mark.parametrize("check", ["wire", "regroup"])
@MANY
@given(data=st.data())
def test_fields_in_any_order_number_and_encoding_are_read_alike(
    recorded: Seeds, check: str, data: st.DataObject
) -> None:
    """A Resource behind the records, in parts, or none; unknown fields everywhere; lengths of many bytes."""
    choice, body = data.draw(st.sampled_from(list(recorded.of(check))))
    invariants.CHECKS[check](choice, rewritten(data.draw, body, LEVELS))


def rewritten(draw: Draw, body: bytes, levels: int) -> bytes:
    """Return a message with its fields moved, doubled, left out or in parts, and unknown ones among them."""
    written = []
    for field in wire.fields(body, 0, len(body), "seed"):
        value = body[field.start : field.end]
        if levels == LEVELS - 1 and field.number == wire.RESOURCE and draw(st.booleans()):
            # In two parts: one list of attributes behind the other.
            inner = [value[f.tag_start : f.end] for f in wire.fields(value, 0, len(value), "seed")]
            middle = draw(st.integers(0, len(inner)))
            written += [tagged(draw, 1, b"".join(part)) for part in (inner[:middle], inner[middle:])]
            continue
        if levels > 1 and field.number in (wire.RESOURCE, wire.SCOPE_X) and draw(st.booleans()):
            value = rewritten(draw, value, levels - 1)
        whole = body[field.tag_start : field.end]
        written.append(tagged(draw, field.number, value) if field.wire_type == 2 else whole)
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(("unknown", "move", "double", "remove")))
        position = draw(st.integers(0, len(written)))
        if kind == "unknown":
            written.insert(position, draw(st.sampled_from(UNKNOWN)))
        elif position < len(written):
            taken = written[position] if kind == "double" else written.pop(position)
            if kind != "remove":
                written.insert(draw(st.integers(0, len(written))), taken)
    return b"".join(written)


def tagged(draw: Draw, number: int, value: bytes) -> bytes:
    """Return a field, now and then with a tag and a length of more bytes than they need."""
    if draw(st.integers(0, 9)):
        return wire.message_field(number, value)
    return long_varint(number << 3 | 2, 5) + long_varint(len(value), 5) + value


def long_varint(value: int, size: int) -> bytes:
    groups = [value >> 7 * n & 0x7F for n in range(size)]
    return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])


@MANY
@given(data=st.data())
def test_odd_values_in_json_are_refused_or_read_alike(recorded: Seeds, data: st.DataObject) -> None:
    choice, body = data.draw(st.sampled_from(list(recorded.of("json"))))
    document = json.loads(body)
    for _ in range(data.draw(st.integers(1, 3))):
        make_odd(data.draw, document)
    invariants.check_json(invariants.SIGNALS[choice], json.dumps(document).encode())


def make_odd(draw: Draw, node: Any) -> None:
    """Put an odd value somewhere into a document, or a value in the place of another."""
    odd: st.SearchStrategy[Any] = st.sampled_from(
        (
            *(
                None,
                True,
                -1,
                2**64,
                -(2**63),
                1.5,
                1e300,
                "",
                "0",
                "-1",
                "1e3",
                "NaN",
                "Infinity",
                "00",
                "5b8e ",
            ),
            *(
                "zz",
                "\ud800",
                "SPAN_KIND_SERVER",
                "9" * 5000,
                [],
                {},
                [[]],
                [None],
                {"": 0},
                {"traceId": "00"},
            ),
        )
    )
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        if not isinstance(node[key], dict | list) or draw(st.integers(0, 9)) == 0:
            node[key] = draw(odd | st.text(max_size=5) | st.integers())
            return
        node = node[key]


@pytest.mark.parametrize("check", ["wire", "regroup", "json"])
@MANY
@given(choice=st.integers(0, 2), body=st.binary(max_size=60))
def test_a_few_bytes_are_refused_or_read_alike(check: str, choice: int, body: bytes) -> None:
    invariants.CHECKS[check](choice, body)
