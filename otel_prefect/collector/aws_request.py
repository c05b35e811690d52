"""Asks AWS one signed question with the standard library: the sidecar has no boto3.

Credentials are looked for where a task has them: in the variables, then at the endpoint that ECS, or an agent
on EKS, names in variables. Profiles, web identity and instance metadata are not looked at.
"""

from __future__ import annotations

import calendar
import email.utils
import hashlib
import hmac
import http.client
import ipaddress
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message

# https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
_ECS_CREDENTIALS: Final = "http://169.254.170.2"
_PLAIN_HOSTS: Final = ("169.254.170.2", "169.254.170.23", "fd00:ec2::23")
_MOST_BYTES: Final = 100_000
# By which a signed request's time may be off: five minutes.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
CLOCK_SECONDS: Final = 300.0
_ALGORITHM: Final = "AWS4-HMAC-SHA256"


class NoAnswer(Exception):  # noqa: N818 - a state that the caller asks about
    """Raised when AWS could not be asked: no credentials, or nobody answers; the text says why."""


@dataclass(frozen=True)
class Credentials:
    """What a request is signed with; kept out of ``repr``."""

    key_id: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Request:
    """A POST to AWS.

    Attributes:
        url: without a query.
        headers: sent and signed beside those of the signature.
        body: of the request.
        service: that it is signed for, such as ``xray``.
    """

    url: str
    service: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What AWS said.

    Attributes:
        status: of HTTP.
        code: AWS's name for the error; empty where it named none.
        body: at most 100 kB of it.
        clock_ahead: seconds by which AWS's clock is ahead of ours.
    """

    status: int
    code: str
    body: bytes
    clock_ahead: float

    def said(self) -> str:
        """Return AWS's refusal in one line; a clock that is the reason of it is named."""
        if abs(self.clock_ahead) > CLOCK_SECONDS:
            off = "behind" if self.clock_ahead > 0 else "ahead of"
            return f"this machine's clock is {abs(self.clock_ahead):.0f} s {off} AWS's, which takes 300 s"
        try:
            message = json.loads(self.body).get("message") or ""
        except (ValueError, AttributeError):
            message = ""
        return " ".join(f"{self.status} {self.code} {message}".split())[:300]


def post(request: Request, environ: Mapping[str, str], seconds: float) -> Answer:
    """Send a request, signed.

    Args:
        request: what to send.
        environ: read for ``AWS_REGION``, the credentials and proxies.
        seconds: until an answer is given up; as long for the credentials' endpoint, where it is asked.

    Raises:
        NoAnswer: there are no credentials, or nothing answers.
    """
    credentials = find_credentials(environ, seconds)
    headers = sign(request, credentials, environ.get("AWS_REGION") or "us-east-1", time.time())
    sent = urllib.request.Request(request.url, request.body, headers, method="POST")  # noqa: S310 - a setting
    try:
        with urllib.request.urlopen(sent, timeout=seconds) as answer:  # noqa: S310
            return _answer(answer.status, answer.headers, answer.read(_MOST_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error.code, error.headers, error.read(_MOST_BYTES))
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        host = urlsplit(request.url).hostname
        raise NoAnswer(f"{host} does not answer ({type(reason).__name__})") from None


def _answer(status: int, headers: Message, body: bytes) -> Answer:
    ahead = 0.0
    date = email.utils.parsedate(headers.get("date", ""))
    if date is not None:
        ahead = calendar.timegm(date) - time.time()
    code = headers.get("x-amzn-errortype", "").partition(":")[0]
    if not code:
        try:
            code = str(json.loads(body).get("__type", "")).rpartition("#")[2]
        except (ValueError, AttributeError):
            code = ""
    return Answer(status, code, body, ahead)


def find_credentials(environ: Mapping[str, str], seconds: float) -> Credentials:
    """Return the task's credentials.

    Args:
        environ: the variables.
        seconds: until the endpoint's answer is given up.

    Raises:
        NoAnswer: there are none.
    """
    key_id, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    if key_id and secret:
        return Credentials(key_id, secret, environ.get("AWS_SESSION_TOKEN", ""))
    relative = environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    full = environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if not relative and not full:
        raise NoAnswer("there are no AWS credentials in the variables, and none of a task role")
    url = _ECS_CREDENTIALS + relative if relative else str(full)
    return _credentials_at(url, _container_token(environ), seconds)


def _container_token(environ: Mapping[str, str]) -> str:
    file = environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    if not file:
        return environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    try:
        return Path(file).read_text().strip()
    except OSError as error:
        raise NoAnswer(f"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read: {error.strerror}") from None


def _credentials_at(url: str, token: str, seconds: float) -> Credentials:
    # The token opens the task's role: it goes where AWS's own SDKs would send it, and nowhere else.
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_near(parts.hostname or "")):
        raise NoAnswer("AWS_CONTAINER_CREDENTIALS_FULL_URI: https, loopback or ECS's own address is needed")
    headers = {"Authorization": token} if token else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - checked above
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=seconds) as answer:
            found = json.loads(answer.read(_MOST_BYTES))
        return Credentials(found["AccessKeyId"], found["SecretAccessKey"], found.get("Token") or "")
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        what = f"{error.code}" if isinstance(error, urllib.error.HTTPError) else type(error).__name__
        raise NoAnswer(f"the endpoint of the task role's credentials does not give any ({what})") from None


def _is_near(host: str) -> bool:
    if host == "localhost" or host in _PLAIN_HOSTS:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def sign(request: Request, credentials: Credentials, region: str, now: float) -> dict[str, str]:
    """Return a request's headers, signed by AWS's Signature Version 4.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

    Args:
        request: what is to be sent.
        credentials: of who sends it.
        region: that it is sent to.
        now: seconds since 1970.
    """
    parts = urlsplit(request.url)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    result = {name.lower(): value for name, value in request.headers.items()}
    result |= {"host": parts.netloc, "x-amz-date": stamp}
    if credentials.token:
        result["x-amz-security-token"] = credentials.token
    names = ";".join(sorted(result))
    lines = "".join(f"{name}:{' '.join(result[name].split())}\n" for name in sorted(result))
    path = quote(parts.path or "/", safe="/-_.~%")
    canonical = "\n".join(("POST", path, "", lines, names, hashlib.sha256(request.body).hexdigest()))
    scope = f"{stamp[:8]}/{region}/{request.service}/aws4_request"
    to_sign = "\n".join((_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{credentials.secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    result["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return result
