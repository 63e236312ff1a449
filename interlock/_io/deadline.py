"""The moment at which a caller gives up."""

from time import monotonic


class Deadline:
    """The moment at which a timeout is over.

    Args:
        timeout: seconds from now; None: no limit; 0: one try.
    """

    __slots__ = ("_once", "at")

    def __init__(self, timeout: float | None) -> None:
        # A reading of time.monotonic(); None: no limit.
        self.at = None if timeout is None else monotonic() + timeout
        self._once = timeout == 0

    @property
    def left(self) -> float | None:
        """The seconds that are left, below 0 when the timeout is over; None: no limit."""
        return None if self.at is None else self.at - monotonic()

    @property
    def over(self) -> bool:
        """Whether the timeout is over."""
        return self.at is not None and self.at <= monotonic()

    @property
    def timeout(self) -> float | None:
        """The time that is left, as a timeout in seconds; None: no limit.

        It is 0 only if the caller gave 0, which means one try. Otherwise it is at least a millisecond, so that no
        function takes it for one try.
        """
        left = self.left
        return left if left is None else 0 if self._once else max(0.001, left)

    def within(self, seconds: float) -> float:
        """Return the seconds that are left, or `seconds` if that is less."""
        return seconds if self.at is None else min(seconds, self.at - monotonic())
