"""Ctrl-C, a SIGTERM or a closed terminal: the first ends the demo, none of them its cleaning up."""

import signal
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """The demo was told to stop.

    Args:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


class Interrupts:
    """Raises Interrupted at the first signal and ignores those that follow; a context manager, main thread only."""

    def __init__(self) -> None:
        self._came: int | None = None
        self._held = False
        self._before: Mapping[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        # After one that counted, the process has only its exit code to give: a second Ctrl-C must not change that.
        for number, handler in self._before.items():
            signal.signal(number, handler if self._came is None else signal.SIG_IGN)

    @contextmanager
    def held(self) -> Generator[None]:
        """Let the block end before a signal counts; whatever the block raised then gives way to Interrupted."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            if self._came is not None:
                raise Interrupted(self._came)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._came is None:
            self._came = number
            if not self._held:
                raise Interrupted(number)
