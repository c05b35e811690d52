"""Glue's CreateJob, StartJobRun, GetJobRun and BatchStopJobRun for Python shell jobs, run locally.

What AWS says about each call is at https://docs.aws.amazon.com/glue/latest/dg/aws-glue-api.html;
how arguments reach a job: https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-python-calling.html.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from botocore.exceptions import ClientError

from demo.containers.wire import AwsError
from demo.processes import StartError, environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from demo.containers.wire import Operation
    from demo.processes import Process, Processes

_POLL_SECONDS = 0.05
_DEFAULT_TIMEOUT_MINUTES = 2880


@dataclass
class _Run:
    job: dict[str, Any]
    arguments: dict[str, str]
    id: str = field(default_factory=lambda: f"jr_{uuid4().hex}{uuid4().hex}")
    state: str = "STARTING"
    error: str | None = None
    started: float = field(default_factory=time.time)
    completed: float | None = None
    stop_asked: bool = False
    process: Process | None = None

    @property
    def ended(self) -> bool:
        return self.completed is not None


class Glue:
    """One account's Glue.

    Args:
        processes: the owner of the jobs' processes.
        folder: takes a folder for each job run's files.
        platform: variables that every job gets because of where it runs (endpoints, credentials).
        s3: the boto3 S3 client by which scripts are fetched.
        python: the command that runs a script; Glue's image decides that on AWS.
    """

    def __init__(
        self,
        processes: Processes,
        folder: Path,
        platform: Mapping[str, str],
        s3: Any,
        python: Sequence[str],
    ) -> None:
        self._processes = processes
        self._folder = folder
        self._platform = platform
        self._s3 = s3
        self._python = tuple(python)
        self._jobs: dict[str, dict[str, Any]] = {}
        self._runs: dict[str, _Run] = {}
        self._lock = threading.RLock()

    def operations(self) -> dict[str, Operation]:
        """Return what the server routes to, by ``X-Amz-Target``."""
        return {
            "AWSGlue.CreateJob": self.create_job,
            "AWSGlue.StartJobRun": self.start_job_run,
            "AWSGlue.GetJobRun": self.get_job_run,
            "AWSGlue.BatchStopJobRun": self.batch_stop_job_run,
        }

    def create_job(self, request: dict[str, Any]) -> dict[str, Any]:
        """Keep a job.

        Raises:
            AwsError: there is one of that name, or its script is not on S3.
        """
        name = request["Name"]
        if urlsplit(request["Command"].get("ScriptLocation", "")).scheme != "s3":
            raise AwsError("InvalidInputException", "Command.ScriptLocation must be an s3:// address")
        with self._lock:
            if name in self._jobs:
                raise AwsError("AlreadyExistsException", f"Job {name} already exists")
            self._jobs[name] = request
        return {"Name": name}

    def start_job_run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Start a run of a job; the run's arguments win over the job's defaults.

        Raises:
            AwsError: as Glue answers what is wrong with the request.
        """
        with self._lock:
            job = self._jobs.get(request["JobName"])
            if job is None:
                raise AwsError(
                    "EntityNotFoundException",
                    f"Failed to start job run due to missing metadata: {request['JobName']}",
                )
            limit = job.get("ExecutionProperty", {}).get("MaxConcurrentRuns", 1)
            if sum(run.job is job and not run.ended for run in self._runs.values()) >= limit:
                raise AwsError(
                    "ConcurrentRunsExceededException", f"Concurrent runs exceeded for {job['Name']}"
                )
            run = _Run(job, {**job.get("DefaultArguments", {}), **request.get("Arguments", {})})
            self._runs[run.id] = run
        minutes = request.get("Timeout", job.get("Timeout", _DEFAULT_TIMEOUT_MINUTES))
        threading.Thread(target=self._supervise, args=(run, minutes * 60), name=run.id, daemon=True).start()
        return {"JobRunId": run.id}

    def get_job_run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return a job run as it is now.

        Raises:
            AwsError: there is no such run.
        """
        with self._lock:
            run = self._runs.get(request["RunId"])
            if run is None or run.job["Name"] != request["JobName"]:
                raise AwsError("EntityNotFoundException", f"Job run not found: {request['RunId']}")
            described = {
                "Id": run.id,
                "Attempt": 0,
                "JobName": run.job["Name"],
                "StartedOn": run.started,
                "LastModifiedOn": run.completed or run.started,
                "CompletedOn": run.completed,
                "JobRunState": run.state,
                "Arguments": run.arguments,
                "ErrorMessage": run.error,
                "ExecutionTime": int((run.completed or time.time()) - run.started),
                "LogGroupName": "/aws-glue/python-jobs",
            }
        return {"JobRun": {key: value for key, value in described.items() if value is not None}}

    def batch_stop_job_run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask job runs to stop."""
        stopped, errors = [], []
        with self._lock:
            for run_id in request["JobRunIds"]:
                names = {"JobName": request["JobName"], "JobRunId": run_id}
                run = self._runs.get(run_id)
                if run is None or run.ended:
                    code = "EntityNotFoundException" if run is None else "IllegalSessionStateException"
                    errors.append(
                        {**names, "ErrorDetail": {"ErrorCode": code, "ErrorMessage": "not running"}}
                    )
                    continue
                run.state = "STOPPING"
                run.stop_asked = True
                stopped.append(names)
        return {"SuccessfulSubmissions": stopped, "Errors": errors}

    def services(self) -> list[str]:
        """Return the service name of each job run that was asked for, once for each."""
        with self._lock:
            return [str(run.job["Name"]) for run in self._runs.values()]

    def logs(self) -> list[tuple[str, Path]]:
        """Return service name and output of each job run that was started."""
        with self._lock:
            return [
                (str(run.job["Name"]), run.process.log)
                for run in self._runs.values()
                if run.process is not None
            ]

    def _supervise(self, run: _Run, timeout: float) -> None:
        """Take one job run from start to end."""
        try:
            process = run.process = self._start(run)
        except (ClientError, StartError, OSError) as error:
            self._complete(run, "FAILED", f"LAUNCH ERROR | {error}")
            return
        with self._lock:
            run.state = run.state if run.stop_asked else "RUNNING"
        deadline = time.monotonic() + timeout
        while process.exit_code() is None and not run.stop_asked and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        ended_by_itself = process.exit_code() is not None
        code = process.stop()
        if ended_by_itself and code == 0:
            self._complete(run, "SUCCEEDED", None)
        elif ended_by_itself:
            lines = process.log.read_text(errors="replace").rstrip().splitlines() or ["no output"]
            self._complete(run, "FAILED", f"Command failed with exit code {code}: {lines[-1]}")
        elif run.stop_asked:
            self._complete(run, "STOPPED", None)
        else:
            self._complete(run, "TIMEOUT", f"Job run exceeded its timeout of {timeout:.0f} s")

    def _start(self, run: _Run) -> Process:
        location = urlsplit(run.job["Command"]["ScriptLocation"])
        files = self._folder / run.id
        files.mkdir(parents=True)
        script = files / location.path.rpartition("/")[2]
        self._s3.download_file(location.netloc, location.path.lstrip("/"), str(script))
        # On argv as Glue does it: names keep their dashes, JOB_NAME and JOB_RUN_ID come from Glue.
        arguments = {"--JOB_NAME": run.job["Name"], "--JOB_RUN_ID": run.id, **run.arguments}
        # A Glue job has no environment of its own to set, so its image names the service after the job.
        return self._processes.start(
            f"{run.job['Name']}-{run.id[:11]}",
            [*self._python, str(script), *(word for pair in arguments.items() for word in pair)],
            env=environment({**self._platform, "OTEL_SERVICE_NAME": run.job["Name"]}),
            cwd=files,
        )

    def _complete(self, run: _Run, state: str, error: str | None) -> None:
        with self._lock:
            run.state = state
            run.error = error
            run.completed = time.time()
