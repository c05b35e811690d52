"""Makes one day's exports of the three source systems, always the same for the same day.

Real exports are never clean, so neither are these: orders that were sent twice, orders
without a customer, amounts that are not numbers, payments that belong to no order or
arrive a day late.

    python generate.py 2026-03-01 exports
"""

import csv
import gzip
import io
import json
import random
import sys
from datetime import datetime, timedelta
from pathlib import Path

CUSTOMERS = 1_500
ORDERS = 5_400
COUNTRIES = ["DE", "FR", "NL", "ES", "IT", "PL", "SE"]
PRODUCTS = {"lamp": 39.9, "chair": 119.0, "desk": 349.0, "shelf": 79.5, "rug": 149.0, "plant": 24.9}
PAYMENT_METHODS = ["card", "invoice", "wallet"]


def customers(rng):
    for number in range(1, CUSTOMERS + 1):
        country = rng.choice(COUNTRIES)
        if rng.random() < 0.01:
            country = country.lower()
        yield {
            "customer_id": f"C{number:05d}",
            "country": country,
            "segment": rng.choice(["consumer", "consumer", "business"]),
            "signed_up": f"20{rng.randint(18, 25)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}",
        }


def orders(rng, day):
    for number in range(1, ORDERS + 1):
        placed = day + timedelta(seconds=rng.randrange(86_400))
        product = rng.choice(list(PRODUCTS))
        quantity = rng.choice([1, 1, 1, 2, 3])
        order = {
            "order_id": f"O{day:%y%m%d}{number:05d}",
            "customer_id": f"C{rng.randint(1, CUSTOMERS):05d}",
            "product": product,
            "quantity": quantity,
            "amount": round(PRODUCTS[product] * quantity, 2),
            "placed_at": placed.isoformat(),
            "updated_at": placed.isoformat(),
        }
        if rng.random() < 0.004:
            order["customer_id"] = None
        if rng.random() < 0.001:
            order["amount"] = "n/a"
        yield order
        if rng.random() < 0.008:
            yield {**order, "updated_at": (placed + timedelta(minutes=5)).isoformat()}


def payments(rng, day, placed_orders):
    for number, order in enumerate(placed_orders, 1):
        if rng.random() < 0.03:
            continue
        paid = datetime.fromisoformat(order["placed_at"]) + timedelta(seconds=rng.randrange(600))
        if rng.random() < 0.005:
            paid += timedelta(days=1)
        yield {
            "payment_id": f"P{day:%y%m%d}{number:05d}",
            "order_id": order["order_id"] if rng.random() > 0.002 else f"O{day:%y%m%d}99999",
            "method": rng.choice(PAYMENT_METHODS),
            "amount": order["amount"] if order["amount"] != "n/a" else 0,
            "paid_at": paid.isoformat(),
        }


def exports(day):
    """Return file name → content: shop and CRM export JSON lines, the payment provider CSV."""
    rng = random.Random(f"daily-sales {day:%Y-%m-%d}")  # noqa: S311 - made-up data, no secret
    placed = list(orders(rng, day))
    unique = list({order["order_id"]: order for order in placed}.values())
    return {
        f"crm/{day:%Y-%m-%d}.jsonl.gz": json_lines(customers(rng)),
        f"shop/{day:%Y-%m-%d}.jsonl.gz": json_lines(placed),
        f"payments/{day:%Y-%m-%d}.csv.gz": comma_separated(payments(rng, day, unique)),
    }


def json_lines(rows):
    return gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode(), mtime=0)


def comma_separated(rows):
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return gzip.compress(text.getvalue().encode(), mtime=0)


if __name__ == "__main__":
    for name, content in exports(datetime.fromisoformat(sys.argv[1])).items():
        path = Path(sys.argv[2]) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        print(f"{path}: {len(content):,} bytes")
