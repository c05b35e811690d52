"""Where the commands read a run from: AWS, OpenSearch, or a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from otel_prefect import ids, links, semconv
from otel_prefect.commands.cli import CommandError
from otel_prefect.prefect import api as prefect_api
from otel_prefect.view import otlp_json

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from otel_prefect.view.execution import Execution
    from otel_prefect.view.log_lines import Line

INSTALL: Final = "pip install 'otel-prefect[cli]'"
_AWS: Final = "aws"
_OPENSEARCH: Final = "opensearch"
_MOST_NAMED: Final = 5
_SLACK_SECONDS: Final = 60.0
"""Before the first span and after the last one in which log records are looked for."""


class NoTrace(CommandError):  # noqa: N818 - the answer to a question
    """Raised where there is no such trace, or none yet."""


class Source(Protocol):
    """What has the spans and log records of runs."""

    @property
    def name(self) -> str:
        """What people call it."""

    def execution(self, trace_id: str) -> tuple[Execution, int]:
        """Return what there is of a trace, and how many parts of it were not understood.

        Args:
            trace_id: 32 hex digits.

        Raises:
            NoTrace: there is none.
            CommandError: it cannot be read; the text says why.
        """

    def lines(self, trace_id: str, start: float, end: float) -> tuple[list[Line], str]:
        """Return the log lines of a run, and why there are none where they cannot be read.

        Args:
            trace_id: 32 hex digits.
            start: of the run, in seconds since 1970.
            end: the same.
        """

    def places(self, execution: Execution) -> dict[str, str]:
        """Return what shows an execution too: names and addresses."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where a run is read from."""
    group, endpoint = semconv.ENV_LOG_GROUP, semconv.ENV_OPENSEARCH_ENDPOINT
    parser.add_argument(
        "--from",
        dest="source",
        choices=[_AWS, _OPENSEARCH],
        default=_AWS,
        help=f"X-Ray and CloudWatch Logs, or the domain of {endpoint.name} ({_AWS})",
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
            return File(file)
        return _opensearch() if args.source == _OPENSEARCH else _aws(args)
    except ModuleNotFoundError as error:
        raise CommandError(f"{error.name} is not installed: {INSTALL}") from error


def _aws(args: argparse.Namespace) -> Source:
    import boto3  # noqa: PLC0415 - of the extra `cli`, and slow to import

    return Aws(boto3.Session(region_name=args.region), args.log_group)


def _opensearch() -> Source:
    from otel_prefect.deploy import opensearch  # noqa: PLC0415 - of the extra `cli`

    try:
        return OpenSearch(opensearch.connect())
    except opensearch.SetupError as error:
        raise CommandError(str(error)) from error


@dataclass(frozen=True)
class Aws:
    """X-Ray and CloudWatch Logs.

    Attributes:
        session: of boto3.
        group: the log group.
    """

    session: Any
    group: str

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.group} in {self.session.region_name}"

    def execution(self, trace_id: str) -> tuple[Execution, int]:
        """Return what X-Ray has of a trace."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

        from otel_prefect.view import xray  # noqa: PLC0415 - as above

        named = ids.xray_trace_id(int(trace_id, 16))
        try:
            found, odd = xray.execution(self.session.client("xray"), named)
        except (BotoCoreError, ClientError) as error:
            raise CommandError(f"xray:BatchGetTraces: {error}") from error
        if not found.spans:
            raise NoTrace(
                f"X-Ray in {self.session.region_name} has no trace {named}: it keeps them for 30 days, and "
                "takes seconds to show a new one"
            )
        return found, odd

    def lines(self, trace_id: str, start: float, end: float) -> tuple[list[Line], str]:
        """Return what CloudWatch Logs has of a run."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

        from otel_prefect.view import log_lines  # noqa: PLC0415 - as above

        start, end = start - _SLACK_SECONDS, end + _SLACK_SECONDS
        try:
            return log_lines.of_cloudwatch(self.session.client("logs"), self.group, trace_id, start, end), ""
        except (BotoCoreError, ClientError) as error:
            return [], f"logs:FilterLogEvents on {self.group}: {error}"

    def places(self, execution: Execution) -> dict[str, str]:
        """Return links into AWS's consoles and to Prefect."""
        trace_id = int(execution.trace_id, 16)
        region = self.session.region_name
        return links.of_run(region, self.group, trace_id, execution.start, execution.end) | _prefect(trace_id)


@dataclass(frozen=True)
class OpenSearch:
    """A domain of OpenSearch.

    Attributes:
        client: of it.
    """

    client: Any

    @property
    def name(self) -> str:
        """What people call it."""
        return "OpenSearch"

    def execution(self, trace_id: str) -> tuple[Execution, int]:
        """Return what OpenSearch has of a trace."""
        from opensearchpy.exceptions import OpenSearchException  # noqa: PLC0415 - as above

        from otel_prefect.view import opensearch  # noqa: PLC0415 - as above

        try:
            found, odd = opensearch.execution(self.client, trace_id)
        except OpenSearchException as error:
            raise CommandError(f"OpenSearch, {opensearch.SPANS}: {error}") from error
        if not found.spans:
            raise NoTrace(f"OpenSearch has no spans of trace {trace_id} in {opensearch.SPANS}")
        return found, odd

    def lines(self, trace_id: str, start: float, end: float) -> tuple[list[Line], str]:  # noqa: ARG002 - it needs no times
        """Return what OpenSearch has of a run's log."""
        from opensearchpy.exceptions import OpenSearchException  # noqa: PLC0415 - as above

        from otel_prefect.view import opensearch  # noqa: PLC0415 - as above

        try:
            return opensearch.lines(self.client, trace_id), ""
        except OpenSearchException as error:
            return [], f"OpenSearch, {opensearch.LOGS}: {error}"

    def places(self, execution: Execution) -> dict[str, str]:
        """Return a link to Prefect."""
        return _prefect(int(execution.trace_id, 16))


@dataclass(frozen=True)
class File:
    """A file of OTLP in JSON.

    Attributes:
        path: of it.
    """

    path: Path

    @property
    def name(self) -> str:
        """What people call it."""
        return str(self.path)

    def execution(self, trace_id: str) -> tuple[Execution, int]:
        """Return what the file has of a trace."""
        try:
            found = otlp_json.read(self.path.read_text(encoding="utf-8", errors="replace"))
        except OSError as error:
            raise CommandError(f"{self.path}: cannot be read: {error.strerror}") from error
        execution = found.execution(trace_id)
        if not execution.spans:
            others = ", ".join(sorted(found.traces)[:_MOST_NAMED]) or "none"
            raise NoTrace(f"{self.path}: has no spans of trace {trace_id}; of these it has: {others}")
        return execution, found.odd

    def lines(self, trace_id: str, start: float, end: float) -> tuple[list[Line], str]:  # noqa: ARG002 - there are none
        """Return nothing: a file has spans only."""
        return [], ""

    def places(self, execution: Execution) -> dict[str, str]:
        """Return a link to Prefect."""
        return _prefect(int(execution.trace_id, 16))


def _prefect(trace_id: int) -> dict[str, str]:
    """Return where Prefect shows a run, where its API is told."""
    try:
        ui = links.prefect_ui(prefect_api.of_environment(os.environ).base)
    except ValueError:
        return {}
    run_id = ids.show_uuid(ids.flow_run_id(trace_id))
    return {} if ui is None else {"Prefect": links.prefect_flow_run(ui, run_id)}
