import pytest

from batcher.simulator.errors import SimulatorError
from batcher.simulator.faults import FaultName, FaultPlan, FaultRule, Occasion


def struck(lines, occasions, seed=0, times=None):
    plan = FaultPlan([FaultRule.parse(line) for line in lines], seed, started_at=100.0)
    rules = [plan.strike(occasion, 100.0 + (times[index] if times else 0.0)) for index, occasion in enumerate(occasions)]
    return [rule.fault if rule else None for rule in rules]


def submits(count):
    return [Occasion("submit", key=f"body {n}") for n in range(count)]


def test_a_line_is_read_into_a_rule():
    rule = FaultRule.parse("submit:429:first=3,retry_after=2")
    assert (rule.call, rule.fault, rule.first, rule.retry_after, rule.name, rule.takes_effect) == ("submit", "429", 3, "2", None, False)


def test_a_value_may_hold_commas_colons_and_json():
    assert FaultRule.parse("submit:503:retry_after=Wed, 21 Oct 2015 07:28:00 GMT,nth=2").retry_after == "Wed, 21 Oct 2015 07:28:00 GMT"
    assert FaultRule.parse('result:set:field=output,value={"image": null}').value == {"image": None}
    assert FaultRule.parse("status:set:field=status,value=baking").value == "baking"
    assert FaultRule.parse("download:redirect:to=http://10.0.0.1/x,status=307").status == 307


def test_a_mapping_says_the_same():
    assert FaultRule.model_validate({"call": "submit", "fault": 429, "first": 3, "retry_after": 2}) == FaultRule.parse(
        "submit:429:first=3,retry_after=2"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("submit", "a fault reads CALL:FAULT"),
        ("", "a fault reads CALL:FAULT"),
        ("sumbit:429", "call: Input should be 'submit'"),
        ("submit:resett", "did you mean `reset`"),
        ("submit:200", "unknown fault '200'"),
        ("submit:reset:frst=2", "did you mean `first`"),
        ("submit:reset:often", "write name=value"),
        ("submit:reset:nth=1,nth=2", "`nth` is given twice"),
        ("submit:reset:nth=0", "nth: Input should be greater than or equal to 1"),
        ("submit:reset:probability=2", "probability:"),
        ("status:fail", "does not fit the call 'status'"),
        ("generation:500", "does not fit the call 'generation'"),
        ("download:no-output", "a download has none"),
        ("submit:429:delay_s=2", "'429' has no option `delay_s`; allowed: `nth`"),
        ("submit:truncated:accepted=false", "'truncated' has no option `accepted`"),
        ("submit:delay", "needs the option `delay_s`"),
        ("result:redirect", "needs the option `to`"),
        ("result:set:value=1", "needs the option `field`"),
    ],
)
def test_a_line_that_means_nothing_says_why(line, message):
    with pytest.raises(SimulatorError, match="fault ") as caught:
        FaultRule.parse(line)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("line", "effect"),
    [
        ("submit:500", False),
        ("submit:500:accepted=true", True),
        ("submit:reset", False),
        ("submit:reset:accepted=yes", True),
        ("submit:truncated", True),
        ("submit:html", True),
        ("submit:html:accepted=false", False),
    ],
)
def test_whether_the_call_takes_effect(line, effect):
    assert FaultRule.parse(line).takes_effect is effect


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("nth=2", [0, 1, 0, 0, 0, 0]),
        ("every=3", [0, 0, 1, 0, 0, 1]),
        ("first=2", [1, 1, 0, 0, 0, 0]),
        ("every=2,first=4", [0, 1, 0, 1, 0, 0]),
        ("probability=0", [0, 0, 0, 0, 0, 0]),
        ("probability=1", [1, 1, 1, 1, 1, 1]),
    ],
)
def test_when_a_rule_strikes(condition, expected):
    assert [fault is not None for fault in struck([f"submit:500:{condition}"], submits(6))] == [bool(n) for n in expected]


def test_a_rule_can_be_bound_to_a_stretch_of_time():
    assert struck(["any:503:from_s=10,until_s=20"], submits(4), times=[9.9, 10.0, 19.9, 20.0]) == [None, "503", "503", None]


def test_a_rule_can_be_bound_to_a_model_or_to_words():
    lamp = Occasion("submit", model="a/b", text=lambda: "A red LAMP")
    mug = Occasion("submit", model="a/c", text=lambda: "a mug")
    assert struck(["submit:500:contains=red lamp"], [lamp, mug]) == ["500", None]
    assert struck(["submit:500:model=a/c"], [lamp, mug]) == [None, "500"]


def test_calls_can_be_counted_for_each_request():
    polls = [Occasion("status", key=key) for key in ("a", "b", "a", "b")]
    assert struck(["status:500:first=1,per=request"], polls) == ["500", "500", None, None]


def test_any_means_every_call_but_no_generation():
    occasions = [Occasion("submit"), Occasion("download"), Occasion("generation")]
    assert struck(["any:hang"], occasions) == ["hang", "hang", None]
    assert struck(["any:no-output"], occasions) == ["no-output", None, None]


def test_the_first_rule_that_matches_wins_and_every_rule_counts():
    assert struck(["submit:500:nth=1", "submit:429:nth=2"], submits(2)) == ["500", "429"]
    assert struck(["submit:500:nth=1", "submit:429:first=2"], submits(3)) == ["500", "429", None]


def test_chance_depends_on_the_seed_and_the_call_and_not_on_the_order_of_calls():
    occasions = submits(400)
    there = struck(["submit:500:probability=0.25"], occasions, seed=3)
    back = struck(["submit:500:probability=0.25"], occasions[::-1], seed=3)
    assert there == back[::-1]
    assert there != struck(["submit:500:probability=0.25"], occasions, seed=4)
    assert 60 < sum(fault is not None for fault in there) < 140


def test_chance_is_drawn_anew_for_each_call_of_one_request():
    polls = [Occasion("status", key="a")] * 200
    assert 60 < sum(fault is not None for fault in struck(["status:500:probability=0.5"], polls)) < 140


def test_every_fault_says_what_it_does():
    options = {"delay": "delay_s=1", "redirect": "to=/", "set": "field=a"}
    for name in FaultName:
        call = "generation" if name in ("fail", "stuck-queued", "stuck-running") else "result"
        assert FaultRule.parse(f"{call}:{name}:{options.get(name, '')}").name is name
