"""Attributes: OTLP's form of them, and Python's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

    AttributeValue = str | bool | int | float | Sequence[str]
    Attributes = Mapping[str, AttributeValue]


def set_value(target: AnyValue, value: AttributeValue) -> None:
    """Write a Python value into an OTLP attribute value of the same type."""
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, str):
        target.string_value = value
    else:
        for item in value:
            set_value(target.array_value.values.add(), item)


def text(attributes: Iterable[KeyValue], key: str) -> str | None:
    """Return an attribute that is a text; None where it is absent, empty or something else."""
    return next((each.value.string_value for each in attributes if each.key == key), None) or None
