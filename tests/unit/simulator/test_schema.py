import base64

import pytest

from batcher.simulator.catalog import model_cards, unlisted_card
from batcher.simulator.schema import decode_data_uri, faults_of

CARDS = model_cards()
KONTEXT = CARDS["blackforestlabs/flux-1-kontext/max/edit"]
KLING = CARDS["kling/kling-3.0/standard/text-to-video"]
SEEDREAM = CARDS["bytedance/seedream-5.0-pro/image-to-image"]
WAN = CARDS["wan-ai/wan-3.0/image-to-video"]
DATA_URI = "data:image/png;base64," + base64.b64encode(b"picture").decode()
EDIT = {"prompt": "at night", "image_url": "https://example.com/mug.png"}


def kinds(card, body, **options):
    return [(*detail["loc"][1:], detail["type"]) for detail in faults_of(card, body, accept_data_uris=options.get("accept_data_uris", True))]


@pytest.mark.parametrize(
    ("card", "body"),
    [
        (KONTEXT, EDIT),
        (KONTEXT, {**EDIT, "seed": 7, "aspect_ratio": "21:9", "image_url": DATA_URI}),
        (KONTEXT, {**EDIT, "seed": 7.0}),
        (KLING, {"prompt": "waves", "cfg_scale": 1, "duration": 15, "negative_prompt": None}),
        (SEEDREAM, {"prompt": "two mugs", "image": ["http://127.0.0.1:9/a.png", DATA_URI]}),
        (WAN, {"prompt": "turn", "image_url": DATA_URI, "end_image_url": None, "seed": None}),
    ],
)
def test_good_bodies_pass(card, body):
    assert kinds(card, body) == []


@pytest.mark.parametrize(
    ("card", "body", "expected"),
    [
        (KONTEXT, {}, [("prompt", "missing"), ("image_url", "missing")]),
        (KONTEXT, [], [("dict_type",)]),
        (KONTEXT, {**EDIT, "promt": "x"}, [("promt", "extra_forbidden")]),
        (KONTEXT, {**EDIT, "prompt": 3}, [("prompt", "string_type")]),
        (KONTEXT, {**EDIT, "prompt": " "}, [("prompt", "string_too_short")]),
        (KONTEXT, {**EDIT, "prompt": None}, [("prompt", "string_type")]),
        (KONTEXT, {**EDIT, "seed": True}, [("seed", "integer_type")]),
        (KONTEXT, {**EDIT, "seed": 1.5}, [("seed", "integer_type")]),
        (KONTEXT, {**EDIT, "seed": -1}, [("seed", "greater_than_equal")]),
        (KONTEXT, {**EDIT, "aspect_ratio": "16x9"}, [("aspect_ratio", "enum")]),
        (KONTEXT, {**EDIT, "image_url": "photos/mug.jpg"}, [("image_url", "url_parsing")]),
        (KONTEXT, {**EDIT, "image_url": "data:image/png;base64,@@"}, [("image_url", "data_uri")]),
        (KLING, {"prompt": "x", "cfg_scale": 1.5, "duration": 2}, [("cfg_scale", "less_than_equal"), ("duration", "enum")]),
        (SEEDREAM, {"prompt": "x", "image": "https://example.com/a.png"}, [("image", "list_type")]),
        (SEEDREAM, {"prompt": "x", "image": []}, [("image", "too_short")]),
        (SEEDREAM, {"prompt": "x", "image": [DATA_URI] * 11}, [("image", "too_long")]),
        (SEEDREAM, {"prompt": "x", "image": [DATA_URI, 4]}, [("image", 1, "string_type")]),
    ],
)
def test_every_fault_of_a_body_is_named_with_its_place(card, body, expected):
    assert kinds(card, body) == expected


def test_data_uris_can_be_refused():
    assert kinds(KONTEXT, {**EDIT, "image_url": DATA_URI}, accept_data_uris=False) == [("image_url", "url_scheme")]


def test_a_model_outside_the_catalog_takes_any_field_but_no_broken_image():
    card = unlisted_card("luma/ray-3/image-to-video")
    assert card.task == "video"
    assert kinds(card, {"prompt": "x", "motion": 4, "image": [DATA_URI]}) == []
    assert kinds(card, {"image_url": "mug.png"}) == [("image_url", "url_parsing")]


def test_data_uris_are_decoded_strictly():
    assert decode_data_uri(DATA_URI) == b"picture"
    assert decode_data_uri("https://example.com") is None
    assert decode_data_uri("data:image/png;base64,a") is None
    assert decode_data_uri("data:image/png;base64,\ud800") is None


def test_prices_follow_the_unit():
    assert WAN.price_usd({"duration": 10}, 0.1, 1) == 1.0
    assert WAN.price_usd({}, 0.1, 1) == 0.5
    assert KONTEXT.price_usd({}, 0.08, 3) == 0.24


def test_the_catalog_shows_the_quirks_of_the_real_schemas():
    properties = {name: field for card in CARDS.values() for name, field in card.input_schema["properties"].items()}
    assert KLING.input_schema["properties"]["cfg_scale"]["type"] == "float"
    assert WAN.input_schema["properties"]["end_image_url"]["default"] is None
    assert "items" not in SEEDREAM.input_schema["properties"]["image"]
    assert SEEDREAM.input_schema["properties"]["image"]["validations"][0]["validation_rule"] == "file_size_mb<"
    assert {"image_uri", "image_uris"} <= {field.get("format") for field in properties.values()}
