"""Which source is asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from otel_prefect import semconv
from otel_prefect.commands.cli import CommandError
from otel_prefect.commands.sources.source import INSTALL

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from pathlib import Path

    from otel_prefect.commands.sources.source import Source

_AWS: Final = "aws"
_OPENSEARCH: Final = "opensearch"
_LAYERS: Final = {
    "xray": _AWS,
    "xray-otlp": _AWS,
    "auto": _AWS,
    "opensearch": _OPENSEARCH,
    "opensearch-ingestion": _OPENSEARCH,
}
"""By the layer that traces go to: where they are read from."""
_REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where a run is read from."""
    group, endpoint = semconv.ENV_LOG_GROUP, semconv.ENV_OPENSEARCH_ENDPOINT
    parser.add_argument(
        "--from",
        dest="read_from",
        choices=[_AWS, _OPENSEARCH],
        help=f"X-Ray and CloudWatch Logs, or the domain of {endpoint.name} "
        f"(the first of {semconv.ENV_TRACES.name} that can be read; where that is not set, {_AWS}, "
        f"or {_OPENSEARCH} where only that is configured)",
    )
    parser.add_argument("--region", help="of AWS (the process's)")
    parser.add_argument(
        "--log-group",
        default=os.environ.get(group.name) or group.default,
        help=f"of the runs' logs ({group.name}, else {group.default})",
    )


def asked(args: argparse.Namespace) -> Source:
    """Return the source that the options name.

    Raises:
        CommandError: it cannot be spoken to: something is not installed, or not set.
    """
    file: Path | None = getattr(args, "file", None)
    try:
        if file is not None:
            return _file(file)
        if (args.read_from or configured(os.environ)) == _OPENSEARCH:
            return _opensearch()
        return _aws(args)
    except ModuleNotFoundError as error:
        raise CommandError(f"{error.name} is not installed: {INSTALL}") from error


def configured(environ: Mapping[str, str]) -> str:
    """Return which source an environment speaks of: ``aws`` or ``opensearch``."""
    layers = environ.get(semconv.ENV_TRACES.name, "").split(",")
    readable = [_LAYERS[layer.strip()] for layer in layers if layer.strip() in _LAYERS]
    if readable:
        return readable[0]
    has_domain = bool(environ.get(semconv.ENV_OPENSEARCH_ENDPOINT.name))
    return _OPENSEARCH if has_domain and not any(map(environ.get, _REGIONS)) else _AWS


# Each imports what only it needs: boto3 alone takes a fifth of a second.


def _file(path: Path) -> Source:
    from otel_prefect.commands.sources.file import File  # noqa: PLC0415 - as above

    return File(path)


def _aws(args: argparse.Namespace) -> Source:
    import boto3  # noqa: PLC0415 - as above

    from otel_prefect.commands.sources.aws import Aws  # noqa: PLC0415 - as above

    return Aws(boto3.Session(region_name=args.region), args.log_group)


def _opensearch() -> Source:
    from otel_prefect.commands.sources.opensearch import OpenSearch  # noqa: PLC0415 - as above
    from otel_prefect.deploy import opensearch  # noqa: PLC0415 - as above

    try:
        return OpenSearch(opensearch.connect())
    except opensearch.SetupError as error:
        raise CommandError(str(error)) from error
