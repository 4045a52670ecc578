"""What a person has to put right before the local system can do what they asked."""

from __future__ import annotations


class Trouble(Exception):
    """One sentence that names the culprit. `code` is the exit code: 2 for a wrong or taken value, 1 for the rest."""

    def __init__(self, sentence: str, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code
