import logging
from typing import Any

import pytest
from pydantic import ValidationError

from legan.serve.deploy import settings as settings_module
from legan.serve.deploy.settings import DeploymentSettings, ServeSettings


@pytest.fixture(autouse=True)
def _untold() -> None:
    settings_module._tell.cache_clear()


def test_old_words_are_read_and_each_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    old = {
        "batch_size": 32, "batch_wait_ms": 5, "generator": {"replicas": 2, "most": 4, "gpus": 0.5, "cpus": 1},
        "quality": {"replicas": 3, "ongoing": 8, "queued": 9},
    }  # fmt: skip
    with caplog.at_level(logging.WARNING, "legan.serve"):
        settings = ServeSettings.model_validate(old)
        again = ServeSettings.model_validate(old)
    assert settings == again
    assert (settings.max_batch_size, settings.batch_wait_timeout_s) == (32, 0.005)
    assert settings.generator == DeploymentSettings(min_replicas=2, max_replicas=4, num_gpus=0.5, num_cpus=1)
    assert settings.quality == DeploymentSettings(min_replicas=3, max_ongoing_requests=8, max_queued_requests=9)
    assert len(caplog.messages) == len(settings_module.OLD_WORDS) == 8
    assert "the serve setting replicas is called min_replicas now; the old name is still read." in caplog.messages
    assert (
        "the serve setting batch_wait_ms is called batch_wait_timeout_s now and is in seconds; the old name is still read."
        in (caplog.messages)
    )


def test_new_words_are_no_news(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "legan.serve"):
        settings = ServeSettings(max_batch_size=32, generator=DeploymentSettings(min_replicas=2, max_replicas=4))
        assert ServeSettings.model_validate(settings.model_dump()) == settings
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"generator": {"min_replicas": 3, "max_replicas": 2}}, "max_replicas must not be smaller than min_replicas"),
        ({"generator": {"replicas": 3, "most": 2}}, "max_replicas must not be smaller than min_replicas"),
        ({"generator": {"replicas": 3, "min_replicas": 2}}, "replicas is the old name of min_replicas; leave it out"),
        ({"batch_size": 1}, "max_batch_size"),
        ({"max_batch_size": 1}, "max_batch_size"),
        ({"batch_wait_ms": "soon"}, "batch_wait_timeout_s"),
        ({"batch_wait_ms": 5000}, "less than or equal to 1"),
        ({"generator": "two"}, "generator"),
        ({"generator": {"most_replicas": 2}}, "most_replicas"),
    ],
)
def test_what_cannot_be_used_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ServeSettings.model_validate(values)


def test_what_is_no_mapping_is_no_setting() -> None:
    with pytest.raises(ValidationError, match="valid dictionary or instance of ServeSettings"):
        ServeSettings.model_validate(["replicas"])


def test_origins_are_brought_to_the_form_of_browsers_or_refused() -> None:
    settings = ServeSettings(cors_origins=("https://App.example.org:443", "http://localhost:3000"))
    assert settings.cors_origins == ("https://app.example.org", "http://localhost:3000")
    assert ServeSettings().cors_origins == ()
    with pytest.raises(ValidationError, match=r"'app\.example\.org' is no origin; write https://HOST"):
        ServeSettings(cors_origins=("app.example.org",))
