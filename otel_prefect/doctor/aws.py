"""AWS as this environment leads to it: who we are, where its doors are, what its clock says."""

from __future__ import annotations

import email.utils
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from otel_prefect import semconv
from otel_prefect.collector import start as collector
from otel_prefect.deploy import permissions
from otel_prefect.doctor.findings import Finding, Status, Surroundings
from otel_prefect.doctor.http import Answer, NoAnswer, ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CONNECT_SECONDS: Final = 4
_READ_SECONDS: Final = 8
# The codes that say that credentials are at fault, not what they may do.
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/CommonErrors.html
CREDENTIAL_ERRORS: Final = {
    "ExpiredToken": "have expired",
    "ExpiredTokenException": "have expired",
    "RequestExpired": "or the clock: the request has expired",
    "InvalidClientTokenId": "are not known to AWS",
    "UnrecognizedClientException": "are not known to AWS",
    "InvalidAccessKeyId": "are not known to AWS",
    "IncompleteSignature": "are incomplete",
    "MissingAuthenticationToken": "are missing",
    "MissingAuthenticationTokenException": "are missing",
    "SignatureDoesNotMatch": "do not fit together, or the clock is wrong",
    "InvalidSignatureException": "do not fit together, or the clock is wrong",
    "RequestTimeTooSkewed": "or the clock: it is wrong",
    "OptInRequired": "are of an account that has this service not on",
}
# The OTLP endpoints: the variable that says where one is, the path, and the service that is signed for.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-OTLPEndpoint.html
_OTLP: Final = {
    "traces/xray-otlp": (semconv.ENV_ENDPOINT_XRAY, "/v1/traces", "xray"),
    "logs/cloudwatch-otlp": (semconv.ENV_ENDPOINT_LOGS, "/v1/logs", "logs"),
    "metrics/cloudwatch-otlp": (semconv.ENV_ENDPOINT_MONITORING, "/v1/metrics", "monitoring"),
    "traces/opensearch-ingestion": (semconv.ENV_OPENSEARCH_INGESTION_ENDPOINT, "/v1/traces", "osis"),
    "logs/opensearch-ingestion": (semconv.ENV_OPENSEARCH_INGESTION_ENDPOINT, "/v1/logs", "osis"),
}
# Services that a layer speaks to by their own protocol.
_SERVICES: Final = {
    "traces/xray": "xray",
    "logs/cloudwatch": "logs",
    "metrics/emf": "logs",
}
_CREDENTIALS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_FARTHEST_SECONDS: Final = 300
_NEAR_SECONDS: Final = 2.0
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
            connect_timeout=_CONNECT_SECONDS,
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

    def post(self, layer: str, headers: Mapping[str, str], seconds: float) -> Answer:
        """Send an empty OTLP request, signed, to the endpoint of a layer.

        Raises:
            NoBoto3: boto3 is not installed.
            Unauthenticated: there are no credentials.
            NoAnswer: nothing answers there.
        """
        url, service = self.otlp(layer)
        session = self.session
        from botocore.auth import SigV4Auth  # noqa: PLC0415 - as boto3
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415

        credentials = session.get_credentials()
        if credentials is None or self.region is None:
            raise Unauthenticated("cannot be found")
        shown = {"content-type": "application/x-protobuf", **headers}
        request = AWSRequest("POST", url, headers=shown, data=b"")
        SigV4Auth(credentials.get_frozen_credentials(), service, self.region).add_auth(request)
        answer = ask(
            url,
            method="POST",
            body=b"",
            headers=dict(request.headers.items()),
            seconds=seconds,
            certificates=self.certificates,
        )
        self.compare_clock(answer.headers.get("date"))
        return answer

    def otlp(self, layer: str) -> tuple[str, str]:
        """Return the URL of a layer's OTLP endpoint, and the service that it is signed for."""
        variable, path, service = _OTLP[layer]
        if variable is semconv.ENV_OPENSEARCH_INGESTION_ENDPOINT:
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
    if code in CREDENTIAL_ERRORS:
        return Unauthenticated(f"{CREDENTIAL_ERRORS[code]} ({code})")
    if code.startswith(("AccessDenied", "UnauthorizedOperation", "NotAuthorized")):
        return Denied(message or code)
    return Refused(code, message)


def needed(surroundings: Surroundings) -> bool:
    """Tell whether any layer sends to AWS with AWS's credentials."""
    return bool(permissions.needed(surroundings.layers))


def credentials(surroundings: Surroundings) -> Iterator[Finding]:
    """Ask AWS who we are."""
    what = "aws: credentials"
    if not needed(surroundings):
        yield Finding(what, Status.SKIPPED, "no layer sends to AWS")
        return
    aws = surroundings.aws
    try:
        yield _region(surroundings)
        yield Finding(what, Status.RIGHT, f"{aws.identity['Arn']}")
    except NoBoto3:
        yield Finding(what, Status.WRONG, "boto3 is not installed here", "pip install 'otel-prefect[cli]'")
    except Unauthenticated as error:
        surroundings.credentials = str(error)
        yield Finding(what, Status.WRONG, f"the credentials {error}", _mend(str(error), surroundings.environ))
    except Unreachable as error:
        told = f"STS cannot be reached, so who we are is not known: {error}"
        yield Finding(what, Status.NOTE, told)
    except (Denied, Refused) as error:
        yield Finding(what, Status.WRONG, f"STS does not say who we are: {error}")


def _mend(wrong: str, environ: Mapping[str, str]) -> str:
    named = [name for name in _CREDENTIALS if environ.get(name)]
    if named:
        return f"set {', '.join(named)} anew, or unset them"
    if "found" in wrong and environ.get(semconv.ENV_ECS_METADATA.name):
        return "give the task definition a taskRoleArn"
    return "aws sso login, or aws configure"


def _region(surroundings: Surroundings) -> Finding:
    what, aws = "aws: region", surroundings.aws
    if surroundings.environ.get("AWS_REGION"):
        return Finding(what, Status.RIGHT, surroundings.environ["AWS_REGION"])
    if aws.region:
        told = f"{aws.region}, but AWS_REGION is not set, and the Collector reads that"
        return Finding(what, Status.WRONG, told, f"AWS_REGION={aws.region}")
    return Finding(what, Status.WRONG, "no region is set", "AWS_REGION=eu-west-1, or where you are")


def endpoints(surroundings: Surroundings) -> Iterator[Finding]:
    """Connect to each door of AWS that the layers need."""
    if not needed(surroundings):
        return
    for service, url, variable in _doors(surroundings):
        what = f"endpoint: {service}"
        if not urlsplit(url).hostname:
            yield Finding(what, Status.WRONG, f"{variable} is not set", f"{variable}=https://…")
            continue
        try:
            seconds = min(_CONNECT_SECONDS, surroundings.left())
            answer = ask(url, seconds=seconds, certificates=surroundings.aws.certificates)
        except NoAnswer as error:
            yield Finding(what, Status.WRONG, f"{url}: {error}", _route(url, service, variable, surroundings))
        else:
            surroundings.aws.compare_clock(answer.headers.get("date"))
            yield Finding(what, Status.RIGHT, url)


def _doors(surroundings: Surroundings) -> Iterator[tuple[str, str, str]]:
    aws = surroundings.aws
    services = dict.fromkeys(_SERVICES[layer] for layer in surroundings.layers if layer in _SERVICES)
    for service in services:
        try:
            meta = aws.client(service).meta
        except (NoBoto3, Unauthenticated):
            continue
        # https://docs.aws.amazon.com/sdkref/latest/guide/ss-endpoints-table.html
        name = str(meta.service_model.service_id).upper().replace(" ", "_")
        yield service, str(meta.endpoint_url), f"AWS_ENDPOINT_URL_{name}"
    for layer in surroundings.layers:
        if layer in _OTLP:
            yield layer, aws.otlp(layer)[0], _OTLP[layer][0].name


def _route(url: str, service: str, variable: str, surroundings: Surroundings) -> str:
    host = urlsplit(url).hostname or ""
    if not host.endswith(".amazonaws.com"):
        return f"{variable}, AWS_ENDPOINT_URL: name what can be reached from here, or unset them"
    name = f"com.amazonaws.{surroundings.aws.region}.{service.partition('/')[0]}"
    return f"give the subnet a route to {host}: a NAT gateway, or a VPC endpoint of {name}"


def clock(surroundings: Surroundings) -> Iterator[Finding]:
    """Compare our clock with the dates of AWS's answers.

    A signature is good for five minutes
    (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html), log events
    and spans may be two hours ahead and fourteen days old at most
    (https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html,
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-OTLPEndpoint.html).
    """
    what = "clock"
    if not needed(surroundings):
        return
    if not surroundings.aws.offsets:
        yield Finding(what, Status.SKIPPED, "AWS has not answered, so there is no clock to compare with")
        return
    offset = min(surroundings.aws.offsets, key=abs)
    direction = "behind" if offset > 0 else "ahead of"
    told = f"this machine is {abs(offset):.0f} s {direction} AWS"
    if abs(offset) <= _NEAR_SECONDS:
        yield Finding(what, Status.RIGHT, f"within {_NEAR_SECONDS:g} s of AWS's")
    elif abs(offset) < _FARTHEST_SECONDS:
        yield Finding(
            what, Status.NOTE, f"{told}: spans and logs of other machines do not line up", "chronyc makestep"
        )
    else:
        told += f"; beyond {_FARTHEST_SECONDS} s AWS refuses every signature, beyond two hours log events"
        yield Finding(what, Status.WRONG, told, "chronyc makestep")


def _name_in_host(host: str, prefix: str) -> str:
    """Return a domain's or pipeline's name from its host: ``search-NAME-26 characters.region…``."""
    label = host.partition(".")[0].removeprefix("vpc-").removeprefix(prefix)
    return label.rpartition("-")[0] or "*"
