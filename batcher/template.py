"""Templates such as `Replace the background with {scene}`: names in braces, and nothing else.

There is no attribute access, no indexing, no conversion and no format specification; `{{` and `}}` stand for braces. A template is parsed once and
rendered for many rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import TypeAlias

from batcher.model import Json
from batcher.naming import nearest

TEXT_LIMIT = 2**20
"""The longest text that a template may become, in characters."""

ALLOWED = "write {name} for the value of a field, {{ and }} for braces"
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NOT_IN_NAME = re.compile(r"[.\[\]!:()\n\r]")


class TemplateError(ValueError):
    """A template that cannot be parsed or filled in.

    `hint` says what would be right; `missing` is the name that no value has, where that is the fault.
    """

    def __init__(self, message: str, hint: str = "", missing: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.missing = missing


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed text: `pieces` alternate between literal text and the name of a value, beginning and ending with text."""

    pieces: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it refers to, as often as it does."""
        return self.pieces[1::2]

    def render(self, values: Mapping[str, Json]) -> Json:
        """Fill it in. One that is nothing but `{name}` keeps the type of the value. Raises `TemplateError`."""
        pieces = self.pieces
        if len(pieces) == 3 and not pieces[0] and not pieces[2]:
            return _value(pieces[1], values)
        return self.render_text(values)

    def render_text(self, values: Mapping[str, Json]) -> str:
        """Fill it in as text, whatever it refers to. Raises `TemplateError`."""
        parts = list(self.pieces)
        size = 0
        for n, piece in enumerate(parts):
            if n % 2:
                parts[n] = plain_text(piece, _value(piece, values))
            size += len(parts[n])
            if size > TEXT_LIMIT:
                raise TemplateError(f"the text becomes longer than {TEXT_LIMIT:,} characters", "shorten it, or what it refers to")
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Composite:
    """A list or an object that has templates somewhere inside."""

    items: Sequence[Compiled] | Mapping[str, Compiled]
    names: tuple[str, ...]

    def render(self, values: Mapping[str, Json]) -> Json:
        """Fill in every template inside. Raises `TemplateError`."""
        if isinstance(self.items, Mapping):
            return {name: _render_item(item, values) for name, item in self.items.items()}
        return [_render_item(item, values) for item in self.items]


@dataclass(frozen=True, slots=True)
class Constant:
    """A value inside a composite that has nothing to fill in."""

    value: Json


Compiled: TypeAlias = Template | Composite | Constant


def parse(text: str) -> Template:
    """Read a template. Raises `TemplateError` for anything but plain names between braces."""
    pieces: list[str] = []
    literal: list[str] = []
    end = 0
    for match in _PIECE.finditer(text):
        literal.append(text[end : match.start()])
        end = match.end()
        piece = match[0]
        if piece in ("{{", "}}"):
            literal.append(piece[0])
        elif (name := match[1]) is None:
            raise TemplateError(f"a lone {piece} at character {match.start() + 1}", ALLOWED)
        else:
            pieces += ("".join(literal), _checked_name(name))
            literal.clear()
    literal.append(text[end:])
    return Template((*pieces, "".join(literal)))


@lru_cache(maxsize=256)
def _parse_once(text: str) -> Template:
    return parse(text)


def render(text: str, values: Mapping[str, Json]) -> Json:
    """Fill in one template; it is parsed once as long as it is used again and again. Raises `TemplateError`."""
    return _parse_once(text).render(values)


def compile_value(value: Json) -> Template | Composite | None:
    """A value ready to be rendered, or None where it holds no template at all. Raises `TemplateError`."""
    if isinstance(value, str):
        return parse(value) if "{" in value or "}" in value else None
    if not isinstance(value, (Mapping, Sequence)):
        return None
    compiled = _compile_items(value)
    return compiled if isinstance(compiled, Composite) else None


def names_in(value: Json) -> frozenset[str]:
    """The names that the templates in a value refer to; none where one of them cannot be parsed."""
    try:
        compiled = compile_value(value)
    except TemplateError:
        return frozenset()
    return frozenset(compiled.names) if compiled else frozenset()


def resolve(values: dict[str, Json], templates: Mapping[str, Template | Composite]) -> dict[str, TemplateError]:
    """Render `templates` into `values`, each under its name, those that others refer to first.

    Returns the errors by name. A template that refers to one with an error is left as it was, without an error of its own.
    """
    errors: dict[str, TemplateError] = {}
    order, stuck = _in_order(templates, errors)
    for name in order:
        template = templates[name]
        if stuck and not stuck.isdisjoint(template.names):
            stuck.add(name)
            continue
        try:
            values[name] = template.render(values)
        except TemplateError as error:
            errors[name] = error
            stuck.add(name)
    return errors


def unknown_name(name: str, known: Iterable[str]) -> TemplateError:
    """The error for a name that no value has."""
    names = sorted(known)
    guess = nearest(name, names)
    listed = ", ".join(names[:20]) + (" …" if len(names) > 20 else "")
    return TemplateError(
        f"{{{name}}} names no value of this row; there is {listed or 'none'}", f"did you mean {{{guess}}}?" if guess else "", missing=name
    )


def plain_text(name: str, value: Json) -> str:
    """A value as it stands in a text: numbers without exponent, true and false as words. Raises `TemplateError` for null, lists and objects."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    kind = "null" if value is None else "an object" if isinstance(value, Mapping) else "a list"
    raise TemplateError(f"{{{name}}} is {kind} and cannot stand in a text", "only text, numbers, true and false can")


def _in_order(templates: Mapping[str, Template | Composite], errors: dict[str, TemplateError]) -> tuple[Iterable[str], set[str]]:
    """The names of `templates`, each after those it refers to, and apart from them those that stand in circles, each circle told once in `errors`."""
    graph = {name: [other for other in template.names if other in templates] for name, template in templates.items()}
    stuck: set[str] = set()
    if not any(graph.values()):
        return graph, stuck
    while True:
        try:
            return tuple(TopologicalSorter(graph).static_order()), stuck
        except CycleError as error:
            circle: list[str] = error.args[1][::-1]
            errors[circle[0]] = _circle(circle)
            stuck.update(circle)
            graph = {name: [other for other in others if other not in stuck] for name, others in graph.items() if name not in stuck}


def _circle(names: Sequence[str]) -> TemplateError:
    path = " → ".join(f"{{{name}}}" for name in names[:10]) + (" …" if len(names) > 10 else "")
    return TemplateError(f"the template refers to itself: {path}", "a template may refer to other values only")


def _checked_name(inner: str) -> str:
    name = inner.strip()
    if not name:
        raise TemplateError(f"{{{inner}}} names nothing", ALLOWED)
    if _NOT_IN_NAME.search(name):
        shown = name if len(name) <= 40 else f"{name[:40]}…"
        raise TemplateError(f"{{{shown}}} is not a plain name", ALLOWED)
    return name


def _value(name: str, values: Mapping[str, Json]) -> Json:
    try:
        return values[name]
    except KeyError:
        raise unknown_name(name, values) from None


def _compile_items(value: Json) -> Compiled:
    if isinstance(value, str):
        return parse(value) if "{" in value or "}" in value else Constant(value)
    items: dict[str, Compiled] | list[Compiled]
    if isinstance(value, Mapping):
        items = {name: _compile_items(item) for name, item in value.items()}
        inside: Iterable[Compiled] = items.values()
    elif isinstance(value, Sequence):
        inside = items = [_compile_items(item) for item in value]
    else:
        return Constant(value)
    names = tuple(name for item in inside if not isinstance(item, Constant) for name in item.names)
    found = any(not isinstance(item, Constant) for item in inside)
    return Composite(items, names) if found else Constant(value)


def _render_item(item: Compiled, values: Mapping[str, Json]) -> Json:
    if isinstance(item, Constant):
        return item.value
    rendered = item.render(values)
    if isinstance(item, Template) and not isinstance(rendered, (str, int, float, type(None))):
        # Lists that refer to lists could double at every step and outgrow any memory.
        raise TemplateError(f"{{{item.names[0]}}} is a list or an object and cannot stand inside another", "write it out")
    return rendered
