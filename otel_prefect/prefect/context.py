"""Which flow run and task run the code at hand belongs to, as Prefect's own contexts say.

Prefect is never imported from here: a process that has not imported it has no runs. What is read are
``prefect.context.FlowRunContext`` and ``TaskRunContext``, which are public.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from uuid import UUID


class CurrentRun(NamedTuple):
    """A run that is executing.

    Attributes:
        flow_run_id: None where a task runs outside of any flow.
        task_run_id: None where a flow's own code runs.
    """

    flow_run_id: UUID | None
    task_run_id: UUID | None


_NONE = CurrentRun(None, None)


def current_run() -> CurrentRun:
    """Return the innermost run of the calling thread or asyncio task; both ids None where there is none."""
    module = sys.modules.get("prefect.context")
    if module is None:
        return _NONE
    flow_run = _get(module, "FlowRunContext", "flow_run")
    task_run = _get(module, "TaskRunContext", "task_run")
    flow_run_id = getattr(flow_run, "id", None)
    if task_run is None:
        return _NONE if flow_run_id is None else CurrentRun(flow_run_id, None)
    if flow_run_id is None or task_run.flow_run_id == flow_run_id:
        return CurrentRun(task_run.flow_run_id, task_run.id)
    # A flow that was called from a task: the task is the caller, not part of the inner run.
    return CurrentRun(flow_run_id, None)


def _get(module: Any, context_class: str, attribute: str) -> Any:
    # Both may be missing while `prefect` is still being imported.
    context = getattr(module, context_class, None)
    current = None if context is None else context.get()
    return getattr(current, attribute, None)
