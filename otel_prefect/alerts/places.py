"""Where a team has its consoles, and the links of an alert into them.

A link is a template of Prometheus: it is filled in with the labels of the alert that it stands in
(https://prometheus.io/docs/prometheus/latest/configuration/template_reference/).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_prefect import links, semconv

if TYPE_CHECKING:
    from collections.abc import Iterable

_DAY: Final = 86_400
# Of characters that no notation changes.
_MARK: Final = "LABELOF{}END"
_MARKED: Final = re.compile("LABELOF(.*?)END")
# A label in the console's notation: as in a URL, with other signs.
_NOTATION: Final = (
    "{{{{ $labels.{} | urlquery "
    '| reReplaceAll "[+]" "*20" | reReplaceAll "%" "*" | reReplaceAll "~" "*7e" }}}}'
)
_PLAIN: Final = "{{{{ $labels.{} }}}}"
_QUERY: Final = "{{{{ $labels.{} | urlquery }}}}"


@dataclass(frozen=True)
class Places:
    """A team's consoles.

    Attributes:
        region: of AWS.
        log_group: of the runs' logs.
        grafana: address of Grafana.
        prefect_ui: address of Prefect's UI: of a server, or of Prefect Cloud with account and workspace.
        runbooks: address of the folder with the runbooks.
    """

    region: str = "us-east-1"
    log_group: str = semconv.ENV_LOG_GROUP.default
    grafana: str = "http://localhost:3000"
    prefect_ui: str = "http://localhost:4200"
    runbooks: str = "docs/runbooks"

    def trace_of_run(self) -> str:
        """Return a link to the trace of the run that an alert names."""
        link = links.xray_trace(self.region, _MARK.format(semconv.XRAY_TRACE_ID))
        return _filled(link, _PLAIN)

    def traces_of(self, labels: Iterable[str]) -> str:
        """Return a link to the traces of a day that have an alert's labels as annotations."""
        expression = " AND ".join(f'annotation.{label} = "{_MARK.format(label)}"' for label in labels)
        return _filled(links.xray_search(self.region, expression, _DAY), _NOTATION)

    def logs_of(self, labels: Iterable[str]) -> str:
        """Return a link to the log records of a day that have an alert's labels."""
        where = " and ".join(f'{label} = "{_MARK.format(label)}"' for label in labels)
        query = f"fields @timestamp, level, message, flow_run_id | filter {where} | sort @timestamp desc"
        link = links.logs_insights(self.region, [self.log_group], query, start=-_DAY, end=0)
        return _filled(link, _NOTATION)

    def run(self) -> str:
        """Return a link to the page that Prefect has of the run that an alert names."""
        link = links.prefect_flow_run(self.prefect_ui, _MARK.format("flow_run_id"))
        return _filled(link, _PLAIN)

    def dashboard(self, uid: str, variables: Iterable[str]) -> str:
        """Return a link to a dashboard, for an alert's labels."""
        chosen = {name: _MARK.format(_LABEL_OF[name]) for name in variables}
        return _filled(links.grafana(self.grafana, uid, chosen), _QUERY)

    def runbook(self, alert: str) -> str:
        """Return a link to an alert's runbook."""
        return f"{self.runbooks.rstrip('/')}/{alert}.md"


_LABEL_OF: Final = {
    "flow": semconv.ANNOTATION_FLOW_NAME,
    "source": semconv.SOURCE,
    "stage": semconv.STAGE,
    "table": semconv.TABLE,
}


def _filled(link: str, template: str) -> str:
    """Return a link with the marks of labels as templates."""
    return _MARKED.sub(lambda mark: template.format(mark[1]), link)
