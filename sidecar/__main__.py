"""``python -m sidecar [health | send-left]``: run it, ask a running one, or send what lost ones have left."""

from __future__ import annotations

import sys

from sidecar import settings

_USAGE = "usage: python -m sidecar [health | send-left]\n"


def main(arguments: list[str]) -> int:
    """Run what the arguments ask for; return the exit code."""
    if arguments not in ([], ["health"], ["send-left"]):
        sys.stderr.write(_USAGE)
        return 2
    try:
        configured = settings.read()
    except settings.SettingError as error:
        sys.stderr.write(f"sidecar: {error}\n")
        return 2
    if arguments == ["health"]:
        from sidecar import health  # noqa: PLC0415 - a health check loads nothing else

        return health.check(configured.health)
    if arguments == ["send-left"]:
        from sidecar import left_behind  # noqa: PLC0415 - see above

        return left_behind.main(configured)
    from sidecar import lifecycle  # noqa: PLC0415 - see above

    return lifecycle.main(configured)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
