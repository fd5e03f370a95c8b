"""What goes on while a phase runs, on stderr: redrawn on a terminal, a line now and then elsewhere."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Self

from rich import live as rich_live
from rich.console import Console, RenderableType
from rich.spinner import Spinner
from rich.text import Text

from orchestrator.cli.render import look, words
from orchestrator.events import (
    Event,
    HookFinished,
    HookStarted,
    PhaseStarted,
    Progress,
    StateReached,
    StepFinished,
    StepStarted,
    Undelivered,
    Waiting,
)
from orchestrator.words import counted

_EVERY = 5.0
"""Seconds between two lines about the same thing where nothing is redrawn."""

_BAR = 24


class Lines:
    """An observer that writes each event as a line of JSON; of `Progress`, the last of each second.

    Args:
        write: takes a line.
        redact: takes passwords out of a text.
        clock: seconds.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        redact: Callable[[str], str],
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._write, self._redact, self._clock = write, redact, clock
        self._said: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        return

    def __call__(self, event: Event) -> None:
        """Write an event."""
        if isinstance(event, Progress) and event.done < event.total:
            now = self._clock()
            if now - self._said.get(event.what, float("-inf")) < 1:
                return
            self._said[event.what] = now
        name = re.sub("(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()
        self._write(self._redact(json.dumps({"event": name, **vars(event)}, ensure_ascii=False)))


class Live:
    """An observer (`orchestrator.events`) that shows what it is told; a context manager.

    It never fails: an observer's error would stop the phase it watches. Where nobody reads any
    more, it says nothing.

    Args:
        console: where to show it.
        redact: takes passwords out of a text.
        clock: seconds, for the pace of plain lines.
        stops: what Ctrl-C would do, where the same command does not go on from there.
    """

    def __init__(
        self,
        console: Console,
        redact: Callable[[str], str],
        *,
        clock: Callable[[], float] = monotonic,
        stops: str | None = None,
    ) -> None:
        self._stops = stops or "Ctrl-C stops; the same command goes on from here"
        self._console = console
        self._redact = redact
        self._clock = clock
        self._screen: rich_live.Live | None = None
        self._animated = console.is_terminal and not console.is_dumb_terminal
        self._spinner = Spinner("dots" if console.encoding.lower().startswith("utf") else "line")
        self._title = ""
        self._status: RenderableType | None = None
        self._said: dict[str, float] = {}
        self._gone = False
        self._step: StepStarted | None = None
        self._far: str | None = None
        """How far the backfill under way is."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._screen is not None:
            self._screen.stop()
        if error is not None and self._far is not None and not self._gone:
            # The last word on a log is what `status` says from now on.
            with suppress(OSError):
                self._line(look.indented(look.item(look.PART, self._redact(self._named(f"stopped at {self._far}")))))

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if self._gone:
            return
        try:
            self._show(event)
        except OSError:
            self._gone = True

    def __rich__(self) -> RenderableType:
        self._spinner.update(text=Text(self._title))
        # Nothing is padded to the margin: the ^C that a terminal echoes there would add a line.
        stop = Text(self._stops, style="dim")
        return look.stacked(self._spinner, self._status and look.indented(self._status), look.indented(stop))

    def _show(self, event: Event) -> None:
        match event:
            case PhaseStarted():
                self._line(Text(self._redact(_begun(event)), style="bold"))
                self._now(words.doing(event.phase, event.direction))
            case StepStarted():
                self._step, self._far = event, None
                self._now(self._redact(event.title))
            case StepFinished():
                self._far = None
                self._line(look.indented(look.item(look.DONE, self._redact(_finished(event)))))
            case Waiting():
                text = self._redact(_waited(event))
                self._status = look.item(look.PART, text)
                self._now_and_then(f"waiting {event.what} {event.why}", text, redrawn=self._screen is not None)
            case Progress():
                self._far = _far(event) if _is_sweep(event) else None
                if self._step is not None:
                    self._title = self._redact(_about(event, self._step))
                self._status = self._under_way(event)
                held = " held" if event.throttled_by else ""
                self._now_and_then(
                    event.what + held, self._redact(", ".join(filter(None, (_far(event), *_pace(event)))))
                )
            case StateReached():
                self._status = None
            case HookStarted() | HookFinished() | Undelivered():
                self._show_beside(event)

    def _show_beside(self, event: HookStarted | HookFinished | Undelivered) -> None:
        """Show what is not the phase's own work."""
        match event:
            case HookStarted():
                self._now(self._redact(f"{event.when} {words.phase(event.phase)}: {event.command}"))
            case HookFinished():
                self._title, self._status = "", None
                self._line(look.indented(look.item(look.DONE if event.ok else look.BAD, self._redact(_ran(event)))))
            case Undelivered():
                said = f"a notice was not delivered: {event.why} ({event.notice})"
                self._line(look.labelled([("beware", self._redact(said))]))

    def _under_way(self, event: Progress) -> RenderableType:
        lines: list[RenderableType] = [look.bar(event.done, event.total, width=_BAR, beside=_far(event))]
        lines += [Text(self._redact(line)) for line in _pace(event)]
        return look.stacked(*lines)

    def _now(self, title: str) -> None:
        self._title, self._status = title, None
        if self._animated and self._screen is None:
            self._screen = rich_live.Live(
                self, console=self._console, transient=True, refresh_per_second=8, redirect_stdout=False
            )
            self._screen.start()

    def _line(self, line: RenderableType) -> None:
        """Write a line that stays."""
        if self._animated:
            self._console.print(line)
        else:
            self._console.out(look.rendered(self._console, line), highlight=False)

    def _now_and_then(self, subject: str, text: str, *, redrawn: bool | None = None) -> None:
        """Write a line about something that changes all the time, where nothing is redrawn.

        Before the first step that is so on a terminal too: a question may still follow there.
        """
        now = self._clock()
        redrawn = self._animated if redrawn is None else redrawn
        if not redrawn and now - self._said.get(subject, float("-inf")) >= _EVERY:
            self._said[subject] = now
            self._line(look.indented(look.item(look.PART, self._named(text))))

    def _named(self, text: str) -> str:
        return f"{self._title}: {text}" if self._title else text


def _begun(event: PhaseStarted) -> str:
    goes_on = ", goes on where it stopped" if event.resumes else ""
    return f"{event.plan} on {event.branch}: {words.doing(event.phase, event.direction)}{goes_on}"


def _finished(event: StepFinished) -> str:
    if event.already_done:
        return f"{event.title}: done before"
    waited = f", {words.lasting(event.lock_wait)} of it for the lock" if event.lock_wait >= 0.001 else ""  # noqa: PLR2004 - a millisecond
    return f"{event.title}: {words.lasting(event.seconds)}{waited}"


def _ran(event: HookFinished) -> str:
    how = words.lasting(event.seconds) if event.ok else event.outcome
    return f"{event.when} {words.phase(event.phase)}, {event.command}: {how}"


def _waited(event: Waiting) -> str:
    why = f"{event.why}, {event.held_by}" if event.held_by else event.why
    return f"{event.what}: {why}; try {event.attempt + 1} in {words.lasting(event.seconds)}"


def _is_sweep(event: Progress) -> bool:
    return event.what.startswith("backfill ")


def _about(event: Progress, step: StepStarted) -> str:
    """Return what it is that has come so far: a sweep ends in a proof, which begins at the first row again."""
    within = event.what.startswith("proof ") and event.what != step.key
    return event.what.replace("proof ", "proof of ", 1) if within else step.title


def _far(event: Progress) -> str:
    return words.far(event.done, event.total, event.rows, sweep=_is_sweep(event), rounds=event.round)


def _pace(event: Progress) -> tuple[str, ...]:
    """Return how fast it goes and how long it will take, and why it holds back, a line each."""
    if event.throttled_by:
        return (f"holding back: {event.throttled_by}",)
    said = [
        f"{words.compact(event.rows_per_second)} rows/s" if event.rows_per_second else "",
        counted(event.workers, "worker") if event.workers else "",
        f"{event.share_in_place:.0%} in place" if event.share_in_place is not None else "",
        words.left_between(event.eta_seconds, event.eta_at_most) if event.done < event.total else "",
    ]
    line = ", ".join(filter(None, said))
    return (line,) if line else ()
