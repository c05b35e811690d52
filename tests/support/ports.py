"""Free loopback ports."""

from __future__ import annotations

import contextlib
import socket

from demo.processes import StartError, free_port


def free_ports(count: int) -> list[int]:
    """Return as many different ports on which nothing listens, TCP and UDP, now."""
    ports: list[int] = []
    while len(ports) < count:
        port = free_port()
        with contextlib.suppress(StartError):
            ports.append(free_port(port, port, socket.SOCK_DGRAM))
    return ports
