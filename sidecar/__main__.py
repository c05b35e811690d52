"""``python -m sidecar`` runs the sidecar; ``python -m sidecar health`` asks a running one."""

from __future__ import annotations

import sys

from sidecar import settings

_USAGE = "usage: python -m sidecar [health]\n"


def main(arguments: list[str]) -> int:
    """Run what the arguments ask for; return the exit code."""
    if arguments not in ([], ["health"]):
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
    from sidecar import lifecycle  # noqa: PLC0415 - see above

    return lifecycle.main(configured)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
