"""Ports: the one the web listens on, which a person chooses, and free ones for the servers behind it.

Servers listen on 127.0.0.1 alone and ask for a password. A Unix socket would need no port, but its path may have 107
bytes at most, and every client library spells its address differently; a port works in every folder, for every client.
"""

from __future__ import annotations

import errno
import random
import socket

from cryptoetl.local.trouble import Trouble

LOOPBACK = "127.0.0.1"


def read_port(text: str) -> int:
    """The number that PORT names."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise Trouble(f"PORT must be a whole number from 1 to 65535 (it is {text[:60]!r}).", code=2)
    return int(text)


def trouble_with(port: int) -> OSError | None:
    """Why the web could not listen on this port now; None when it could."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As gunicorn does it: a port whose last connections are still fading away (TIME_WAIT) is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError as error:
            return error
    # A server on [::1] alone would not stop ours from listening, but it would answer for `localhost`.
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.settimeout(0.5)
            probe.connect(("::1", port))
        return OSError(errno.EADDRINUSE, "Address already in use")
    except OSError:
        return None


def claim(port: int) -> int:
    """The port, when it is free; else a sentence that says what to do."""
    error = trouble_with(port)
    if error is None:
        return port
    if error.errno == errno.EADDRINUSE:
        other = next((number for number in range(port + 1, 65536) if trouble_with(number) is None), None)
        advice = f": choose another one, for example PORT={other}." if other else "."
        raise Trouble(f"Port {port} is in use by another program{advice}", code=2)
    if error.errno in (errno.EACCES, errno.EPERM):
        raise Trouble(f"Port {port} needs rights that you don't have: choose one above 1023 with PORT.", code=2)
    raise Trouble(f"Port {port} can't be used: {error.strerror}.", code=2)


def first_free(start: int) -> int:
    """The first free port from `start` on."""
    for port in range(start, 65536):
        if trouble_with(port) is None:
            return port
    raise Trouble(f"No port from {start} on is free.", code=2)


def server_port(keep: int | None = None) -> int:
    """A free port for a server behind the web; `keep` again when it is still free.

    Below the range from which the system takes ports for outgoing connections (32768 on Linux), so that no connection
    sits on the port while the server is being restarted.
    """
    if keep is not None and trouble_with(keep) is None:
        return keep
    chance = random.SystemRandom()
    for _ in range(200):
        port = chance.randrange(20_000, 32_000)
        if trouble_with(port) is None:
            return port
    raise Trouble("No free port was found between 20000 and 32000.")
