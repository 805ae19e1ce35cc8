"""What a person, or a log, sees of a run while it goes."""

from batcher.observe.console import LocaleConsole, write_line
from batcher.observe.events import EventLog, Observers
from batcher.observe.harmless import harmless, one_line
from batcher.observe.progress import FAILURES_MAX, FLIGHTS_MAX, About, Flight, Pulse, Snapshot, UnderWay, duration, plain_line, state_words
from batcher.observe.terminal import NoView, PlainView, SilentView, TerminalView, View, ViewObserver, choose_view

__all__ = [
    "FAILURES_MAX",
    "FLIGHTS_MAX",
    "About",
    "EventLog",
    "Flight",
    "LocaleConsole",
    "NoView",
    "Observers",
    "PlainView",
    "Pulse",
    "SilentView",
    "Snapshot",
    "TerminalView",
    "UnderWay",
    "View",
    "ViewObserver",
    "choose_view",
    "duration",
    "harmless",
    "one_line",
    "plain_line",
    "state_words",
    "write_line",
]
