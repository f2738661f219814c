import copy

from legan.platform.card.card import model_card

RECORD = {
    "image_size": 32,
    "networks": {"generator": {}, "quality": {}, "predictor": {}, "matcher": {}},
    "schema": {"expressions": ["neutral", "smile"], "lightings": ["any"]},
    "info": {
        "run": "first", "step": "680", "git_commit": "765478c0123456789", "created_by": "legan 0.1.0",
        "data": {
            "name": "faces", "source": "yale", "people": 12, "licence": "research only",
            "landmarks": {"name": "a mean face shape", "licence": "MIT"},
        },
        "colours": ["white balance tungsten", "white balance shade"],
        "quality": {"raters": "simulated", "images": 240, "mean": 4.8, "sd": 1.1, "fake_mean": 6.7, "split": "val"},
        "predictor": {
            "network": "discriminator", "weights": "ab", "expression_accuracy": 0.931, "faces": 240, "split": "val",
        },
        "matcher": {
            "network": "T", "weights": "cd", "threshold": 0.6214, "false_positive_rate": 0.01, "split": "val", "pairs": 8640,
        },
    },
}  # fmt: skip


def test_a_card_says_what_the_model_was_made_of_and_how_it_was_measured():
    card = model_card(RECORD, "LEGAN model")
    assert card.splitlines()[0] == "# LEGAN model"
    for line in (
        "- **Expressions**: neutral, smile",
        "- **Lightings**: not changed",
        "- **Data**: faces (source yale), 12 people in the training split",
        "- **Licence of the data**: research only",
        "- **Landmarks**: a mean face shape, licence MIT",
        "- **Colours of training images**: as they are, white balance tungsten, white balance shade",
        "- **Training**: run first, step 680, commit 765478c01234, by legan 0.1.0",
        "- **Ratings by Q**: simulated raters; real images: 4.8 ± 1.1 (240 of the validation split), this model's outputs: 6.7",
        "- **Reads a face's own classes**: by D's head, right for expression 93.1% of 240 faces of the validation split",
        "- **Tells people apart**: by T; 1% of 8,640 pairs of strangers of the validation split reach a similarity of 0.621",
    ):
        assert line in card.splitlines()
    assert card.splitlines()[-1].startswith("**Warning**: Q rates this model's outputs above real images (6.7 against 4.8")


def test_what_was_not_measured_is_said():
    record = copy.deepcopy(RECORD)
    record["info"] |= {"quality": {"raters": "people"}, "predictor": {"network": "judge"}, "matcher": {"network": "matcher"}}
    record["info"]["data"] |= {"licence": None, "landmarks": None}
    record["info"]["colours"] = []
    card, missing = model_card(record, "LEGAN model"), "not measured, since nobody or too few people were held out"
    assert f"- **Ratings by Q**: human raters; no real images were rated ({missing})" in card
    assert f"- **Reads a face's own classes**: yes; {missing}" in card
    assert f"- **Tells people apart**: yes; {missing}" in card
    assert "- **Licence of the data**: nobody has said one" in card
    assert "- **Landmarks**: unknown" in card
    assert "- **Colours of training images**: as they are\n" in card
    assert "Warning" not in card


def test_a_model_of_an_earlier_version_has_a_card_too():
    card = model_card(RECORD | {"networks": {"generator": {}}, "info": {}}, "StarGAN model")
    assert "- **Data**: unknown" in card
    assert "- **Ratings by Q**: none, there is no Q" in card
    assert "- **Reads a face's own classes**: no" in card
    rated = RECORD | {"networks": {"generator": {}, "quality": {}}, "info": {"simulated_ratings": True}}
    assert "- **Ratings by Q**: simulated raters; no real images were rated\n" in model_card(rated, "LEGAN model")
