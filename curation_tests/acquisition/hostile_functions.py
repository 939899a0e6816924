"""Functions for the sandbox to run, each hostile in its own way. Imported by the sandbox's child: keep imports few."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import time
from collections.abc import Callable

KEPT: list[bytearray] = []


def make() -> Callable[[bytes, bytearray], tuple[bytes, bytes]]:
    return run


def make_broken() -> Callable[[bytes, bytearray], tuple[bytes, bytes]]:
    raise RuntimeError("no such model")


def run(head: bytes, body: bytearray) -> tuple[bytes, bytes]:
    command = head.decode()
    if command == "regex":
        re.match(r"(a*)*b", "a" * 60)
    elif command == "sum":
        sum(range(10**13))
    elif command == "bytecode":
        while True:
            pass
    elif command == "sleep":
        time.sleep(3600)
    elif command == "grow":
        while True:
            KEPT.append(bytearray(1 << 24))
    elif command == "huge":
        KEPT.append(bytearray(1 << 40))
    elif command == "leak":
        KEPT.append(bytearray(160 << 20))
    elif command == "segfault":
        ctypes.string_at(0)
    elif command == "abort":
        os.abort()
    elif command == "rust":
        os.write(2, b"memory allocation of 99 bytes failed\n")
        os.abort()
    elif command == "exit":
        os._exit(7)
    elif command == "sysexit":
        sys.exit(3)
    elif command == "raise":
        raise ValueError("no good")
    elif command == "recurse":
        return run(head, body)
    elif command == "noise":
        for _ in range(1000):
            os.write(1, b"x" * 1000)
            try:
                os.write(2, b"x" * 1000)
            except OSError:
                break
    elif command == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif command == "pid":
        return str(os.getpid()).encode(), b""
    elif command == "inflate":
        return head, bytes(body) * 50
    return head, bytes(body)
