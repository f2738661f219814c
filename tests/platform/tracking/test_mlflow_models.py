import io
import json
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

import legan
from legan.platform.errors import TrackingError
from legan.platform.mark import read_mark
from legan.platform.tracking.database import registered_version
from legan.platform.tracking.mlflow_access import model_version, resolve_model
from legan.platform.tracking.mlflow_models import find_files, find_version
from legan.platform.tracking.mlflow_store import connect
from legan.platform.tracking.places import default_tracking_uri
from legan.platform.tracking.tracker import Tracker


@pytest.fixture(scope="module")
def registered(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The runs' home after a run registered its model twice, and the run's id."""
    home = tmp_path_factory.mktemp("registered")
    run = Tracker(home / "run", experiment="e", run_name="r", params={}, tags={}, uri=f"sqlite:///{home / 'mlflow.db'}")
    run.register_model(model, description="LEGAN trained on faces.")
    run.register_model(model)
    run.log_artifact(model, "plain")
    assert run.close(timeout_s=120) == 0
    assert not (home / "run/tracking.rejected.jsonl").exists()
    return home, str(run.run_id)


@pytest.fixture
def store(registered: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    monkeypatch.setenv("LEGAN_HOME", str(registered[0]))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return mlflow.MlflowClient(tracking_uri=default_tracking_uri())


@pytest.mark.usefixtures("store")
def test_an_alias_is_told_by_its_version_and_run(registered: tuple[Path, str]) -> None:
    assert model_version("models:/legan@champion") == ("legan", "1", registered[1])
    assert model_version("models:/legan/2")[:2] == ("legan", "2")
    with pytest.raises(TrackingError, match="models:/legan/3 is unknown"):
        model_version("models:/legan/3")


def test_registered_models_are_code_and_tensors_without_pickle(store: mlflow.MlflowClient, registered: tuple[Path, str]) -> None:
    folder = resolve_model("models:/legan@champion").parents[1]
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"MLmodel", "pyfunc_model.py", "input_example.json", "artifacts/model/generator.safetensors"} <= files
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".pt", ".pth", ".bin"))]
    about = yaml.safe_load((folder / "MLmodel").read_text())
    flavor = about["flavors"]["python_function"]
    assert flavor["loader_module"] == "mlflow.pyfunc.loaders.code_model"
    assert "python_model" not in flavor
    assert [column["name"] for column in json.loads(about["signature"]["inputs"])] == ["image", "expression", "lighting"]
    assert about["saved_input_example_info"]["artifact_path"] == "input_example.json"
    assert about["run_id"] == registered[1]
    assert f"legan=={legan.__version__}" in (folder / "requirements.txt").read_text()


@pytest.mark.usefixtures("store")
def test_a_local_model_is_found_without_mlflow(registered: tuple[Path, str], tmp_path: Path) -> None:
    database = registered[0] / "mlflow.db"
    for uri in ("models:/legan@champion", "models:/legan/1", "models:/legan/2"):
        wanted = find_files(connect(f"sqlite:///{database}"), uri, tmp_path)
        found = registered_version(database, uri)
        assert found is not None
        version = find_version(mlflow.MlflowClient(f"sqlite:///{database}"), uri)
        assert (found[0], found[1] / "artifacts" / wanted.name) == (version, wanted)
        assert resolve_model(uri) == wanted
    for uri in ("models:/legan@none", "models:/legan/9", "models:/legan/x", "models:/other@champion", "models:/legan"):
        assert registered_version(database, uri) is None
    assert registered_version(tmp_path / "none.db", "models:/legan@champion") is None

    code = (
        "import sys; from legan.serve.chosen import choose_model; print(choose_model('models:/legan@champion').folder);"
        "assert not {'mlflow', 'sqlalchemy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(resolve_model("models:/legan@champion"))


def test_a_deleted_version_is_found_by_nobody(store: mlflow.MlflowClient, registered: tuple[Path, str]) -> None:
    database = registered[0] / "mlflow.db"
    made = store.create_model_version("legan", "file:///nowhere")
    assert registered_version(database, f"models:/legan/{made.version}") is None  # no files there
    store.delete_model_version("legan", made.version)
    assert registered_version(database, f"models:/legan/{made.version}") is None


def test_the_first_version_is_the_champion_and_stays_it(store: mlflow.MlflowClient, model: Path) -> None:
    aliases = store.get_registered_model("legan").aliases
    assert {alias: int(version) for alias, version in aliases.items()} == {"champion": 1}
    versions = store.search_model_versions("name = 'legan'")
    card = (model / "README.md").read_text()
    described = {1: f"LEGAN trained on faces.\n\n{card}", 2: card}
    assert {int(each.version): each.description for each in versions} == described


@pytest.mark.usefixtures("store")
def test_mlflow_loads_the_model_and_translates(registered: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow.set_tracking_uri(default_tracking_uri())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", default_tracking_uri())  # set_tracking_uri sets it too; undone after the test
    loaded = mlflow.pyfunc.load_model("models:/legan@champion")
    faces = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    table = pd.DataFrame(
        {"image": [png(face) for face in faces], "expression": ["smile", "neutral"], "lighting": ["left", "front"]}
    )
    answer = loaded.predict(table)
    translated = np.stack([np.asarray(Image.open(io.BytesIO(data))) for data in answer["image"]])
    wanted = legan.load("models:/legan@champion").translate(faces, ["smile", "neutral"], ["left", "front"])
    np.testing.assert_array_equal(translated, wanted)
    with Image.open(io.BytesIO(answer["image"][0])) as image:
        assert read_mark(image) == legan.load(resolve_model("models:/legan@champion")).mark
    assert loaded.predict(loaded.input_example).shape == (1, 1)
    mlflow.set_tracking_uri(None)


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="png")
    return buffer.getvalue()


@pytest.mark.usefixtures("store")
def test_models_are_found_by_alias_version_and_run(registered: tuple[Path, str], model: Path) -> None:
    weights = (model / "generator.safetensors").read_bytes()
    found = [resolve_model(uri) for uri in ("models:/legan@champion", "models:/legan/2", f"runs:/{registered[1]}/plain/model")]
    assert len(set(found)) == 3
    assert all((folder / "generator.safetensors").read_bytes() == weights for folder in found)


@pytest.mark.usefixtures("store")
def test_a_runs_model_is_fetched_once(registered: tuple[Path, str]) -> None:
    uri = f"runs:/{registered[1]}/plain/model"
    first = resolve_model(uri)
    assert first.is_relative_to(registered[0] / "downloads")
    written = (first / "model.json").stat().st_mtime_ns
    assert resolve_model(uri) == first
    assert (first / "model.json").stat().st_mtime_ns == written
    assert [path.name for path in first.parent.iterdir()] == [first.name]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("models:/legan@best", "models:/legan@best is unknown: legan has the aliases @champion and the versions 1, 2."),
        ("models:/legan/7", "legan has the aliases @champion and the versions 1, 2."),
        ("models:/legan@1x", "legan has the aliases @champion"),
        ("models:/legan", "legan has the aliases @champion"),
        ("models:/other@champion", "there is no registered model 'other'; registered models: legan."),
        ("models:/", "is unknown: there is no registered model ''"),
        (f"runs:/{'0' * 32}/model", "cannot be fetched from the MLflow store: "),
    ],
)
def test_unknown_models_say_what_is_known(uri: str, says: str) -> None:
    with pytest.raises(TrackingError) as caught:
        resolve_model(uri)
    assert says in str(caught.value)


def test_a_run_that_holds_no_model_says_so(store: mlflow.MlflowClient, registered: tuple[Path, str]) -> None:
    store.log_text(registered[1], "x", "notes/a.txt")
    with pytest.raises(TrackingError, match=r"is no LEGAN model: there is no model\.json in"):
        resolve_model(f"runs:/{registered[1]}/notes")
    store.log_text(registered[1], "{}", "notes/model.json")  # a run that goes on may have one later
    assert (resolve_model(f"runs:/{registered[1]}/notes") / "a.txt").is_file()


def test_looking_for_a_model_makes_no_store(home: Path) -> None:
    with pytest.raises(TrackingError, match=r"nothing has been recorded yet in .*mlflow\.db"):
        resolve_model("models:/legan@champion")
    assert not home.exists()


def test_a_server_that_is_away_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(TrackingError, match="models:/legan@champion cannot be fetched from the MLflow store"):
        resolve_model("models:/legan@champion")


def test_a_model_file_that_says_nothing_is_set_aside(tmp_path: Path, home: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.json").write_text("{}")
    said: list[str] = []
    run = Tracker(home / "run", experiment="e", run_name="r", params={}, tags={}, say=said.append)
    run.register_model(tmp_path / "model")
    assert run.close(timeout_s=120) == 0
    assert "does not say the image size and schema of a model" in said[0]
