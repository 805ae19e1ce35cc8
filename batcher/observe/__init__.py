"""What a person, or a log, sees of a run while it goes."""

from batcher.observe.events import EventLog, Observers
from batcher.observe.harmless import harmless, one_line
from batcher.observe.progress import Pulse, Snapshot, plain_line, state_words
from batcher.observe.terminal import NoView, PlainView, SilentView, TerminalView, View, ViewObserver, choose_view

__all__ = [
    "EventLog",
    "NoView",
    "Observers",
    "PlainView",
    "Pulse",
    "SilentView",
    "Snapshot",
    "TerminalView",
    "View",
    "ViewObserver",
    "choose_view",
    "harmless",
    "one_line",
    "plain_line",
    "state_words",
]
