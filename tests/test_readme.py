"""README is true: the demonstration ends with its table, and its commands print what it says."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from program import Answer, run_program

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    """The code after a marker."""
    found = re.search(rf"<!-- {name} -->\n```\w*\n(.*?)```", README, re.DOTALL)
    assert found, name
    return found[1]


def words_and_numbers(text: str) -> list[str | float]:
    """What a text says, whatever its spacing."""
    return [_value(word) for word in text.split()]


def _value(word: str) -> str | float:
    plain = word.strip("%,()").replace(",", "")
    try:
        return float(plain)
    except ValueError:
        return word


def assert_says(answer: str, expected: str) -> None:
    """The same words, and numbers equal to what rounding on another processor may change.

    Of regions that hold 90 % the area changes most: one thread or two make 8 % of difference.
    """
    found, wanted = words_and_numbers(answer), words_and_numbers(expected)
    assert len(found) == len(wanted), answer
    for one, other, unit in zip(found, wanted, [*wanted[1:], ""], strict=True):
        rel = 0.15 if unit in ("km²", "km²,") else 0.03
        assert one == (pytest.approx(other, rel=rel, abs=1.01) if isinstance(other, float) else other)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """A folder in which `make demo` has run."""
    folder = tmp_path_factory.mktemp("readme")
    return folder, run_program(folder, "demo", columns=80)


def test_the_demonstration_prints_its_table_and_leaves_a_report(demo: tuple[Path, Answer]) -> None:
    folder, answer = demo
    assert answer.returncode == 0, answer.stderr
    table = block("demo")
    rows = [line for line in table.splitlines() if "–" not in line and "─" not in line]
    for row in rows:
        label = row.split("  ")[0].strip() or row.split()[0]
        printed = [line for line in answer.stdout.splitlines() if line.strip().startswith(label)]
        assert any(_agree(row, line) for line in printed), row
    page = (folder / "demo" / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/") > 30


def _agree(row: str, line: str) -> bool:
    try:
        assert_says(line, row)
    except AssertionError:
        return False
    return True


def test_the_session_prints_what_it_says(demo: tuple[Path, Answer]) -> None:
    folder, _ = demo
    commands = re.split(r"^\$ ", block("session"), flags=re.MULTILINE)[1:]
    assert commands[0].strip() == "export PLACEPRINT_HOME=demo/home"
    assert len(commands) == 5
    for command in commands[1:]:
        typed, _, expected = command.partition("\n")
        program, *words = shlex.split(typed)
        assert program == "placeprint"
        answer = run_program(folder, *words, home=folder / "demo" / "home", columns=100)
        assert_says(answer.stdout, expected)


def test_the_python_lines_run(
    demo: tuple[Path, Answer], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = demo
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PLACEPRINT_HOME", "demo/home")
    exec(compile(block("python"), "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert_says(lines[3], "United States 74%, Mexico 16%, remote or at sea 5%")
    assert_says(lines[4], "within 2,500 km of the best point: 92%")


def test_the_curl_lines_print_what_they_say(demo: tuple[Path, Answer]) -> None:
    if not (shutil.which("curl") and shutil.which("jq")):
        pytest.skip("curl or jq is not here")
    folder, _ = demo
    env = {**os.environ, "PLACEPRINT_HOME": "demo/home", "PLACEPRINT_PRECISION": "exact"}
    command = [sys.executable, "-m", "placeprint.api.cli", "serve", "--gallery", "demo", "--port", "0"]
    with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = re.search(r"http://\S+:\d+", server.stdout.readline())
            assert url is not None
            for line in re.split(r"^\$ ", block("curl"), flags=re.MULTILINE)[1:]:
                typed, _, expected = line.partition("\n")
                typed = typed.replace("http://127.0.0.1:8000", url[0])
                answer = subprocess.run(
                    typed, shell=True, cwd=folder, capture_output=True, text=True, check=True
                )
                assert_says(_spaced(answer.stdout), _spaced(expected))
        finally:
            server.terminate()


def _spaced(text: str) -> str:
    """JSON with its signs set apart, so that words and numbers can be told."""
    return re.sub(r"([\[\]{}:,])", r" \1 ", text)


def test_the_python_lines_on_places_print_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    lines = block("places")
    exec(compile(lines, "README.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == re.findall(r"# -> (.*)", lines)


def test_every_command_in_readme_exists() -> None:
    from placeprint.api.cli import app

    verbs = {
        info.name or info.callback.__name__.replace("_", "-")
        for info in app.registered_commands
        if info.callback
    }
    verbs |= {group.name for group in app.registered_groups if group.name}
    named = set(re.findall(r"placeprint ([a-z]+(?:-[a-z]+)*)", README)) - {"import"}
    assert named <= verbs
