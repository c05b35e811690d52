"""All checks, in the order in which one stands on another."""

from __future__ import annotations

from typing import Final

from otel_prefect.doctor import (
    account,
    collector,
    delivery,
    log_groups,
    opensearch,
    permissions,
    prefect,
    sidecar,
)
from otel_prefect.doctor.findings import Check

ALL: Final = (
    Check("destinations", collector.destinations),
    Check("sidecar", sidecar.check),
    Check("collector", collector.check),
    Check("prefect", prefect.api),
    Check("plugin", prefect.plugin),
    Check("versions", prefect.versions),
    Check("credentials", account.credentials),
    Check("endpoints", account.endpoints),
    Check("permissions", permissions.check),
    Check("clock", account.clock),
    Check("opensearch", opensearch.check),
    Check("delivery", delivery.check),
    # After what may have made them.
    Check("log-groups", log_groups.check),
)
