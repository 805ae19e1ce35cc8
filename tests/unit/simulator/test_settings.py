import pytest
from pydantic import ValidationError

from batcher.simulator import FaultRule, SimulatorError, SimulatorSettings


def write(tmp_path, text):
    path = tmp_path / "simulator.yaml"
    path.write_text(text, "utf-8")
    return path


def test_settings_are_read_from_yaml_with_faults_in_both_forms(tmp_path):
    path = write(
        tmp_path,
        "slots: 3\nspeed: 10\nearly_result: 400005\nfaults:\n  - submit:429:first=1\n  - {call: download, fault: truncated, every: 4, keep: 0.5}\n",
    )
    settings = SimulatorSettings.from_yaml(path)
    assert (settings.slots, settings.speed, settings.early_result) == (3, 10, 400005)
    assert settings.faults == (FaultRule.parse("submit:429:first=1"), FaultRule.parse("download:truncated:every=4,keep=0.5"))


def test_overrides_win_and_their_faults_come_first(tmp_path):
    path = write(tmp_path, "slots: 3\nfaults: [submit:500]\n")
    settings = SimulatorSettings.from_yaml(path, slots=5, faults=["submit:429"])
    assert settings.slots == 5
    assert [rule.fault for rule in settings.faults] == ["429", "500"]


def test_an_empty_file_means_the_defaults(tmp_path):
    assert SimulatorSettings.from_yaml(write(tmp_path, "")) == SimulatorSettings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slotts: 3", "slotts: Extra inputs are not permitted"),
        ("slots: 0", "slots: Input should be greater than or equal to 1"),
        ("faults: [submit:resett]", "did you mean `reset`"),
        ("faults: submit:500", "faults: write a list"),
        ("- a", "settings are a mapping"),
        ("a: [", "not a YAML file"),
        ("prices: {a/b: -1}", "prices.a/b"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_the_reason(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(SimulatorError) as caught:
        SimulatorSettings.from_yaml(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(SimulatorError, match="cannot be read"):
        SimulatorSettings.from_yaml(tmp_path / "none.yaml")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SimulatorError, match="not a YAML file"):
        SimulatorSettings.from_yaml(tmp_path / "x.yaml")


def test_the_token_does_not_show():
    assert "canary" not in repr(SimulatorSettings(token="canary"))


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError):
        SimulatorSettings().slots = 3


def test_settings_survive_being_written_down_and_lose_the_token_on_the_way():
    faults = ["submit:429:first=1,retry_after=2", "result:set:field=output,value=null", "generation:fail:variant=B"]
    settings = SimulatorSettings(token="canary", slots=3, prices={"a/b": 0.5}, faults=faults)
    written = settings.model_dump_json()
    assert "canary" not in written
    assert SimulatorSettings.model_validate_json(written) == settings.model_copy(update={"token": None})
