"""Glue job: removes duplicate orders, tells late payments apart, writes the curated tables.

Written when X-Ray's own SDK was the way to do it, and never touched since.
"""

import argparse
import csv
import io
import logging
import sys

import boto3
from aws_xray_sdk.core import patch, xray_recorder

patch(["botocore"])
xray_recorder.configure(service="daily-sales-transform", sampling=False)
logger = logging.getLogger("transform")


def read(s3, bucket, key):
    text = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    return list(csv.DictReader(io.StringIO(text)))


def write(s3, bucket, key, rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    s3.put_object(Bucket=bucket, Key=key, Body=text.getvalue().encode())


def deduplicate(orders):
    """Keep the latest version of each order."""
    latest = {}
    for order in orders:
        known = latest.get(order["order_id"])
        if known is None or known["updated_at"] < order["updated_at"]:
            latest[order["order_id"]] = order
    return list(latest.values())


def with_order(payments, orders):
    """Keep the payments whose order is known; the others go to accounting by hand."""
    known = {order["order_id"] for order in orders}
    return [payment for payment in payments if payment["order_id"] in known]


def mark_late(payments, day):
    return [{**payment, "is_late": payment["paid_at"][:10] > day} for payment in payments]


def main(day, bucket):
    s3 = boto3.client("s3")
    with xray_recorder.in_subsegment("read raw"):
        orders = read(s3, bucket, f"raw/shop/{day}.csv")
        payments = read(s3, bucket, f"raw/payments/{day}.csv")
        customers = read(s3, bucket, f"raw/crm/{day}.csv")
    with xray_recorder.in_subsegment("deduplicate") as subsegment:
        unique = deduplicate(orders)
        subsegment.put_annotation("duplicates", len(orders) - len(unique))
        logger.info("%d orders, %d duplicates removed", len(unique), len(orders) - len(unique))
    with xray_recorder.in_subsegment("match payments") as subsegment:
        matched = with_order(payments, unique)
        if len(matched) < len(payments):
            logger.warning("%d payments belong to no order and are set aside", len(payments) - len(matched))
        marked = mark_late(matched, day)
        late = sum(payment["is_late"] for payment in marked)
        subsegment.put_annotation("late_payments", late)
        if late:
            logger.warning("%d payments arrived after %s", late, day)
    with xray_recorder.in_subsegment("write curated"):
        write(s3, bucket, f"curated/orders/{day}.csv", unique)
        write(s3, bucket, f"curated/payments/{day}.csv", marked)
        write(
            s3,
            bucket,
            f"curated/customers/{day}.csv",
            [{**c, "country": c["country"].upper()} for c in customers],
        )
    logger.info("curated tables of %s are written", day)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    parser = argparse.ArgumentParser()
    parser.add_argument("--JOB_NAME", required=True)
    parser.add_argument("--DAY", required=True)
    parser.add_argument("--BUCKET", required=True)
    # Glue puts more on the command line than a job asks for.
    arguments, _ = parser.parse_known_args()
    with xray_recorder.in_segment(arguments.JOB_NAME):
        main(arguments.DAY, arguments.BUCKET)
