from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import typer
from typer.testing import CliRunner

from legan.platform.commands.weights import mount
from legan.platform.errors import ConfigError, WeightsError
from legan.platform.weights import PRETRAINED, check_weights, fetch_weights, find_weights, weights_folder

CONTENT = b"some weights"


def test_weights_are_found_in_the_named_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGAN_WEIGHTS", str(tmp_path))
    (tmp_path / PRETRAINED["alexnet"].file).touch()
    assert find_weights("alexnet") == tmp_path / "alexnet-owt-7be5be79.pth"


@pytest.mark.parametrize("name", PRETRAINED)
def test_missing_weights_say_which_file_from_where_into_which_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LEGAN_WEIGHTS", raising=False)
    monkeypatch.chdir(tmp_path)
    weights = PRETRAINED[name]
    with pytest.raises(WeightsError) as caught:
        find_weights(name)
    for part in (weights.file, weights.origin, weights.url, str(tmp_path / "weights"), "LEGAN_WEIGHTS"):
        assert part in str(caught.value)
    assert weights_folder() == tmp_path / "weights"


def test_unknown_weights_name_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown weights 'vgg'; known: facenet, inception, alexnet"):
        find_weights("vgg")


def test_the_files_are_the_ones_the_libraries_load() -> None:
    from facenet_pytorch.models import inception_resnet_v1
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
    from torchvision.models import AlexNet_Weights

    assert PRETRAINED["inception"].url == URL_INCEPTION_V3
    assert PRETRAINED["alexnet"].url == AlexNet_Weights.IMAGENET1K_V1.url
    assert PRETRAINED["facenet"].url in Path(inception_resnet_v1.__file__).read_text()
    assert all(weights.url.endswith(weights.file) for weights in PRETRAINED.values())


# Checksums and downloads


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Publishes CONTENT as alexnet's weights, and records what is asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200 if self.path == "/alexnet" else 404)
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *arguments: object) -> None:
            pass

    monkeypatch.setenv("LEGAN_WEIGHTS", str(tmp_path / "weights"))
    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        known = replace(
            PRETRAINED["alexnet"], url=f"http://127.0.0.1:{http.server_port}/alexnet", sha256=sha256(CONTENT).hexdigest()
        )
        monkeypatch.setitem(PRETRAINED, "alexnet", known)
        yield asked
        http.shutdown()


def test_the_checksum_decides_whether_a_file_is_the_published_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGAN_WEIGHTS", str(tmp_path))
    weights = PRETRAINED["inception"]
    (tmp_path / weights.file).write_bytes(CONTENT)
    with pytest.raises(WeightsError, match="is not the published file") as caught:
        check_weights("inception")
    for part in (weights.file, weights.origin, weights.url, str(tmp_path), "legan weights inception"):
        assert part in str(caught.value)
    monkeypatch.setitem(PRETRAINED, "inception", replace(weights, sha256=sha256(CONTENT).hexdigest()))
    assert check_weights("inception") == tmp_path / weights.file


def test_published_names_carry_the_start_of_the_checksum() -> None:
    for name in ("inception", "alexnet"):
        assert Path(PRETRAINED[name].file).stem.endswith(f"-{PRETRAINED[name].sha256[:8]}")
    assert all(len(weights.sha256) == 64 or len(weights.git_blob) == 40 for weights in PRETRAINED.values())


def test_a_download_is_kept_and_not_repeated(server: list[str], tmp_path: Path) -> None:
    path = fetch_weights("alexnet")
    assert path.read_bytes() == CONTENT
    assert path.parent == tmp_path / "weights"
    assert fetch_weights("alexnet") == path
    assert server == ["/alexnet"]


def test_a_download_with_another_checksum_is_not_kept(server: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRETRAINED, "alexnet", replace(PRETRAINED["alexnet"], sha256="0" * 64))
    with pytest.raises(WeightsError, match=r"is not the published file .* and was not kept"):
        fetch_weights("alexnet")
    assert list((tmp_path / "weights").iterdir()) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/alexnet", None])
def test_a_failed_download_says_what_to_do(
    url: str | None, server: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = PRETRAINED["alexnet"]
    monkeypatch.setitem(PRETRAINED, "alexnet", replace(wanted, url=url or wanted.url + "-gone"))
    with pytest.raises(WeightsError, match="cannot be downloaded") as caught:
        fetch_weights("alexnet")
    for part in (wanted.file, wanted.origin, str(tmp_path / "weights")):
        assert part in str(caught.value)
    assert list((tmp_path / "weights").iterdir()) == []


def test_the_command_fetches_what_it_is_told_and_knows_the_names(server: list[str], tmp_path: Path) -> None:
    app = typer.Typer()
    app.callback()(lambda: None)
    mount(app)
    with pytest.raises(ConfigError) as caught:
        CliRunner().invoke(app, ["weights", "vgg", "alexnet", "resnet"], catch_exceptions=False)
    assert len(caught.value.problems) == 2
    assert server == []
    result = CliRunner().invoke(app, ["weights", "alexnet"], catch_exceptions=False)
    assert result.output == f"alexnet: {tmp_path / 'weights' / PRETRAINED['alexnet'].file}\n"
