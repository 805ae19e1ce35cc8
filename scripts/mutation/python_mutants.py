"""Small bugs in Python code: one change to the syntax tree each."""

from __future__ import annotations

import ast
import copy
import marshal
import re
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import CO_OPTIMIZED
from types import CodeType
from typing import Any

NOT_MUTATED = {"annotation", "returns", "decorator_list", "type_params"}
"""Parts that say nothing at run time, or only how fast it is."""

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.Mod: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip
SWAPPED = {"min": "max", "max": "min"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One bug. `lines` are those that must run for it to show, and `function` those of the function that it is in: none where it runs on import."""

    module: str
    line: int
    lines: range
    function: range
    operator: str
    change: str
    payload: CodeType | str
    """The code of the module, or the text of the SQL file."""
    patchable: bool
    """Whether it lies within functions, so that it can be put into a module that is loaded already."""

    @property
    def name(self) -> str:
        return f"{self.module}:{self.line} [{self.operator}] {self.change}"


def python_mutants(module: str, source: str, enums: dict[str, list[str]]) -> Iterator[Mutant]:
    """Every bug that the rules below make of `source`, each once. `enums` has the members of each enumeration by its name."""
    tree = ast.parse(source)
    original = _compile(tree, module)
    seen, frame = {marshal.dumps(original)}, _frame(original)
    for place in list(_places(tree)):
        for operator, new in _changes(place.node, enums):
            before = _text(place.node)
            place.put(new)
            code = _compile(tree, module)
            place.put(place.node)
            if (dumped := marshal.dumps(code)) not in seen:
                seen.add(dumped)
                change = f"{before}  →  {_text(new)}" if operator != "part" else f"{before}  without  {_missing(place.node, new)}"
                yield Mutant(module, place.node.lineno, place.lines, place.function, operator, change, code, _frame(code) == frame)


def enum_members(source: str) -> dict[str, list[str]]:
    """The enumerations that `source` defines."""
    return {
        node.name: [target.id for item in node.body if isinstance(item, ast.Assign) for target in item.targets if isinstance(target, ast.Name)]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef) and _is_enum(node)
    }


# ── where ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Place:
    """A node and where it hangs."""

    parent: Any
    field: str
    index: int | None
    node: Any
    lines: range
    function: range

    def put(self, node: Any) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def _places(tree: ast.Module) -> Iterator[_Place]:
    yield from _below(tree, range(0), range(0))


def _below(parent: ast.AST, lines: range, function: range) -> Iterator[_Place]:
    for name, value in ast.iter_fields(parent):
        if name in NOT_MUTATED:
            continue
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(node, ast.AST) or _is_left_alone(node, parent):
                continue
            inner = _own_lines(node, lines)
            inside = function
            if not function and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                inside = inner
            if isinstance(node, (ast.match_case, ast.comprehension)):  # the two that do not know where they are
                node.lineno = (node.pattern if isinstance(node, ast.match_case) else node.target).lineno  # type: ignore[union-attr]
            if hasattr(node, "lineno"):
                yield _Place(parent, name, index, node, inner, inside)
            yield from _below(node, inner, inside)


def _own_lines(node: Any, around: range) -> range:
    """Those that run when `node` does: of a statement, without the block that hangs on it; of a function, those of its block."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return range(node.body[0].lineno, (node.end_lineno or 0) + 1)
        case ast.match_case():
            return range(node.pattern.lineno, node.body[0].lineno + 1)
        case ast.Match():
            return range(node.lineno, node.cases[0].pattern.lineno)
        case ast.stmt() | ast.ExceptHandler():
            block = getattr(node, "body", None)
            return range(node.lineno, max(node.lineno, block[0].lineno - 1 if block else node.end_lineno or 0) + 1)
    return around


def _is_left_alone(node: ast.AST, parent: ast.AST) -> bool:
    if isinstance(node, ast.JoinedStr):  # words for people
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # a docstring, or the three dots of a protocol
        return True
    if isinstance(node, ast.If) and ast.unparse(node.test).startswith("sys.platform"):  # another system
        return True
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(parent, ast.ClassDef) and _is_enum(parent):  # only the name counts
        return True
    if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "Protocol" for base in node.bases):
        return True
    return isinstance(node, (ast.Assign, ast.AnnAssign)) and bool(re.match(r"(__all__\b|\w+ = (TypeVar|Callable)\b)", ast.unparse(node)))


def _is_enum(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base) in ("StrEnum", "Enum") for base in node.bases)


# ── what ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _changes(node: Any, enums: dict[str, list[str]]) -> Iterator[tuple[str, Any]]:
    yield from _statement_changes(node)
    yield from _expression_changes(node)
    yield from _parts_left_out(node)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in enums.get(node.value.id, ()):
        members = enums[node.value.id]
        yield "member", ast.copy_location(ast.Attribute(node.value, members[(members.index(node.attr) + 1) % len(members)], node.ctx), node)


def _statement_changes(node: Any) -> Iterator[tuple[str, Any]]:
    nothing = ast.copy_location(ast.Pass(), node) if hasattr(node, "lineno") else None
    match node:
        case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Continue() | ast.Break() | ast.Delete():
            yield "statement", nothing
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript(), *_]) | ast.AnnAssign(target=ast.Attribute() | ast.Subscript(), value=ast.expr()):
            yield "statement", nothing
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield "return", _copy(node, value=ast.Constant(None))
        case ast.If() | ast.While():
            for value in (False, True) if isinstance(node, ast.If) else (False,):
                yield "condition", _copy(node, test=ast.Constant(value))
        case ast.ExceptHandler(body=[ast.Raise(exc=None)]):
            return  # does no more than the bug would
        case ast.ExceptHandler():
            yield "handler", _copy(node, body=[ast.Raise()])
        case ast.With() | ast.AsyncWith() if not any(item.optional_vars for item in node.items):
            yield "with", ast.copy_location(ast.If(ast.Constant(True), node.body, []), node)


def _expression_changes(node: Any) -> Iterator[tuple[str, Any]]:
    match node:
        case ast.Compare(ops=[op]):
            for other in COMPARISONS[type(op)]:
                yield "comparison", _copy(node, ops=[other()])
        case ast.BoolOp():
            yield "and/or", _copy(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not()):
            yield "not", node.operand
        case ast.BinOp() | ast.AugAssign() if type(node.op) in ARITHMETIC and not _is_text(node):
            yield "arithmetic", _copy(node, op=ARITHMETIC[type(node.op)]())
        case ast.IfExp():
            yield "condition", node.body
            yield "condition", node.orelse
        case ast.Constant():
            for value in _other_values(node.value):
                yield "constant", _copy(node, value=value)
        case ast.Call(func=ast.Name(id=name)) if name in SWAPPED:
            yield "min/max", _copy(node, func=ast.Name(SWAPPED[name], ast.Load()))


LISTS = {ast.BoolOp: "values", ast.Set: "elts", ast.MatchOr: "patterns", ast.Match: "cases", ast.Call: "keywords", ast.comprehension: "ifs"}


def _parts_left_out(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, ast.Dict):
        for keys, values in zip(_each_left_out(node.keys), _each_left_out(node.values), strict=True):
            yield "part", _copy(node, keys=keys, values=values)
        return
    parts = LISTS.get(type(node))
    if parts is None or (isinstance(node, (ast.Set, ast.Match)) and len(getattr(node, parts)) == 1):
        return
    for rest in _each_left_out(getattr(node, parts)):
        yield "part", rest[0] if isinstance(node, (ast.BoolOp, ast.MatchOr)) and len(rest) == 1 else _copy(node, **{parts: rest})


def _each_left_out(items: list[Any]) -> list[list[Any]]:
    return [items[:index] + items[index + 1 :] for index in range(len(items))]


def _other_values(value: object) -> list[Any]:
    match value:
        case bool():
            return [not value]
        case int():
            return [value + 1, value - 1] if value > 0 else [value + 1]
        case float():
            return [value + 1.0]
        case str() if re.fullmatch(r"[\w.]+", value):  # a name, and not words for people
            return [f"{value}_"]
    return []


def _is_text(node: Any) -> bool:
    sides = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.value,)
    return any(isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str)) for side in sides)


def _copy(node: Any, **changes: Any) -> Any:
    new = copy.copy(node)
    for name, value in changes.items():
        setattr(new, name, value)
    return new


def _compile(tree: ast.Module, module: str) -> CodeType:
    return compile(ast.fix_missing_locations(tree), module, "exec")


def _missing(node: Any, new: Any) -> str:
    parts = "values" if isinstance(node, ast.Dict) else LISTS[type(node)]
    of = getattr(node, parts)
    left = [new] if any(part is new for part in of) else getattr(new, parts)
    (gone,) = [part for part in of if not any(part is other for other in left)]
    return _text(gone) if not isinstance(gone, ast.keyword) else f"{gone.arg}={_text(gone.value)}"


def _frame(code: CodeType) -> tuple[Any, ...]:
    """What runs on import: all but the insides of functions."""
    inner = [
        item if not isinstance(item, CodeType) else _frame(item) if not item.co_flags & CO_OPTIMIZED else item.co_name for item in code.co_consts
    ]
    return code.co_code, code.co_names, tuple((type(item), item) for item in inner)


def _text(node: Any) -> str:
    text = f"case {ast.unparse(node.pattern)}: …" if isinstance(node, ast.match_case) else ast.unparse(node)
    if isinstance(node, ast.Call) and node.keywords:
        return f"{ast.unparse(node.func)}({', '.join(ast.unparse(part) for part in node.args)}, …)".replace("(, …", "(…")
    if isinstance(node, ast.Match):
        return f"match {ast.unparse(node.subject)}: {', '.join(ast.unparse(case.pattern) for case in node.cases)}"
    if isinstance(node, ast.ExceptHandler):
        return " ".join(text.split())
    first, *rest = text.splitlines() or [""]
    return f"{first} …" if rest else text
