"""Loads one source's export of a day: reads it, drops what cannot be used, writes plain CSV."""

import csv
import gzip
import io
import json
import logging
import os

import boto3

from otel_prefect import metrics

BUCKET = os.environ.get("SALES_BUCKET", "acme-sales")
REQUIRED = {
    "shop": ["order_id", "customer_id", "product", "quantity", "amount", "placed_at", "updated_at"],
    "payments": ["payment_id", "order_id", "method", "amount", "paid_at"],
    "crm": ["customer_id", "country", "segment", "signed_up"],
}

logger = logging.getLogger("ingest")


def read(body, key):
    text = gzip.decompress(body).decode()
    if ".jsonl" in key:
        return [json.loads(line) for line in text.splitlines()]
    return list(csv.DictReader(io.StringIO(text)))


def usable(row):
    """Whether a row's amount is a number; rows without an amount have nothing to be wrong."""
    try:
        float(row.get("amount", 0))
    except ValueError:
        return False
    return True


def main():
    source, key, day = os.environ["SOURCE"], os.environ["EXPORT_KEY"], os.environ["DAY"]
    s3 = boto3.client("s3")
    rows = read(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read(), key)
    logger.info("%s: %d rows in %s", source, len(rows), key)

    accepted = [row for row in rows if usable(row)]
    for row in rows:
        if not usable(row):
            logger.warning("%s: rejected %s: amount %r", source, row.get("order_id"), row["amount"])

    if rows:
        metrics.schema(f"raw.{source}", {name: type(value).__name__ for name, value in rows[0].items()})
    text = io.StringIO()
    writer = csv.DictWriter(text, REQUIRED[source], extrasaction="ignore")
    writer.writeheader()
    writer.writerows(accepted)
    s3.put_object(Bucket=BUCKET, Key=f"raw/{source}/{day}.csv", Body=text.getvalue().encode())

    metrics.loaded(f"raw.{source}", rows=len(accepted), size=len(text.getvalue()), expected_rows=len(rows))
    logger.info("%s: %d rows loaded, %d rejected", source, len(accepted), len(rows) - len(accepted))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    main()
