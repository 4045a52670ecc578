"""What a person sees while the system starts: one line a step, with the seconds it took."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Prints the step when it begins and its seconds when it is done, or that it failed."""
    print(f"  {text} ", end="", flush=True)
    began = time.monotonic()
    try:
        yield
    except BaseException:
        print("failed", flush=True)
        raise
    print(f"{'.' * max(3, 58 - len(text))} {time.monotonic() - began:5.1f} s", flush=True)
