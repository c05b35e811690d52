"""Times, durations and processes as people read them."""

from __future__ import annotations

from datetime import datetime, timezone


def moment(seconds: float) -> str:
    """Return a time in UTC and, where that is another, in the user's zone.

    Args:
        seconds: since 1970.
    """
    utc = datetime.fromtimestamp(seconds, timezone.utc)
    local, text = utc.astimezone(), moment_utc(seconds)
    return text if local.utcoffset() == utc.utcoffset() else f"{text}  ({local:%Y-%m-%d %H:%M:%S %Z})"


def moment_utc(seconds: float) -> str:
    """Return a time in UTC, for who reads it in another zone than this."""
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def clock(seconds: float, *, day: bool = False) -> str:
    """Return a time of the day in UTC, to the millisecond.

    Args:
        seconds: since 1970.
        day: whether the day stands before it.
    """
    utc = datetime.fromtimestamp(seconds, timezone.utc)
    date = f"{utc:%Y-%m-%d} " if day else ""
    return f"{date}{utc:%H:%M:%S}.{utc.microsecond // 1000:03}"


def duration(seconds: float) -> str:
    """Return a duration with three digits at most, in the units that suit it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def size(count: int) -> str:
    """Return a number of bytes with three digits at most."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1024
    return f"{amount:.3g} GiB"


def dollars(amount: float) -> str:
    """Return an amount of money, to a hundredth of a cent where it is less than a cent."""
    if 0 < amount < 0.0001:
        return "< $0.0001"
    return f"${amount:.4f}" if amount < 0.01 else f"${amount:.2f}"


def process_label(service: str, source: object) -> str:
    """Return what a process is called: its service, with the source that it loads where it has one."""
    return f"{service} [{source}]" if source else service
