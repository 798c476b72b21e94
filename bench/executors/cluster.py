"""The way into a Ray cluster.

It is asked first from a process that can be given up: a driver that finds nobody at its address waits for more than a
minute, writes its log to the terminal, and may end the program that it is in.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from typing import Any

from prefrl_core.errors import UserError

_ANSWER_WITHIN = 15.0  # seconds for a cluster to answer; another five before that for its port
_PROBE = """
import logging, sys
try:
    import ray
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL)
    sys.stdout.write("ok")
except BaseException as error:
    sys.stdout.write(" ".join(str(error).split()) or type(error).__name__)
"""


def connect(address: str) -> Any:
    """The module ``ray``, connected to the cluster.

    Raises:
        UserError: it is not installed, or the cluster does not answer in time.
    """
    try:
        import ray
        import ray._private.worker as driver
    except ModuleNotFoundError as error:
        raise UserError('--executor ray needs Ray: pip install "prefrl-bench[ray]"') from error
    _probe(address)
    driver.print_to_stdstream = lambda *_, **__: None  # else the log of a node that dies is written into our display
    ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    return ray


def _probe(address: str) -> None:
    host, colon, port = address.rpartition(":")
    said = "no port is open there"
    try:
        if colon and port.isdigit():
            socket.create_connection((host.removeprefix("ray://"), int(port)), timeout=5).close()
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, address],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ANSWER_WITHIN,
            check=False,
        )
        said = done.stdout.strip()
    except subprocess.TimeoutExpired:
        said = f"it said nothing for {_ANSWER_WITHIN:.0f} s"
    except (OSError, ValueError) as error:  # ValueError: characters that no address has
        said = getattr(error, "strerror", None) or str(error)
    if said != "ok":
        raise UserError(
            f"no Ray cluster answers at {address!r} ({said or 'no reason given'}): start one by `ray start --head`, "
            "and give the address that it prints"
        )
