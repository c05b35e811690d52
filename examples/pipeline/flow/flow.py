"""Daily sales: load the day's exports, clean them, build the marts and check them."""

import csv
import io
import logging
import os
import time

import boto3
from prefect import flow, get_run_logger, task

BUCKET = os.environ.get("SALES_BUCKET", "acme-sales")
CLUSTER = os.environ.get("SALES_CLUSTER", "data-platform")
NETWORK = {
    "awsvpcConfiguration": {
        "subnets": os.environ.get("SALES_SUBNETS", "subnet-1").split(","),
        "securityGroups": os.environ.get("SALES_SECURITY_GROUPS", "sg-1").split(","),
    }
}
SOURCES = {"shop": "jsonl.gz", "payments": "csv.gz", "crm": "jsonl.gz"}

audit = logging.getLogger("sales.audit")
audit.setLevel(logging.INFO)


class LoadError(Exception):
    """Raised when a step of the pipeline did not end well."""


@task(retries=2, retry_delay_seconds=2)
def extract(day):
    """Find the day's export of each source."""
    s3 = boto3.client("s3")
    found = {}
    for source, ending in SOURCES.items():
        key = f"landing/{source}/{day}.{ending}"
        size = s3.head_object(Bucket=BUCKET, Key=key)["ContentLength"]
        print(f"{source}: export {key} has {size:,} bytes")
        found[source] = key
    return found


@task(retries=2, retry_delay_seconds=5)
def ingest(source, key, day):
    """Load one source's export in a container of its own."""
    run_container("daily-sales-ingest", "ingest", {"SOURCE": source, "EXPORT_KEY": key, "DAY": day})
    audit.info("source %s of %s is loaded", source, day)


@task(retries=1, retry_delay_seconds=5)
def transform(day):
    """Clean and join what was loaded, in a Glue job."""
    logger = get_run_logger()
    glue = boto3.client("glue")
    run_id = glue.start_job_run(
        JobName="daily-sales-transform", Arguments={"--DAY": day, "--BUCKET": BUCKET}
    )["JobRunId"]
    logger.info("Glue job run %s started", run_id)
    while True:
        run = glue.get_job_run(JobName="daily-sales-transform", RunId=run_id)["JobRun"]
        if run["JobRunState"] == "SUCCEEDED":
            logger.info("Glue job run %s took %d s", run_id, run["ExecutionTime"])
            return
        if run["JobRunState"] in {"FAILED", "ERROR", "TIMEOUT", "STOPPED"}:
            raise LoadError(f"Glue job run {run_id}: {run['JobRunState']}: {run.get('ErrorMessage')}")
        time.sleep(1)


@task
def build_marts(day):
    """Build and test the dbt models."""
    run_container("daily-sales-dbt", "dbt", {"DAY": day})


@task
def check(day):
    """Look at the result as the finance team will."""
    logger = get_run_logger()
    body = boto3.client("s3").get_object(Bucket=BUCKET, Key=f"marts/daily_sales/{day}.csv")["Body"].read()
    rows = list(csv.DictReader(io.StringIO(body.decode())))
    revenue = sum(float(row["revenue"]) for row in rows)
    unpaid = sum(int(row["unpaid_orders"]) for row in rows)
    if not rows or revenue <= 0:
        raise LoadError(f"no sales on {day}: {len(rows)} rows, revenue {revenue:.2f}")
    logger.info("sales of %s: %d rows, revenue %.2f EUR", day, len(rows), revenue)
    if unpaid:
        logger.warning("%d orders of %s are not paid yet", unpaid, day)
    return {"rows": len(rows), "revenue": round(revenue, 2), "unpaid_orders": unpaid}


@flow(name="daily-sales", log_prints=True)
def daily_sales(day: str = "2026-03-01"):
    exports = extract(day)
    loads = [ingest.submit(source, key, day) for source, key in exports.items()]
    for load in loads:
        load.result()
    transform(day)
    build_marts(day)
    return check(day)


def run_container(family, container, variables):
    """Run one ECS task to its end; raise unless its container exits with 0."""
    logger = get_run_logger()
    ecs = boto3.client("ecs")
    answer = ecs.run_task(
        cluster=CLUSTER,
        taskDefinition=family,
        launchType="FARGATE",
        networkConfiguration=NETWORK,
        overrides={
            "containerOverrides": [
                {
                    "name": container,
                    "environment": [{"name": name, "value": value} for name, value in variables.items()],
                }
            ]
        },
    )
    if answer["failures"]:
        raise LoadError(f"{family} was not started: {answer['failures']}")
    arn = answer["tasks"][0]["taskArn"]
    logger.info("%s started as %s", family, arn)
    ecs.get_waiter("tasks_stopped").wait(
        cluster=CLUSTER, tasks=[arn], WaiterConfig={"Delay": 1, "MaxAttempts": 1800}
    )
    stopped = ecs.describe_tasks(cluster=CLUSTER, tasks=[arn])["tasks"][0]
    for each in stopped["containers"]:
        if each.get("exitCode") != 0:
            raise LoadError(
                f"{arn}: {each['name']}: exit code {each.get('exitCode')}: {stopped['stoppedReason']}"
            )


if __name__ == "__main__":
    daily_sales()
