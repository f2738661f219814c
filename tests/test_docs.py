"""What the documentation says of files and pages is there."""

import importlib
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]

every_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.name if page.parent == REPOSITORY else f"docs/{page.name}"
)


def test_readme_is_one_page():
    assert len((REPOSITORY / "README.md").read_text().split()) <= 900


def test_the_index_leads_to_every_page():
    index = REPOSITORY / "docs" / "README.md"
    assert {page for page in PAGES if page.parent == index.parent} - {index} <= {target for target, _ in links(index)}


@every_page
def test_links_lead_to_files_and_headings(page):
    for target, heading in links(page):
        assert target.exists(), target
        assert not heading or heading in anchors(target), f"{target.name}#{heading}"


def test_what_scripts_and_pages_import_is_there():
    scripts = [REPOSITORY / "quickstart.sh", *(REPOSITORY / "docs").glob("*.py"), *(REPOSITORY / "benchmarks").rglob("*.py")]
    found = {(file.name, *names) for file in (*PAGES, *scripts) for names in imported(file.read_text())}
    assert {file for file, _, _ in found} >= {"quickstart.sh", "client.md", "train_step.py"}
    for file, module, name in sorted(found):
        assert hasattr(importlib.import_module(module), name), f"{file}: from {module} import {name}"


@every_page
def test_files_and_what_they_hold_are_where_a_page_says(page):
    for path, names in re.findall(r"`((?:\w+/)+[\w.]+\.(?:py|ya?ml|json))(?:: ([\w, ]+))?`", page.read_text()):
        file = REPOSITORY / path
        assert file.exists(), path
        for name in re.findall(r"\w+", names):
            assert re.search(rf"^(?:def|class) {name}\b", file.read_text(), re.MULTILINE), f"{path}: {name}"


def links(page: Path) -> list[tuple[Path, str]]:
    """File and heading of each link of a page to another place of the repository."""
    found = re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text())
    return [((page.parent / path).resolve() if path else page, heading) for path, heading in found]


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub makes addresses of them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def imported(text: str) -> list[tuple[str, str]]:
    """Module and name of everything that a text imports from this package."""
    return [
        (module, name)
        for module, names in re.findall(r"from (legan(?:\.\w+)*) import (\([^)]*\)|[^\n;]+)", text)
        for name in re.findall(r"(\w+)(?: as \w+)?", names)
    ]
