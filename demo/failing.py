"""A broken ingestion: the run fails, somebody is paged, the source is mended, the next run ends that."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from demo import pipeline
from demo.processes import StartError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from demo.receivers import Incident, StandIns
    from demo.seen import Seen
    from demo.stage import Say, Stage

_SOURCE: Final = "crm"
_EXPORT: Final = f"landing/{_SOURCE}/{pipeline.DAY}.jsonl.gz"
_TOLD_SECONDS: Final = 90.0
_POLL_SECONDS: Final = 0.2


@dataclass(frozen=True)
class Story:
    """What happened.

    Attributes:
        failed: the run that failed, as Prefect's API describes it.
        good: the one that completed after it.
        incident: as PagerDuty's stand-in had it while it was open.
        paged_after: seconds from the end of the failed run until PagerDuty was told.
        over_after: seconds from the end of the good run until it was told that this is over.
    """

    failed: dict[str, Any]
    good: dict[str, Any]
    incident: Incident
    paged_after: float
    over_after: float


@dataclass(frozen=True)
class Failure:
    """What is shown of a broken ingestion.

    Attributes:
        story: what happened.
        seen: the run that failed, as `otel-prefect trace` shows it.
        dashboard: the page that was written.
    """

    story: Story
    seen: Seen
    dashboard: Path


def tell(stage: Stage, run_flow: Callable[[], dict[str, Any]], say: Say) -> Story:
    """Break the ingestion of a source, run the flow, mend it, and run the flow again.

    Args:
        stage: on which all is up.
        run_flow: runs the flow to its end, whatever that is, and returns the run.
        say: takes a line for the user at each step.

    Raises:
        StartError: a run did not end as it should, or PagerDuty's stand-in was not told.
    """
    s3, told = stage.aws.client("s3"), stage.monitoring.told
    export = s3.get_object(Bucket=pipeline.BUCKET, Key=_EXPORT)["Body"].read()
    s3.put_object(Bucket=pipeline.BUCKET, Key=_EXPORT, Body=export[: len(export) // 2])
    say(f"the export {_EXPORT} is cut in half; running the flow {pipeline.FLOW}")
    failed = _run(run_flow, "FAILED")
    began = time.monotonic()
    say(f"the flow run {failed['name']} has failed; waiting until PagerDuty is told")
    _wait(lambda: bool(_open(told)), "PagerDuty was not told of the failed run")
    paged_after = time.monotonic() - began
    (incident,) = _open(told)
    say(f"paged after {paged_after:.1f} s: {incident.payload['summary']}")
    s3.put_object(Bucket=pipeline.BUCKET, Key=_EXPORT, Body=export)
    say("the export is whole again; running the flow once more")
    good = _run(run_flow, "COMPLETED")
    began = time.monotonic()
    _wait(lambda: not _open(told), "PagerDuty was not told that it is over")
    over_after = time.monotonic() - began
    say(f"the flow run {good['name']} has completed; the incident is resolved after {over_after:.1f} s")
    return Story(failed, good, incident, paged_after, over_after)


def _open(told: StandIns) -> list[Incident]:
    return [each for each in told.pagerduty.incidents.values() if each.open]


def _run(run_flow: Callable[[], dict[str, Any]], expected: str) -> dict[str, Any]:
    run = run_flow()
    if run["state_type"] != expected:
        raise StartError(f"the flow run {run['name']} ended as {run['state_type']}; {expected} is expected")
    return run


def _wait(until: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + _TOLD_SECONDS
    while not until():
        if time.monotonic() > deadline:
            raise StartError(f"{otherwise} in {_TOLD_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)
