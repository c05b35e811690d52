"""Puts ``examples/pipeline`` where its flow expects to find it: data, scripts, jobs, task definitions."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from demo.aws import ACCOUNT, REGION
from demo.paths import PIPELINE
from demo.processes import environment

if TYPE_CHECKING:
    from pathlib import Path

    from demo.aws import Aws
    from demo.containers import Containers

DAY: Final = "2026-03-01"
FLOW: Final = "daily-sales"
DEPLOYMENT: Final = "production"
WORK_POOL: Final = "ecs-fargate"
FLOW_FOLDER: Final = PIPELINE / "flow"
ENTRYPOINT: Final = "flow.py:daily_sales"
FLOW_FAMILY: Final = "daily-sales-flow"
FLOW_CONTAINER: Final = "prefect"
BUCKET: Final = "acme-sales"
IMAGES: Final = {
    f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/daily-sales-{name}": PIPELINE / name
    for name in ("flow", "ingest", "dbt")
}
"""Image name without its tag → the folder that is copied into it."""


def install(server: Aws, containers: Containers, folder: Path) -> None:
    """Upload the day's exports and the Glue script; register the task definitions and the job.

    Args:
        server: where S3 is.
        containers: where ECS and Glue are.
        folder: takes the generated exports.
    """
    subprocess.run(
        [sys.executable, PIPELINE / "generate.py", DAY, folder],
        env=environment(),
        check=True,
        capture_output=True,
    )
    s3 = server.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    for export in sorted(folder.glob("*/*")):
        s3.upload_file(str(export), BUCKET, f"landing/{export.relative_to(folder)}")
    s3.upload_file(str(PIPELINE / "transform" / "transform.py"), BUCKET, "scripts/transform.py")
    ecs, glue = containers.client("ecs"), containers.client("glue")
    for definition in sorted((PIPELINE / "ecs").glob("*.json")):
        ecs.register_task_definition(**json.loads(definition.read_text()))
    for job in sorted((PIPELINE / "glue").glob("*.json")):
        glue.create_job(**json.loads(job.read_text()))
