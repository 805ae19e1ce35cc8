import base64
import math
import statistics

import pytest

from batcher.simulator.answers import Answers
from batcher.simulator.bill import Traffic, bill_of
from batcher.simulator.blobs import BlobStore
from batcher.simulator.errors import Refusal, SimulatorError
from batcher.simulator.faults import FaultPlan
from batcher.simulator.journal import Journal
from batcher.simulator.service import Phase, Service, hash_body
from batcher.simulator.settings import SimulatorSettings

TEXT = "google/nano-banana-2-lite/text-to-image"
EDIT = "blackforestlabs/flux-1-kontext/max/edit"
WAN = "wan-ai/wan-3.0/image-to-video"


class World:
    def __init__(self, state_dir=None, at=1_000.0, **settings):
        self.now = at
        self.settings = SimulatorSettings(**{"latency_s": 10.0, "sigma": 0.0, **settings})
        self.journal = None if state_dir is None else Journal(state_dir)
        self.blobs = BlobStore(None if state_dir is None else state_dir / "inputs")
        plan = FaultPlan(self.settings.faults, self.settings.seed, self.now)
        self.service = Service(self.settings, lambda: self.now, plan, self.blobs, self.journal)

    def submit(self, prompt="a mug", model=TEXT, owner="me", **fields):
        return self.service.submit(owner, model, {"prompt": prompt, **fields})

    def phase(self, submission):
        return self.service.progress(submission).phase

    def close(self):
        self.blobs.close()
        if self.journal is not None:
            self.journal.close()


def refused(act):
    with pytest.raises(Refusal) as caught:
        act()
    return caught.value.status, caught.value.code


def test_a_request_waits_runs_and_succeeds_by_the_clock():
    world = World(slots=1)
    first, second = world.submit("one"), world.submit("two")
    assert world.phase(first) is Phase.IN_PROGRESS
    assert world.service.progress(second).queue_position == 1
    world.now += 10
    assert world.phase(first) is Phase.SUCCEEDED
    assert world.phase(second) is Phase.IN_PROGRESS
    world.now += 9.9
    assert world.phase(second) is Phase.IN_PROGRESS
    world.now += 0.1
    progress = world.service.progress(second)
    assert (progress.phase, progress.started_at, progress.ended_at) == (Phase.SUCCEEDED, 1_010.0, 1_020.0)


def test_wrong_ids_and_foreign_tokens_are_refused():
    world = World()
    submission = world.submit()
    assert refused(lambda: world.submit(model="no/such/model")) == (400, 400001)
    assert refused(lambda: world.service.find("me", "../etc")) == (400, 400001)
    assert refused(lambda: world.service.find("me", "unknown")) == (404, 404001)
    assert refused(lambda: world.service.find("you", submission.request_id)) == (403, 403001)
    assert world.service.find("me", submission.request_id) is submission


def test_a_wrong_body_is_refused_and_costs_nothing():
    world = World()
    assert refused(lambda: world.submit(colour="red")) == (422, None)
    assert refused(lambda: world.service.submit("me", TEXT, ["a list"])) == (422, None)
    assert (world.service.charged_usd, list(world.service.submissions)) == (0.0, [])


def test_models_outside_the_catalog_can_be_allowed():
    submission = World(accept_unknown_models=True).submit(model="luma/ray", motion=3)
    assert submission.model_id == "luma/ray"


def test_the_balance_is_spent_and_then_refuses():
    world = World(balance_usd=0.1, prices={TEXT: 0.04})
    world.submit("one")
    world.submit("two")
    assert world.service.balance_usd == 0.02
    assert refused(lambda: world.submit("three")) == (400, 400002)
    assert world.service.charged_usd == 0.08


@pytest.mark.parametrize(("charge_cancelled", "charged_usd"), [(False, 0.0), (True, 0.036)])
def test_a_queued_request_can_be_cancelled(charge_cancelled, charged_usd):
    world = World(slots=1, charge_cancelled=charge_cancelled)
    running, queued = world.submit("one"), world.submit("two")
    assert not world.service.cancel(running)
    assert world.service.cancel(queued)
    assert world.service.cancel(queued)
    assert world.phase(queued) is Phase.CANCELLED
    assert world.service.cost_usd(queued, world.service.progress(queued)) == charged_usd
    assert world.service.charged_usd == pytest.approx(0.036 + charged_usd)
    assert world.service.cancelled == 1
    world.now += 10
    assert not world.service.cancel(running)


@pytest.mark.parametrize(("settings", "charged_usd"), [({}, 0.0), ({"charge_failed": True}, 0.036)])
def test_whether_a_failed_generation_is_charged(settings, charged_usd):
    world = World(faults=["generation:fail"], **settings)
    submission = world.submit()
    world.now += 10
    assert world.phase(submission) is Phase.FAILED
    assert world.service.cost_usd(submission, world.service.progress(submission)) == charged_usd


def test_a_request_can_be_stuck_in_the_queue_or_in_its_slot():
    world = World(slots=1, faults=["generation:stuck-queued:contains=wait", "generation:stuck-running:contains=run"])
    waiting, running, behind = world.submit("wait"), world.submit("run"), world.submit("behind")
    world.now += 1e9
    assert [world.phase(one) for one in (waiting, running, behind)] == [Phase.IN_QUEUE, Phase.IN_PROGRESS, Phase.IN_QUEUE]
    assert world.service.cancel(waiting)
    assert not world.service.cancel(running)


def test_the_cost_can_come_late():
    world = World(cost_delay_s=30)
    submission = world.submit()
    for now, cost_usd in ((1_009, None), (1_010, None), (1_039, None), (1_040, 0.036)):
        world.now = now
        assert world.service.cost_usd(submission, world.service.progress(submission)) == cost_usd


def test_a_request_can_be_forgotten_some_time_after_its_end():
    world = World(retention_s=60)
    submission = world.submit()
    world.now += 69
    assert world.service.find("me", submission.request_id)
    world.now += 1
    assert refused(lambda: world.service.find("me", submission.request_id)) == (404, 404001)


def test_the_same_seed_and_requests_give_the_same_ids_and_times_whatever_their_order():
    def run(prompts, seed=1):
        world = World(seed=seed, sigma=0.35)
        return {(one.request_id, one.service_s) for one in map(world.submit, prompts)}

    assert run(["a", "b", "a"]) == run(["b", "a", "a"])
    assert len(run(["a", "a", "a"])) == 3
    assert not run(["a", "b"]) & run(["a", "b"], seed=2)


def test_running_times_are_lognormal_round_the_median_and_divided_by_the_speed():
    world = World(latency_s=20.0, sigma=0.35, speed=10.0, slots=1000)
    times = [world.submit(f"prompt {n}").service_s for n in range(600)]
    assert statistics.median(times) == pytest.approx(2.0, rel=0.06)
    assert statistics.stdev(map(math.log, times)) == pytest.approx(0.35, rel=0.1)


def test_left_alone_a_video_takes_minutes_and_an_edit_less():
    world = World(latency_s=None)
    image = "https://example.com/a.png"
    edit, video = world.submit(model=EDIT, image_url=image), world.submit(model=WAN, image_url=image)
    assert 15 <= edit.service_s <= 40
    assert 60 <= video.service_s <= 180


def test_images_leave_the_body_and_its_hash_is_that_of_what_was_sent(tmp_path):
    world = World()
    body = {"prompt": "at night", "image_url": "data:image/png;base64," + base64.b64encode(b"mug").decode()}
    submission = world.service.submit("me", EDIT, body)
    reference = submission.body["image_url"]["$blob"]
    assert world.blobs.get(reference) == b"mug"
    assert submission.body_sha256 == hash_body(dict(reversed(body.items())))
    assert submission.text == "at night\n" + reference
    world.close()
    assert world.blobs.get(reference) is None


def test_the_bill_counts_what_was_accepted_twice():
    world = World()
    once, first, again = world.submit("one"), world.submit("two"), world.submit("two")
    bill = bill_of(world.service, Traffic())
    assert (bill.accepted, bill.distinct_bodies, bill.charged_usd) == (3, 2, 0.108)
    assert [duplicate.request_ids for duplicate in bill.duplicates] == [(first.request_id, again.request_id)]
    assert bill.duplicates[0].body_sha256 == hash_body({"prompt": "two"}) != once.body_sha256


def test_everything_is_known_again_after_a_restart_and_time_has_passed(tmp_path):
    world = World(tmp_path, slots=1, faults=["generation:fail:contains=bad,variant=B"])
    one, bad, gone, last = (world.submit(word) for word in ("one", "bad", "gone", "last"))
    world.now += 5
    world.service.cancel(gone)
    before = (world.service.charged_usd, world.service.cancelled)
    world.close()

    world = World(tmp_path, at=1_025.0, slots=1)
    again = list(world.service.submissions)
    assert again == [one, bad, gone, last]
    assert [world.phase(one) for one in again] == [Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.IN_PROGRESS]
    assert (world.service.charged_usd, world.service.cancelled) == before
    assert world.submit("one").request_id not in {one.request_id for one in again}
    world.close()


def test_a_cancellation_of_something_unknown_in_the_journal_is_passed_over(tmp_path):
    (tmp_path / "journal.jsonl").write_text('{"version":1,"entry":"cancelled","request_id":"x","cancelled_at":1.0}\n')
    world = World(tmp_path)
    assert world.service.cancelled == 0
    world.close()


def test_a_submission_that_cannot_be_written_down_is_not_accepted(tmp_path, monkeypatch):
    world = World(tmp_path)

    def broken(entry):
        raise SimulatorError("full")

    monkeypatch.setattr(world.journal, "append", broken)
    with pytest.raises(SimulatorError):
        world.submit()
    assert (list(world.service.submissions), world.service.charged_usd) == ([], 0.0)
    world.close()


def answers(**settings):
    world = World(slots=1, **settings)
    return world, Answers(world.settings, world.service)


def result(world, speaker, submission, **options):
    return speaker.result(submission, world.service.progress(submission), "http://h", world.now, **{"include_cost": True, **options})


def test_the_words_on_status_and_result_are_the_documented_ones():
    world, speaker = answers()
    first, second = world.submit("one"), world.submit("two")
    base = f"http://h/v1/requests/{second.request_id}"
    assert speaker.accepted(second, "http://h") == {
        "request_id": second.request_id,
        "status_url": f"{base}/status",
        "result_url": f"{base}/result",
        "cancel_url": f"{base}/cancel",
    }
    assert speaker.status(second, world.service.progress(second), "http://h") == {
        "request_id": second.request_id,
        "status": "in_queue",
        "queue_position": 1,
        "status_url": f"{base}/status",
        "result_url": f"{base}/result",
    }
    assert speaker.status(first, world.service.progress(first), "http://h")["status"] == "in_progress"
    world.now += 10
    assert speaker.status(first, world.service.progress(first), "http://h")["status"] == "completed"
    assert result(world, speaker, first) == {
        "request_id": first.request_id,
        "model_id": TEXT,
        "status": "succeeded",
        "created_at": "1970-01-01T00:16:40.000Z",
        "finished_at": "1970-01-01T00:16:50.000Z",
        "output": {"image": f"http://h/files/{first.request_id}/output.png"},
        "cost": 0.036,
    }
    assert "cost" not in result(world, speaker, first, include_cost=False)


def test_an_early_result_is_the_state_or_an_error():
    world, speaker = answers()
    early = result(world, speaker, world.submit())
    assert (early["status"], early["finished_at"]) == ("in_progress", None)
    assert not {"output", "cost", "error"} & set(early)
    world, speaker = answers(early_result=400005)
    assert refused(lambda: result(world, speaker, world.submit())) == (400, 400005)


@pytest.mark.parametrize(("variant", "word"), [("A", "completed"), ("B", "failed")])
def test_a_failure_is_told_in_two_ways(variant, word):
    world, speaker = answers(failures=variant, faults=["generation:fail"])
    submission = world.submit()
    world.now += 10
    assert speaker.status(submission, world.service.progress(submission), "")["status"] == word
    told = result(world, speaker, submission)
    assert (told["status"], told["error"]["errorCode"], told["cost"]) == ("failed", "GENERATION_FAILED", 0.0)
    assert "output" not in told


def test_a_cancelled_request_says_so_everywhere():
    world, speaker = answers(cancelled_word="canceled")
    world.submit("one")
    queued = world.submit("two")
    done = world.service.cancel(queued)
    progress = world.service.progress(queued)
    assert speaker.cancelled(queued, progress, done=done) == {"request_id": queued.request_id, "status": "canceled", "outcome": "canceled"}
    assert speaker.status(queued, progress, "")["status"] == "canceled"
    assert result(world, speaker, queued)["status"] == "canceled"


@pytest.mark.parametrize(
    ("settings", "output"),
    [
        ({}, {"image": "1"}),
        ({"outputs": 2}, {"images": ["1", "2"]}),
        ({"output_shape": "string"}, "1"),
        ({"output_shape": "list", "outputs": 2}, ["1", "2"]),
        ({"output_shape": "url"}, {"url": "1"}),
        ({"output_shape": "url", "outputs": 2}, {"url": ["1", "2"]}),
    ],
)
def test_output_comes_in_every_shape_that_was_seen(settings, output):
    world, speaker = answers(**settings)
    submission = world.submit()
    world.now += 10
    names = speaker.file_names(submission)

    def links(shape):
        if isinstance(shape, str):
            return f"http://h/files/{submission.request_id}/{names[int(shape) - 1]}"
        return {name: links(item) for name, item in shape.items()} if isinstance(shape, dict) else [links(item) for item in shape]

    assert result(world, speaker, submission)["output"] == links(output)


def test_a_video_has_one_output_whatever_the_number_of_images():
    world, speaker = answers(outputs=3)
    submission = world.submit(model=WAN, image_url="https://example.com/a.png")
    world.now += 10
    assert result(world, speaker, submission)["output"] == {"video": f"http://h/files/{submission.request_id}/output.webm"}


@pytest.mark.parametrize(
    ("settings", "fields", "extension"),
    [({}, {"output_format": "webp"}, "webp"), ({}, {}, "png"), ({"art": "plain"}, {"output_format": "jpeg"}, "png")],
)
def test_the_name_of_a_file_follows_the_format_that_was_asked_for(settings, fields, extension):
    world, speaker = answers(**settings)
    submission = world.submit(model="openai/gpt-image-2/text-to-image", **fields)
    assert speaker.file_names(submission) == [f"output.{extension}"]


def test_links_can_expire_and_are_renewed_by_another_result():
    world, speaker = answers(link_lifetime_s=60)
    submission = world.submit()
    world.now += 10

    def link():
        query = result(world, speaker, submission)["output"]["image"].partition("?")[2]
        return dict(pair.split("=") for pair in query.split("&"))

    def works(query):
        return speaker.link_works(submission, "output.png", query["expires"], query["signature"], world.now)

    old = link()
    assert works(old)
    assert not works({**old, "expires": "9999999999999"})
    assert not works({"expires": "", "signature": ""})
    world.now += 60
    assert not works(old)
    assert works(link())


def test_a_duplicated_prompt_for_two_models_is_no_duplicate():
    world = World()
    world.submit("one")
    world.submit("one", model="openai/gpt-image-2/text-to-image")
    assert bill_of(world.service, Traffic()).duplicates == ()
