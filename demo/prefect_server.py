"""A real Prefect server on SQLite, with a deployment in an ECS work pool."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request

from demo.processes import LOOPBACK, answers, direct, environment, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from demo.processes import Process, Processes

# What a server does on its own in the background and a single run has no use for.
_QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
}

# The least that the server takes as the template of an ECS work pool.
_JOB_TEMPLATE = {
    "job_configuration": {"command": "{{ command }}"},
    "variables": {"type": "object", "properties": {"command": {"type": "string"}}},
}


_UNAVAILABLE = 503
_PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)


class PrefectApiError(Exception):
    """Raised when the server answers a request with an error; the text holds its answer.

    Args:
        message: the text.
        status: the HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class PrefectServer:
    """A running server.

    Attributes:
        url: what goes into ``PREFECT_API_URL``.
        home: ``PREFECT_HOME`` for the processes that use it.
        process: the server.
    """

    url: str
    home: Path
    process: Process

    def variables(self) -> dict[str, str]:
        """Return the environment variables by which a process of Prefect finds this server."""
        return {"PREFECT_API_URL": self.url, "PREFECT_HOME": str(self.home)}

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request to the REST API and return the parsed answer, None where it is empty.

        While SQLite is locked the server answers 503 and has done nothing: as Prefect's own client does,
        the request is sent again, for some seconds.

        Raises:
            PrefectApiError: it was answered with an error.
        """
        for pause in _PAUSES:
            try:
                return self._call(method, path, body)
            except PrefectApiError as error:  # noqa: PERF203 - waiting is what this loop is for
                if error.status != _UNAVAILABLE:
                    raise
                time.sleep(pause)
        return self._call(method, path, body)

    def _call(self, method: str, path: str, body: Any) -> Any:
        request = Request(  # noqa: S310 - always http on loopback
            f"{self.url}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        try:
            with direct.open(request, timeout=30) as response:
                text = response.read()
        except HTTPError as error:
            answer = error.read().decode(errors="replace")
            raise PrefectApiError(
                f"{method} {path} was answered with {error.code}: {answer}", error.code
            ) from error
        return json.loads(text) if text else None

    def deploy(  # noqa: PLR0913 - the facts of a deployment, all by keyword
        self,
        *,
        flow: str,
        deployment: str,
        work_pool: str,
        entrypoint: str,
        folder: Path,
        tags: list[str] | None = None,
        version: str | None = None,
    ) -> str:
        """Make a work pool and a deployment in it, as ``prefect deploy`` would.

        Args:
            flow: the flow's name.
            deployment: the deployment's name.
            work_pool: the pool's name; made where it is missing, of type ``ecs``.
            entrypoint: ``FILE:FUNCTION``, the file relative to ``folder``.
            folder: where the flow's code lies.
            tags: tags of the deployment, which its runs inherit.
            version: the deployment's version.

        Returns:
            The deployment's id.
        """
        pools = [pool["name"] for pool in self.call("POST", "work_pools/filter", {})]
        if work_pool not in pools:
            self.call(
                "POST", "work_pools/", {"name": work_pool, "type": "ecs", "base_job_template": _JOB_TEMPLATE}
            )
        flow_id = self.call("POST", "flows/", {"name": flow})["id"]
        step = {"prefect.deployments.steps.set_working_directory": {"directory": str(folder)}}
        made = self.call(
            "POST",
            "deployments/",
            {
                "name": deployment,
                "flow_id": flow_id,
                "work_pool_name": work_pool,
                "entrypoint": entrypoint,
                "pull_steps": [step],
                "tags": tags or [],
                "version": version,
                "enforce_parameter_schema": False,
            },
        )
        return str(made["id"])

    def create_flow_run(self, deployment_id: str, parameters: dict[str, Any] | None = None) -> str:
        """Create a pending run of a deployment, as a worker that has claimed it leaves it; return its id."""
        body = {
            "parameters": parameters or {},
            "state": {"type": "PENDING", "message": "claimed by the demo"},
        }
        return str(self.call("POST", f"deployments/{deployment_id}/create_flow_run", body)["id"])

    def flow_run(self, flow_run_id: str) -> dict[str, Any]:
        """Return a flow run as the API describes it."""
        run: dict[str, Any] = self.call("GET", f"flow_runs/{flow_run_id}")
        return run

    def stop(self) -> None:
        """Stop the server; its database stays in `home`."""
        self.process.stop()


def start(processes: Processes, home: Path, settings: Mapping[str, str] | None = None) -> PrefectServer:
    """Start a server on a free port.

    Args:
        processes: the owner of the process.
        home: its ``PREFECT_HOME``, with the database; made where it is missing.
        settings: of Prefect, as environment variables, beside those that the demo needs.

    Raises:
        StartError: it did not come up.
    """
    port = free_port()
    url = f"http://{LOOPBACK}:{port}/api"
    home.mkdir(parents=True, exist_ok=True)
    process = processes.start(
        "prefect server",
        [sys.executable, "-m", "prefect", "server", "start", "--host", LOOPBACK, "--port", str(port)],
        env=environment({**_QUIET, **(settings or {}), "PREFECT_HOME": str(home), "PREFECT_API_URL": url}),
        ready=answers(f"{url}/health"),
        timeout=120,
    )
    return PrefectServer(url, home, process)
