import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.template import TEXT_LIMIT, Composite, Template, TemplateError, compile_value, names_in, parse, plain_text, render, resolve

TEXT = st.text(alphabet="ab{}.! :", max_size=30)


def test_names_are_filled_in() -> None:
    assert render("put {thing} in {place}", {"thing": "a mug", "place": "a street"}) == "put a mug in a street"


def test_braces_are_doubled() -> None:
    assert render("{{{a}}} and {{a}}", {"a": 1}) == "{1} and {a}"


@pytest.mark.parametrize(
    ("value", "text"), [(7, "7"), (0.5, "0.5"), (1e20, "100000000000000000000"), (1e-7, "0.0000001"), (True, "true"), (False, "false")]
)
def test_values_are_rendered_plainly(value: float, text: str) -> None:
    assert render("x{a}", {"a": value}) == f"x{text}"


@pytest.mark.parametrize("value", [7, 0.5, None, True, ["a", "b"], {"a": 1}, "text"])
def test_a_template_that_is_one_name_keeps_the_type(value: object) -> None:
    assert render("{a}", {"a": value}) == value  # type: ignore[dict-item]


def test_text_is_asked_for_even_of_one_name() -> None:
    assert parse("{a}").render_text({"a": 7}) == "7"
    with pytest.raises(TemplateError, match="is null"):
        parse("{a}").render_text({"a": None})


@pytest.mark.fault("F10")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "names nothing"),
        ("{ }", "names nothing"),
        ("{a.b}", "not a plain name"),
        ("{a!r}", "not a plain name"),
        ("{a:>10}", "not a plain name"),
        ("{a[0]}", "not a plain name"),
        ("a {", "a lone {"),
        ("a } b", "a lone } at character 3"),
        ("{a{b}}", "a lone {"),
        ("{a\nb}", "not a plain name"),
        ("{" + "a.b" * 40 + "}", "not a plain name"),
    ],
)
def test_anything_but_plain_names_is_refused(text: str, said: str) -> None:
    with pytest.raises(TemplateError, match=said.replace("{", r"\{").replace("}", r"\}")) as caught:
        parse(text)
    assert caught.value.hint == "write {name} for the value of a field, {{ and }} for braces"
    assert len(str(caught.value)) < 120


def test_names_may_hold_spaces_and_any_letters() -> None:
    assert render("{product name} {größe}", {"product name": "mug", "größe": 3}) == "mug 3"


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(TemplateError) as caught:
        render("{scnee}", {"scene": "x", "image": "y"})
    assert caught.value.message == "{scnee} names no value of this row; there is image, scene"
    assert caught.value.hint == "did you mean {scene}?"
    assert caught.value.missing == "scnee"


def test_an_unknown_name_among_many_lists_some() -> None:
    with pytest.raises(TemplateError, match="…"):
        render("{zzz}", dict.fromkeys(map(str, range(100)), 1))
    with pytest.raises(TemplateError, match="there is none"):
        render("{zzz}", {})


@pytest.mark.parametrize(("value", "kind"), [(None, "null"), ([1], "a list"), ({"a": 1}, "an object")])
def test_what_is_no_text_cannot_stand_in_a_text(value: object, kind: str) -> None:
    with pytest.raises(TemplateError, match=f"is {kind} and cannot stand in a text"):
        render("x {a}", {"a": value})  # type: ignore[dict-item]
    with pytest.raises(TemplateError):
        plain_text("a", value)  # type: ignore[arg-type]


@pytest.mark.fault("F10")
def test_a_text_cannot_outgrow_memory() -> None:
    with pytest.raises(TemplateError, match="longer than"):
        render("{a}{a}", {"a": "x" * (TEXT_LIMIT // 2 + 1)})


def test_templates_inside_lists_and_objects_are_filled_in() -> None:
    compiled = compile_value({"images": ["{a}.png", "b.png", 3], "n": 1, "deep": {"x": "{n}"}})
    assert isinstance(compiled, Composite)
    assert set(compiled.names) == {"a", "n"}
    assert compiled.render({"a": "mug", "n": 5}) == {"images": ["mug.png", "b.png", 3], "n": 1, "deep": {"x": 5}}


@pytest.mark.parametrize("value", [None, 5, True, "plain", ["a", 1], {"a": ["b"]}, []])
def test_a_value_without_templates_is_left_alone(value: object) -> None:
    assert compile_value(value) is None  # type: ignore[arg-type]


def test_an_escaped_brace_inside_a_list_is_a_template_too() -> None:
    compiled = compile_value(["{{a}}"])
    assert compiled is not None
    assert compiled.render({}) == ["{a}"]


@pytest.mark.fault("F10")
def test_lists_cannot_be_nested_through_names() -> None:
    compiled = compile_value(["{a}", "{a}"])
    assert compiled is not None
    with pytest.raises(TemplateError, match="cannot stand inside another"):
        compiled.render({"a": ["x", "y"]})


def test_names_in_finds_every_reference() -> None:
    assert names_in(["{a} {b}", {"x": "{c}"}, 5]) == {"a", "b", "c"}
    assert names_in("{broken") == frozenset()
    assert names_in("plain") == frozenset()


def _resolved(values: dict[str, str]) -> tuple[dict[str, object], dict[str, TemplateError]]:
    filled: dict[str, object] = dict(values)
    templates = {name: template for name, value in values.items() if (template := compile_value(value)) is not None}
    errors = resolve(filled, templates)  # type: ignore[arg-type]
    return filled, errors


def test_templates_may_refer_to_templates_in_any_order() -> None:
    filled, errors = _resolved({"a": "<{b}>", "b": "[{c}]", "c": "x", "d": "{a}{a}"})
    assert errors == {}
    assert filled == {"a": "<[x]>", "b": "[x]", "c": "x", "d": "<[x]><[x]>"}


@pytest.mark.parametrize("values", [{"a": "{a}!"}, {"a": "{b}", "b": "{c}", "c": "x {a}"}, {"a": "{b}", "b": "{a}", "c": "{a}", "d": "{c}"}])
def test_a_template_that_comes_back_to_itself_is_refused_once(values: dict[str, str]) -> None:
    _, errors = _resolved(values)
    ((name, error),) = errors.items()
    assert "refers to itself" in error.message
    assert f"{{{name}}} → " in error.message


def test_two_circles_are_both_told_and_the_rest_is_rendered() -> None:
    filled, errors = _resolved({"a": "{b}", "b": "{a}", "c": "{d}", "d": "{c}", "e": "{f}!", "f": "x"})
    assert len(errors) == 2
    assert filled["e"] == "x!"


def test_a_circle_of_many_is_told_briefly() -> None:
    names = [f"n{n}" for n in range(3000)]
    _, errors = _resolved({name: f"{{{after}}}" for name, after in zip(names, [*names[1:], names[0]], strict=True)})
    ((_, error),) = errors.items()
    assert len(error.message) < 200


def test_what_refers_to_a_faulty_template_has_no_error_of_its_own() -> None:
    filled, errors = _resolved({"a": "{nobody}", "b": "{a}", "c": "{b}", "d": "x{e}", "e": "y"})
    assert set(errors) == {"a"}
    assert filled["d"] == "xy"


@pytest.mark.fault("F10")
def test_texts_that_double_at_every_step_are_stopped() -> None:
    values = {f"n{n}": f"{{n{n + 1}}}{{n{n + 1}}}" for n in range(60)} | {"n60": "xxxxxxxx"}
    filled, errors = _resolved(values)
    assert len(errors) == 1
    assert max(len(str(value)) for value in filled.values()) <= TEXT_LIMIT


@pytest.mark.fault("F10")
@given(TEXT)
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        template = parse(text)
    except TemplateError:
        assert "{" in text or "}" in text
    else:
        assert isinstance(template, Template)
        assert all(name.strip() == name and name for name in template.names)


@given(st.text(max_size=50))
def test_escaped_text_comes_back(text: str) -> None:
    assert render(text.replace("{", "{{").replace("}", "}}"), {}) == text
