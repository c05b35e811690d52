"""Stand-ins for PagerDuty, Slack and a mail server: they take what the real ones do, and keep it.

PagerDuty: https://developer.pagerduty.com/docs/events-api-v2/trigger-events/. Slack:
https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/.
"""

from __future__ import annotations

import email
import email.policy
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from aiosmtpd.controller import Controller

from demo.processes import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage

    from aiosmtpd.smtp import SMTP, Envelope, Session

_ACTIONS: Final = ("trigger", "acknowledge", "resolve")
_SEVERITIES: Final = ("critical", "error", "warning", "info")
_PAYLOAD: Final = {"summary": 1024, "source": 1024, "severity": 8}
_PAGERDUTY_PATH: Final = "/v2/enqueue"
_SLACK_PATH: Final = "/services/T0/B0/secret"
# Events of PagerDuty have 512 KB at most.
_LARGEST: Final = 512 * 1024


class RefusedError(Exception):
    """Raised for a request that the real service would refuse; the text says what is wrong with it."""


@dataclass(frozen=True)
class Incident:
    """What PagerDuty makes of the events with one ``dedup_key``.

    Attributes:
        payload: of the last trigger.
        links: of the last trigger.
        triggers: how many there were.
        open: whether it is not resolved.
    """

    payload: dict[str, Any]
    links: dict[str, str]
    triggers: int
    open: bool


@dataclass
class PagerDuty:
    """PagerDuty's Events API v2.

    Attributes:
        routing_key: that it knows.
        incidents: by ``dedup_key``, in the order in which they came.
    """

    routing_key: str = "0123456789abcdef0123456789abcdef"
    incidents: dict[str, Incident] = field(default_factory=dict)

    def enqueue(self, event: Any) -> str:
        """Take an event and return its ``dedup_key``.

        Raises:
            RefusedError: it is none.
        """
        if not isinstance(event, dict) or event.get("routing_key") != self.routing_key:
            raise RefusedError("routing_key is not known")
        action, key = event.get("event_action"), event.get("dedup_key")
        if action not in _ACTIONS:
            raise RefusedError(f"event_action={action!r}: one of {', '.join(_ACTIONS)} is needed")
        if not isinstance(key, str) or not 0 < len(key) <= 255:
            raise RefusedError("dedup_key has 1 to 255 characters")
        if action == "trigger":
            self.incidents[key] = self._triggered(event, self.incidents.get(key))
        elif action == "resolve" and key in self.incidents:
            known = self.incidents[key]
            self.incidents[key] = Incident(known.payload, known.links, known.triggers, open=False)
        return key

    def _triggered(self, event: dict[str, Any], known: Incident | None) -> Incident:
        payload = event.get("payload")
        if not isinstance(payload, dict):
            raise RefusedError("payload is needed")
        for name, longest in _PAYLOAD.items():
            if not isinstance(payload.get(name), str) or not 0 < len(payload[name]) <= longest:
                raise RefusedError(f"payload.{name} has 1 to {longest} characters")
        if payload["severity"] not in _SEVERITIES:
            raise RefusedError(f"payload.severity is one of {', '.join(_SEVERITIES)}")
        links = {each["text"]: each["href"] for each in event.get("links") or []}
        # One that was resolved is opened anew.
        return Incident(payload, links, (known.triggers if known and known.open else 0) + 1, open=True)


@dataclass
class StandIns:
    """All three.

    Attributes:
        pagerduty: takes P1.
        slack: messages that the webhook took.
        mails: that the mail server took.
        port: of PagerDuty and Slack.
        smarthost: host:port of the mail server.
    """

    pagerduty: PagerDuty = field(default_factory=PagerDuty)
    slack: list[dict[str, Any]] = field(default_factory=list)
    mails: list[EmailMessage] = field(default_factory=list)
    port: int = 0
    smarthost: str = ""

    @property
    def pagerduty_url(self) -> str:
        """Where events go."""
        return f"http://{LOOPBACK}:{self.port}{_PAGERDUTY_PATH}"

    @property
    def slack_url(self) -> str:
        """The webhook."""
        return f"http://{LOOPBACK}:{self.port}{_SLACK_PATH}"

    def take(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Take a request as PagerDuty or Slack does; return the status and the body of the answer."""
        try:
            if len(body) > _LARGEST:
                raise RefusedError("too large")
            message = json.loads(body)
            if path == _PAGERDUTY_PATH:
                key = self.pagerduty.enqueue(message)
                return 202, json.dumps({"status": "success", "dedup_key": key}).encode()
            if path == _SLACK_PATH:
                if not message.get("text") and not message.get("attachments"):
                    raise RefusedError("no_text")
                self.slack.append(message)
                return 200, b"ok"
        except (ValueError, RefusedError) as error:
            return 400, json.dumps({"status": "invalid event", "errors": [str(error)]}).encode()
        return 404, b""

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take a mail, as aiosmtpd calls it."""
        content = envelope.content or b""
        raw = content.encode() if isinstance(content, str) else content
        self.mails.append(email.message_from_bytes(raw, policy=email.policy.default))
        return "250 OK"


@contextmanager
def serving() -> Iterator[StandIns]:
    """Run the stand-ins on loopback while the block runs."""
    stand_ins = StandIns()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, answer = stand_ins.take(self.path, body)
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Keep the terminal quiet."""

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    stand_ins.port = server.server_port
    threading.Thread(target=server.serve_forever, name="receivers", daemon=True).start()
    mail_port = free_port()
    mail = Controller(stand_ins, hostname=LOOPBACK, port=mail_port)
    mail.start()
    stand_ins.smarthost = f"{LOOPBACK}:{mail_port}"
    try:
        yield stand_ins
    finally:
        mail.stop()
        server.shutdown()
        server.server_close()
