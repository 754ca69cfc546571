"""How large a packed file may become."""

from __future__ import annotations

# How many times its size a file may unpack to. Nothing that deflate has packed is more than the second number, and
# what goes into memory has a bound that a file of a few bytes cannot lift.
MOST_IN_MEMORY = 100
MOST_ON_DISK = 1032
_SMALL = 32 * 2**20


def refuse_too_large(unpacked: int, stored: int, most: int) -> None:
    """Raise a ValueError if a file of ``stored`` bytes unpacks to more than ``most`` times as many.

    What is small is never refused.
    """
    if unpacked > _SMALL + most * stored:
        raise ValueError(
            f"{stored:,} bytes claim to unpack to {unpacked:,}, more than {most} times as many: "
            "if that is right, write it without compression"
        )
