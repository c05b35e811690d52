"""A gate before moto that refuses as AWS does: actions that no policy allows, tokens that have expired.

moto's server allows everything to everybody. Bodies of the answers: AccessDeniedException of JSON protocols
and the XML error of STS, https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html and
https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html.
"""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from demo import aws
from tests.support import insights
from tests.support.http_server import QuietHandler, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from email.message import Message

    from tests.support.insights import Insights

PRINCIPAL = "arn:aws:sts::123456789012:assumed-role/pipeline-task/0123456789abcdef"
# X-Ray's operations are paths (REST-JSON); those of Logs are in a header (JSON 1.1), of STS in a form.
_XRAY = {
    "/TraceSegments": "PutTraceSegments",
    "/Traces": "BatchGetTraces",
    "/GetTraceSegmentDestination": "GetTraceSegmentDestination",
    "/GetSamplingRules": "GetSamplingRules",
    "/SamplingTargets": "GetSamplingTargets",
    "/StartTraceRetrieval": "StartTraceRetrieval",
    "/ListRetrievedTraces": "ListRetrievedTraces",
}

_INSIGHTS = {
    "logs:StartQuery": "start_query",
    "logs:GetQueryResults": "get_query_results",
    "logs:StopQuery": "stop_query",
}

# What moto has not.
_ANSWERED_HERE: dict[str, dict[str, Any]] = {
    "xray:GetTraceSegmentDestination": {"Destination": "", "Status": "ACTIVE"},
    "logs:DescribeIndexPolicies": {
        "indexPolicies": [{"policyDocument": '{"Fields": ["flow_run_id", "xray_trace_id"]}'}]
    },
    "xray:GetSamplingRules": {"SamplingRuleRecords": []},
    "xray:GetSamplingTargets": {"SamplingTargetDocuments": [], "UnprocessedStatistics": []},
}


@dataclass
class Gate:
    """What is refused.

    Attributes:
        moto: URL that all else goes on to.
        denied: why, by action (``logs:PutLogEvents``); what stands after "because".
        expired: whether every call is told that its token has expired.
        destination: what GetTraceSegmentDestination, which moto has not, answers.
        allowed: says whether a policy allows an action on a resource; where it is None, all is allowed.
        indexed: whether log groups have an index, which moto knows nothing of.
        insights: what answers queries of Logs Insights.
        ahead: seconds by which AWS's clock is ahead of this machine's.
        asked: the actions that came, in order.
        refused: of these, those that were refused.
        url: where it is; set while it serves.
    """

    moto: str
    denied: dict[str, str] = field(default_factory=dict)
    expired: bool = False
    destination: str = "XRay"
    allowed: Callable[[str, str], bool] | None = None
    indexed: bool = True
    ahead: float = 0.0
    insights: Insights = field(init=False)
    asked: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        self.insights = insights.of_moto(self.moto)

    def answers(self) -> dict[str, dict[str, Any]]:
        """Return what is answered by action, where that is decided here."""
        indexes: dict[str, dict[str, Any]] = (
            {} if self.indexed else {"logs:DescribeIndexPolicies": {"indexPolicies": []}}
        )
        return {"xray:GetTraceSegmentDestination": {"Destination": self.destination}, **indexes}

    def reason(self, action: str, resource: str) -> str | None:
        """Return why an action is refused, as AWS words it after "because"; None where it is not."""
        if action in self.denied:
            return self.denied[action]
        if self.allowed is not None and not self.allowed(action, resource):
            return NO_POLICY
        return None


NO_POLICY = "because no identity-based policy allows the {action} action"


@contextlib.contextmanager
def opened(moto: str) -> Iterator[Gate]:
    """Serve a gate before a moto on a free port while the block runs."""
    gate = Gate(moto)
    with serving(type("Handler", (_Handler,), {"gate": gate})) as port:
        gate.url = f"http://127.0.0.1:{port}"
        yield gate


class _Handler(QuietHandler):
    protocol_version = "HTTP/1.1"
    gate: Gate

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        action = _action(self.path, self.headers, body)
        self.gate.asked.append(action)
        resource = _resource(action, body)
        reason = self.gate.reason(action, resource)
        if self.gate.expired:
            expired = "The security token included in the request is expired"
            self._refuse(action, "ExpiredTokenException", expired)
        elif reason is not None:
            said = f"User: {PRINCIPAL} is not authorized to perform: {action} on resource: "
            said += f"{resource} {reason.format(action=action)}"
            self._refuse(action, "AccessDeniedException", said)
        elif action in _ANSWERED_HERE:
            answer = _ANSWERED_HERE[action] | self.gate.answers().get(action, {})
            self._send(200, json.dumps(answer).encode(), {"content-type": "application/json"})
        elif action == "xray:BatchGetTraces" and self.gate.destination == "CloudWatchLogs":
            # "If Transaction Search is on, traces are not found by this operation": its own page says so.
            asked = json.loads(body)["TraceIds"]
            self._send(200, json.dumps({"Traces": [], "UnprocessedTraceIds": asked}).encode(), {})
        elif action == "xray:StartTraceRetrieval":
            token = json.loads(body)["TraceIds"][0]
            self._send(200, json.dumps({"RetrievalToken": token}).encode(), {})
        elif action == "xray:ListRetrievedTraces":
            self._send(200, json.dumps(self._retrieved(json.loads(body))).encode(), {})
        elif action in _INSIGHTS:
            self._ask_insights(action, json.loads(body))
        else:
            if action == "xray:PutTraceSegments" and self.gate.destination == "CloudWatchLogs":
                _keep_spans(self.gate.moto, json.loads(body)["TraceSegmentDocuments"])
            self._pass_on(body)

    def _ask_insights(self, action: str, asked: Mapping[str, Any]) -> None:
        try:
            answer = getattr(self.gate.insights, _INSIGHTS[action])(**asked)
        except insights.Refused as error:
            self._refuse(action, *error.args)
        else:
            self._send(200, json.dumps(answer).encode(), {"content-type": "application/x-amz-json-1.1"})

    def _retrieved(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """Answer as X-Ray does: at first it is under way, and then the trace comes in two pages."""
        if self.gate.asked.count("xray:ListRetrievedTraces") == 1:
            return {"RetrievalStatus": "RUNNING", "Traces": []}
        trace_id = asked["RetrievalToken"]
        found = aws.client("xray", self.gate.moto).batch_get_traces(TraceIds=[trace_id])["Traces"]
        spans = [
            {"Id": each["Id"], "Document": each["Document"]} for trace in found for each in trace["Segments"]
        ]
        page = spans[1:] if asked.get("NextToken") else spans[:1]
        more = {} if asked.get("NextToken") or len(spans) < 2 else {"NextToken": "2"}
        return {"RetrievalStatus": "COMPLETE", "Traces": [{"Id": trace_id, "Spans": page}], **more}

    def do_GET(self) -> None:
        self._send(404, b"{}", {"content-type": "application/json"})

    def _refuse(self, action: str, code: str, message: str) -> None:
        self.gate.refused.append(action)
        if action.startswith("sts:"):
            code = code.removesuffix("Exception")
            error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            text = f"<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>"
            self._send(403, text.encode(), {"content-type": "text/xml"})
        else:
            said = {"__type": code, "message": message, "Message": message}
            kind = {"content-type": "application/x-amz-json-1.1", "x-amzn-errortype": code}
            self._send(400 if action.startswith("logs:") else 403, json.dumps(said).encode(), kind)

    def _pass_on(self, body: bytes) -> None:
        connection = http.client.HTTPConnection(urlsplit(self.gate.moto).netloc, timeout=10)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            skipped = {"content-length", "transfer-encoding", "connection", "date", "server"}
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in skipped}
            self._send(answer.status, answer.read(), kept)
        finally:
            connection.close()

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # who asked may have been killed
            self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return email.utils.formatdate((timestamp or time.time()) + self.gate.ahead, usegmt=True)


def _keep_spans(moto: str, documents: list[str]) -> None:
    """Write spans where X-Ray writes them when Transaction Search is on: the log group ``aws/spans``."""
    logs = aws.client("logs", moto)
    place = {"logGroupName": "aws/spans", "logStreamName": "default"}
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName="aws/spans")
        logs.create_log_stream(**place)
    now = int(time.time() * 1000)
    found = [span for document in documents for span in _spans(json.loads(document), None)]
    if found:
        logs.put_log_events(
            **place, logEvents=[{"timestamp": now, "message": json.dumps(each)} for each in found]
        )


def _spans(document: Mapping[str, Any], above: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Yield a segment and what is below it in the form of the semantic conventions.

    As documents that AWS shows have it; X-Ray's own conversion of segments is written down nowhere.
    """
    if "trace_id" not in document and above is None:
        return
    process = above or {
        "traceId": document["trace_id"].removeprefix("1-").replace("-", ""),
        "resource": {"attributes": {"service.name": document["name"]}},
    }
    annotations = document.get("annotations", {})
    started, ended = (round(document.get(f"{edge}_time", 0) * 1e9) for edge in ("start", "end"))
    exceptions = document.get("cause", {}).get("exceptions", [])
    yield {
        **process,
        "spanId": document["id"],
        **({"parentSpanId": document["parent_id"]} if "parent_id" in document else {}),
        "name": annotations.get("operation", document["name"]),
        "kind": "INTERNAL",
        "startTimeUnixNano": started,
        "endTimeUnixNano": ended,
        "durationNano": ended - started,
        "attributes": {**document.get("metadata", {}).get("default", {}), **annotations},
        "status": {"code": "ERROR" if document.get("fault") or document.get("error") else "UNSET"},
        "events": [
            {
                "name": "exception",
                "timeUnixNano": ended,
                "attributes": {"exception.type": each["type"], "exception.message": each["message"]},
            }
            for each in exceptions
        ],
    }
    for child in document.get("subsegments", ()):
        yield from _spans({"parent_id": document["id"], **child}, process)


def _action(path: str, headers: Message, body: bytes) -> str:
    target = headers.get("x-amz-target", "")
    if target.startswith("Logs_"):
        return f"logs:{target.rpartition('.')[2]}"
    if path in _XRAY:
        return f"xray:{_XRAY[path]}"
    names = parse_qs(body.decode(errors="replace")).get("Action", ["?"])
    return f"sts:{names[0]}"


def _resource(action: str, body: bytes) -> str:
    """Return the resource as AWS names it in its refusal."""
    if not action.startswith("logs:"):
        return "*"
    group = re.search(rb'"logGroupName": ?"([^"]*)"', body)
    stream = re.search(rb'"logStreamName": ?"([^"]*)"', body)
    arn = f"arn:aws:logs:eu-west-1:123456789012:log-group:{group[1].decode() if group else ''}:log-stream:"
    return arn + (stream[1].decode() if stream else "")
