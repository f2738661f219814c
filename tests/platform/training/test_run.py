from pathlib import Path

import pytest

from legan.platform.errors import ConfigError, LeganError, TrackingError
from legan.platform.settings import IdentitySettings
from legan.platform.training.loop import StoppedEarly
from legan.platform.training.run import Run, raise_status, write_status


@pytest.mark.parametrize(
    ("ended", "raised"),
    [
        (StoppedEarly(), StoppedEarly),
        (LeganError("the loss became nan"), LeganError),
        (ConfigError(["one", "two"]), LeganError),
        (TrackingError("another process holds the record"), TrackingError),  # which is worth another try
    ],
)
def test_whoever_started_workers_is_told_what_ended_them(ended: Exception, raised: type[Exception], tmp_path: Path) -> None:
    run = Run(tmp_path, "identity", IdentitySettings(data=tmp_path, steps=1))
    write_status(run, ended)  # type: ignore[arg-type]
    with pytest.raises(raised) as caught:
        raise_status(run)
    assert type(caught.value) is raised
    assert str(caught.value) == str(ended)
    write_status(run, None)
    raise_status(run)


def test_workers_that_left_no_word_are_no_success(tmp_path: Path) -> None:
    with pytest.raises(LeganError, match="ended without a word; continue it with --resume"):
        raise_status(Run(tmp_path, "identity", IdentitySettings(data=tmp_path, steps=1)))
