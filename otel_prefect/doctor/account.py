"""Who AWS says that we are, whether its doors can be reached, and what its clock says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from otel_prefect import semconv
from otel_prefect.collector import start as collector
from otel_prefect.deploy import permissions
from otel_prefect.doctor.aws import (
    CONNECT_SECONDS,
    SIGNED,
    Denied,
    NoBoto3,
    Refused,
    Unauthenticated,
    Unreachable,
)
from otel_prefect.doctor.findings import Finding, Status, Surroundings
from otel_prefect.http_request import NoAnswer, ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Services that a layer speaks to by their own protocol.
_SERVICES: Final = {
    "traces/xray": "xray",
    "logs/cloudwatch": "logs",
    "metrics/emf": "logs",
}
_PROMETHEUS: Final = "metrics/prometheus"
_CREDENTIALS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_FARTHEST_SECONDS: Final = 300
_NEAR_SECONDS: Final = 2.0


def needed(surroundings: Surroundings) -> bool:
    """Tell whether any layer sends to AWS with AWS's credentials."""
    return bool(permissions.needed(surroundings.layers)) or collector.writes_to_managed_prometheus(
        surroundings.environ
    )


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
    """Connect to each door of AWS, and of Prometheus, that the layers need."""
    for service, url, variable in _doors(surroundings):
        what = f"endpoint: {service}"
        if not urlsplit(url).hostname:
            yield Finding(what, Status.WRONG, f"{variable} is not set", f"{variable}=https://…")
            continue
        try:
            seconds = min(CONNECT_SECONDS, surroundings.left())
            answer = ask(url, seconds=seconds, certificates=surroundings.aws.certificates)
        except NoAnswer as error:
            yield Finding(what, Status.WRONG, f"{url}: {error}", _route(url, service, variable))
        else:
            if service != _PROMETHEUS:
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
        if layer in SIGNED:
            yield layer, aws.signed(layer)[0], SIGNED[layer][0].name


def _route(url: str, service: str, variable: str) -> str:
    host = urlsplit(url).hostname or ""
    if service == _PROMETHEUS and not host.endswith(".amazonaws.com"):
        return f"{variable}: name a Prometheus that can be reached from here"
    if not host.endswith(".amazonaws.com"):
        return f"{variable}, AWS_ENDPOINT_URL: name what can be reached from here, or unset them"
    # SERVICE.REGION.amazonaws.com, or NAME.REGION.SERVICE.amazonaws.com
    first, region, *last = host.removesuffix(".amazonaws.com").split(".")
    name = f"com.amazonaws.{region}.{last[0] if last else first}"
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
