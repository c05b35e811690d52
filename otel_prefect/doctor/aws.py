"""Asks AWS as this environment leads to it, and tells apart why it does not answer as it was asked to."""

from __future__ import annotations

import email.utils
import re
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from otel_prefect import semconv
from otel_prefect.collector import start as collector
from otel_prefect.http_request import Answer, ask

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECT_SECONDS: Final = 4
_READ_SECONDS: Final = 8
# The codes that say that credentials are at fault, not what they may do.
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/CommonErrors.html
_CREDENTIAL_ERRORS: Final = {
    "ExpiredToken": "have expired",
    "ExpiredTokenException": "have expired",
    "RequestExpired": "are of a request that has expired: the clock is wrong",
    "InvalidClientTokenId": "are not known to AWS",
    "UnrecognizedClientException": "are not known to AWS",
    "InvalidAccessKeyId": "are not known to AWS",
    "IncompleteSignature": "are incomplete",
    "MissingAuthenticationToken": "are missing",
    "MissingAuthenticationTokenException": "are missing",
    "SignatureDoesNotMatch": "do not fit together, or the clock is wrong",
    "InvalidSignatureException": "do not fit together, or the clock is wrong",
    "RequestTimeTooSkewed": "cannot be told: the clock is wrong",
    "OptInRequired": "are of an account that has this service not on",
}
# The endpoints that no client of boto3 speaks to: the variable that says where one is, the path, and the
# service that is signed for.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-OTLPEndpoint.html
SIGNED: Final = {
    "traces/xray-otlp": (semconv.ENV_ENDPOINT_XRAY, "/v1/traces", "xray"),
    "logs/cloudwatch-otlp": (semconv.ENV_ENDPOINT_LOGS, "/v1/logs", "logs"),
    "metrics/cloudwatch-otlp": (semconv.ENV_ENDPOINT_MONITORING, "/v1/metrics", "monitoring"),
    "traces/opensearch-ingestion": (semconv.ENV_OPENSEARCH_INGESTION_ENDPOINT, "/v1/traces", "osis"),
    "logs/opensearch-ingestion": (semconv.ENV_OPENSEARCH_INGESTION_ENDPOINT, "/v1/logs", "osis"),
    "metrics/prometheus": (semconv.ENV_PROMETHEUS_ENDPOINT, "", "aps"),
}
_LONGEST_MESSAGE: Final = 160


class NoBoto3(Exception):  # noqa: N818 - a state that the caller asks about
    """Raised when boto3 is not installed."""


class Unauthenticated(Exception):  # noqa: N818 - as above
    """Raised when there are no credentials, or none that AWS knows; the text ends a sentence on them."""


class Denied(Exception):  # noqa: N818 - as above
    """Raised when AWS refuses an action; the text is AWS's own."""


class Unreachable(Exception):  # noqa: N818 - as above
    """Raised when there is no answer of AWS; the text says why."""


class Refused(Exception):  # noqa: N818 - as above
    """Raised when AWS answers that a request cannot be carried out for another reason.

    Args:
        code: of the error, or the status.
        message: AWS's own.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message[:_LONGEST_MESSAGE]}" if message else code)
        self.code = code
        self.message = message


@dataclass
class Aws:
    """AWS, asked with short time-outs; nothing is asked before it is needed.

    Attributes:
        environ: the variables.
        offsets: by how many seconds AWS's clock was ahead of ours, in each answer.
    """

    environ: Mapping[str, str]
    offsets: list[float] = field(default_factory=list)

    @cached_property
    def session(self) -> Any:
        """A session of boto3.

        Raises:
            NoBoto3: it is not installed.
        """
        try:
            import boto3  # noqa: PLC0415 - a second to import, and only AWS's layers need it
        except ModuleNotFoundError as error:
            raise NoBoto3(str(error)) from error
        # boto3 reads AWS_DEFAULT_REGION alone; ECS sets AWS_REGION.
        return boto3.session.Session(region_name=self.environ.get("AWS_REGION") or None)

    @property
    def region(self) -> str | None:
        """The region; None where nothing says it."""
        return self.session.region_name  # type: ignore[no-any-return]

    @property
    def certificates(self) -> str | None:
        """The file of authorities that AWS's SDKs are told to trust."""
        return self.environ.get("AWS_CA_BUNDLE") or None

    @cached_property
    def identity(self) -> Mapping[str, str]:
        """Who AWS says that we are: ``Account``, ``Arn``.

        Raises:
            NoBoto3, Unauthenticated, Denied, Unreachable, Refused: it does not.
        """
        return self.call("sts", "get_caller_identity")  # type: ignore[no-any-return]

    def variables(self) -> dict[str, str]:
        """Return what the ARNs of ``permissions`` are completed with; ``*`` for what cannot be known."""
        account = partition = "*"
        try:
            _, partition, _, _, account, *_ = self.identity["Arn"].split(":")
        except (NoBoto3, Unauthenticated, Denied, Unreachable, Refused, ValueError, KeyError):
            partition = "aws"
        domain = urlsplit(self.environ.get(semconv.ENV_OPENSEARCH_ENDPOINT.name, "")).hostname or ""
        ingestion = self.environ.get(semconv.ENV_OPENSEARCH_INGESTION_ENDPOINT.name, "")
        return {
            "partition": partition,
            "account": account,
            "region": self.region or "*",
            "log_group": self._value(semconv.ENV_LOG_GROUP),
            "metric_log_group": self._value(semconv.ENV_METRIC_LOG_GROUP),
            "opensearch_domain": _name_in_host(domain, "search-"),
            "ingestion_pipeline": _name_in_host(urlsplit(ingestion).hostname or "", ""),
            "prometheus_workspace": _workspace(self.environ.get(semconv.ENV_PROMETHEUS_ENDPOINT.name, "")),
        }

    def client(self, service: str) -> Any:
        """Return a client of boto3 with short time-outs whose answers tell what AWS's clock says.

        Raises:
            NoBoto3: it is not installed.
            Unauthenticated: there are no credentials, or no region.
        """
        session = self.session
        from botocore.config import Config  # noqa: PLC0415 - as boto3
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415

        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"max_attempts": 1, "mode": "standard"},
            user_agent_extra="otel-prefect-doctor",
        )
        try:
            client = session.client(service, config=config)
        except (BotoCoreError, ValueError) as error:
            raise Unauthenticated(f"cannot be used: {error}") from error
        client.meta.events.register("after-call", self._note_date)
        return client

    def call(self, service: str, operation: str, **arguments: Any) -> Any:
        """Call one operation.

        Raises:
            NoBoto3: boto3 is not installed.
            Unauthenticated: there are no credentials, or none that AWS takes.
            Denied: the action is not allowed.
            Unreachable: there is no answer.
            Refused: any other error that AWS answers with.
        """
        client = self.client(service)
        from botocore.exceptions import (  # noqa: PLC0415 - as boto3
            BotoCoreError,
            ClientError,
            CredentialRetrievalError,
            HTTPClientError,
            NoCredentialsError,
            PartialCredentialsError,
        )

        try:
            return getattr(client, operation)(**arguments)
        except ClientError as error:
            details = error.response.get("Error", {})
            raise problem(str(details.get("Code")), str(details.get("Message", ""))) from error
        except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
            raise Unauthenticated(f"cannot be found: {error}") from error
        except HTTPClientError as error:
            raise Unreachable(" ".join(str(error).split())) from error
        except BotoCoreError as error:
            raise Unauthenticated(f"cannot be used: {error}") from error

    def post(self, layer: str, headers: Mapping[str, str], seconds: float, body: bytes = b"") -> Answer:
        """Send a request that holds nothing, signed, to the endpoint of a layer.

        Raises:
            NoBoto3: boto3 is not installed.
            Unauthenticated: there are no credentials.
            NoAnswer: nothing answers there.
        """
        url, service = self.signed(layer)
        session = self.session
        from botocore.auth import SigV4Auth  # noqa: PLC0415 - as boto3
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415

        credentials = session.get_credentials()
        if credentials is None or self.region is None:
            raise Unauthenticated("cannot be found")
        shown = {"content-type": "application/x-protobuf", **headers}
        request = AWSRequest("POST", url, headers=shown, data=body)
        SigV4Auth(credentials.get_frozen_credentials(), service, self.region).add_auth(request)
        answer = ask(
            url,
            method="POST",
            body=body,
            headers=dict(request.headers.items()),
            seconds=seconds,
            certificates=self.certificates,
        )
        self.compare_clock(answer.headers.get("date"))
        return answer

    def signed(self, layer: str) -> tuple[str, str]:
        """Return the URL of a layer's endpoint, and the service that it is signed for."""
        variable, path, service = SIGNED[layer]
        if variable in (semconv.ENV_OPENSEARCH_INGESTION_ENDPOINT, semconv.ENV_PROMETHEUS_ENDPOINT):
            return self.environ.get(variable.name, "") + path, service
        return collector.aws_endpoint(variable, self.environ) + path, service

    def _note_date(self, parsed: Mapping[str, Any], **_: Any) -> None:
        self.compare_clock(parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date"))

    def compare_clock(self, date: str | None) -> None:
        """Note what a ``Date`` header, just received, says of our clock."""
        if not date:
            return
        try:
            there = email.utils.parsedate_to_datetime(date).timestamp()
        except ValueError:
            return
        # The header has whole seconds: it is half a second behind, on average.
        self.offsets.append(there + 0.5 - time.time())

    def _value(self, variable: semconv.Variable) -> str:
        return self.environ.get(variable.name) or variable.default


def problem(code: str, message: str) -> Exception:
    """Return the exception of this module for an error that AWS has answered with.

    Args:
        code: AWS's, such as ``AccessDeniedException``.
        message: AWS's.
    """
    if code in _CREDENTIAL_ERRORS:
        return Unauthenticated(f"{_CREDENTIAL_ERRORS[code]} ({code})")
    if code.startswith(("AccessDenied", "UnauthorizedOperation", "NotAuthorized")):
        return Denied(message or code)
    return Refused(code, message)


def _name_in_host(host: str, prefix: str) -> str:
    """Return a domain's or pipeline's name from its host: ``search-NAME-26 characters.region…``."""
    label = host.partition(".")[0].removeprefix("vpc-").removeprefix(prefix)
    return label.rpartition("-")[0] or "*"


def _workspace(url: str) -> str:
    """Return the workspace's id in the managed Prometheus's URL, ``/workspaces/ID/api/v1/remote_write``."""
    found = re.search(r"/workspaces/([^/]+)/", urlsplit(url).path)
    return found[1] if found else "*"
