"""What stands in several files of the project stands alike in all of them."""

import pathlib
import re
import tomllib

import keras_mixup

ROOT = pathlib.Path(__file__).parents[2]


def text(name):
    return (ROOT / name).read_text()


def test_every_check_uses_one_version_of_each_tool():
    groups = tomllib.loads(text("pyproject.toml"))["dependency-groups"]
    pinned = dict(tool.split("==") for tool in groups["lint"] if "==" in tool)

    hooks = re.findall(r"(ruff|mypy)\n    rev: v(.*)", text(".pre-commit-config.yaml").replace("-pre-commit", ""))

    assert dict(hooks) == pinned


def test_the_citation_names_the_version_of_the_package():
    assert f"\nversion: {keras_mixup.__version__}\n" in text("CITATION.cff")


def test_contributing_names_the_command_of_readme():
    command = re.search(r"\.venv/bin/(pytest .*)", text("README.md"))[1]

    assert f"`{command}`" in text("CONTRIBUTING.md")
