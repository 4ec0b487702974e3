"""run.py's decisions, without a network: pip and venv are replaced by records of what would have been called."""

from __future__ import annotations

import ast
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = ("requirements.txt", "requirements-dev.txt", "train/requirements.txt", "constraints.txt")


@pytest.fixture
def run(monkeypatch):
    """A module of its own for every test, without this machine's settings."""
    monkeypatch.delenv("GVR_TORCH_INDEX", raising=False)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    spec = importlib.util.spec_from_file_location("gvr_run", ROOT / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path):
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"# {name}\n")
    return tmp_path


class Machine:
    """Stands for the machine: Pythons by command name, a `.venv` that appears when made, and every call started."""

    def __init__(self, root, run):
        self.root, self.run = root, run
        self.running, self.venv, self.others = (3, 11), None, {}
        self.calls, self.made, self.code = [], [], 0
        self.import_error = ""

    def version_of(self, command, imports="sys"):
        return self.venv if command[0] == str(self.run.venv_python(self.root)) else self.others.get(command[-1])

    def subprocess_run(self, command, **_):
        assert command[-4:-1] == ["-m", "venv", "--clear"]
        self.made.append(command[0])
        python = self.run.venv_python(self.root)
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()
        self.venv = self.others.get(command[0], self.running)
        return subprocess.CompletedProcess(command, 0, "", "")

    def call(self, command, cwd=None, env=None):
        self.calls.append((command, cwd, env))
        return self.code

    def ask(self, command, code):
        return subprocess.CompletedProcess(command, int(bool(self.import_error)), "", self.import_error)

    def commands(self):
        """The calls since the last question, without the interpreter's path."""
        python = str(self.run.venv_python(self.root))
        assert all(command[0] == python for command, _, _ in self.calls)
        commands, self.calls = [" ".join(command[1:]) for command, _, _ in self.calls], []
        return commands


@pytest.fixture
def machine(run, root, monkeypatch):
    machine = Machine(root, run)
    monkeypatch.setattr(run, "running", lambda: machine.running)
    monkeypatch.setattr(run, "version_of", machine.version_of)
    monkeypatch.setattr(run, "call", machine.call)
    monkeypatch.setattr(run, "ask", machine.ask)
    monkeypatch.setattr(run.subprocess, "run", machine.subprocess_run)
    monkeypatch.setattr(run.shutil, "which", lambda name: name if name in machine.others else None)
    return machine


def test_the_first_run_makes_installs_and_starts(run, root, machine):
    assert run.main(["demo", "clip.mp4", "--scale", "2"], root) == 0
    assert machine.made == [sys.executable]
    pip, demo = machine.commands()
    assert pip.startswith("-m pip install ")
    assert pip.endswith(f"-r {root / 'requirements.txt'} -c {root / 'constraints.txt'}")
    assert demo == "-m gvr_core demo clip.mp4 --scale 2"


def test_later_runs_start_at_once(run, root, machine):
    run.main(["demo"], root)
    machine.commands()
    assert run.main(["bench", "--help"], root) == 0
    assert machine.commands() == ["-m gvr_core bench --help"]
    assert len(machine.made) == 1


def test_tests_bring_their_requirements_and_run_in_the_root(run, root, machine):
    run.main(["test", "-q", "tests/test_imports.py", "-k", "a or b"], root)
    (pip, _, _), (pytest_call, cwd, env) = machine.calls
    assert [pip[i + 1] for i, part in enumerate(pip) if part == "-r"] == [str(root / name) for name in FILES[:3]]
    assert pytest_call[1:] == ["-m", "pytest", "-q", "tests/test_imports.py", "-k", "a or b"]
    assert cwd == root
    assert env is None


def test_training_is_a_module_of_its_own(run, root, machine, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    run.main(["train", "nano", "--steps", "3"], root)
    (_, _, _), (command, cwd, env) = machine.calls
    assert command[1:] == ["-m", "train", "nano", "--steps", "3"]
    assert cwd is None
    assert env["PYTHONPATH"] == f"{root}{os.pathsep}elsewhere"


def test_what_is_installed_for_tests_serves_the_demo_and_not_the_other_way_round(run, root, machine):
    run.main(["demo"], root)
    assert not run.is_fresh(root, run.NEEDS["test"])
    run.main(["test"], root)
    assert run.is_fresh(root, run.NEEDS["test"])
    assert run.is_fresh(root, run.NEEDS["train"])
    assert run.is_fresh(root, run.NEEDS_OTHERWISE)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_installed_again(run, root, machine, name):
    run.main(["test"], root)
    (root / name).write_text("# changed\n")
    assert not run.is_fresh(root, run.NEEDS["test"])
    run.main(["test"], root)
    assert run.is_fresh(root, run.NEEDS["test"])
    assert len(machine.made) == 1, "changed requirements need no new .venv"


def test_new_constraints_are_not_forgotten_by_installing_half(run, root, machine):
    run.main(["test"], root)
    (root / "constraints.txt").write_text("torch==2.99\n")
    run.main(["demo"], root)
    assert not run.is_fresh(root, run.NEEDS["test"])


@pytest.mark.parametrize("stamp", ["", "[]", "{", '{"python": "3.11"}'])
def test_a_damaged_stamp_counts_as_none(run, root, machine, stamp):
    run.main(["demo"], root)
    run.stamp_path(root).write_text(stamp)
    assert not run.is_fresh(root, run.NEEDS_OTHERWISE)


def test_a_failed_installation_is_repeated(run, root, machine, capsys):
    machine.code = 7
    assert run.main(["demo"], root) == 1
    assert "pip ended with code 7" in capsys.readouterr().err
    assert len(machine.calls) == 1, "the command must not start"
    machine.code = 0
    assert run.main(["demo"], root) == 0
    assert len(machine.made) == 1


def test_an_installation_cut_off_in_the_middle_is_repeated(run, root, machine, monkeypatch):
    run.main(["demo"], root)
    (root / "requirements.txt").write_text("einops\n")

    def cut_off(command, cwd=None, env=None):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run, "call", cut_off)
        assert run.main(["demo"], root) == 130
    (root / "requirements.txt").write_text("# requirements.txt\n")  # as it was when it was last complete
    assert not run.is_fresh(root, run.NEEDS_OTHERWISE)


def test_an_incomplete_venv_is_made_again(run, root, machine, capsys):
    run.main(["demo"], root)
    run.stamp_path(root).unlink()
    machine.venv = None
    assert run.main(["demo"], root) == 0
    assert len(machine.made) == 2
    assert ".venv is incomplete" in capsys.readouterr().err


def test_another_suitable_python_gets_its_own_venv(run, root, machine, capsys):
    run.main(["demo"], root)
    machine.running = (3, 12)
    run.main(["demo"], root)
    assert len(machine.made) == 2
    assert machine.venv == (3, 12)
    assert ".venv is of Python 3.11; making it again with Python 3.12" in capsys.readouterr().err


@pytest.mark.parametrize("running", [(3, 9), (3, 13)])
def test_an_unsuitable_python_uses_the_venv_that_is_there(run, root, machine, running):
    run.main(["demo"], root)
    machine.running = running
    assert run.main(["demo"], root) == 0
    assert len(machine.made) == 1


def test_an_unsuitable_python_finds_another_and_says_so(run, root, machine, capsys):
    machine.running = (3, 13)
    machine.others = {"python3.12": None, "python3.11": (3, 11), "python3.10": (3, 10)}  # 3.12: a shim of nothing
    assert run.main(["demo"], root) == 0
    assert machine.made == ["python3.11"]
    assert "using python3.11 instead" in capsys.readouterr().err


def test_windows_asks_its_launcher(run, machine, monkeypatch):
    machine.running, machine.others = (3, 13), {"py": None, "-3.11": (3, 11)}
    monkeypatch.setattr(run, "os", type("Windows", (), {"name": "nt"}))
    monkeypatch.setattr(run, "venv_python", lambda root: root / "python.exe")
    assert run.find_python() == (["py", "-3.11"], (3, 11))


def test_no_suitable_python_is_said_with_the_version_found(run, root, machine, capsys):
    machine.running = (3, 13)
    assert run.main(["demo"], root) == 1
    said = capsys.readouterr().err
    assert "Python 3.10, 3.11 or 3.12 is needed" in said
    assert sys.version.split()[0] in said
    assert not (root / ".venv").exists()


def test_a_venv_that_cannot_be_made_is_said_with_the_reason(run, root, machine, capsys, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "ensurepip is not available\n")
    monkeypatch.setattr(run.subprocess, "run", lambda command, **_: failed)
    assert run.main(["demo"], root) == 1
    assert "ensurepip is not available" in capsys.readouterr().err


def test_a_package_that_cannot_be_imported_is_said_with_the_remedy(run, root, machine, capsys):
    machine.import_error = "Traceback\nImportError: libGL.so.1: cannot open shared object file"
    assert run.main(["demo"], root) == 1
    assert "apt-get install libgl1" in capsys.readouterr().err
    assert not run.is_fresh(root, run.NEEDS_OTHERWISE)


@pytest.mark.parametrize(
    "argv", [["demo", "--torch-index", "https://i"], ["--torch-index=https://i", "demo"], ["demo"]]
)
def test_torch_comes_from_the_index_alone(run, root, machine, monkeypatch, argv):
    if argv == ["demo"]:
        monkeypatch.setenv("GVR_TORCH_INDEX", "https://i")
    run.main(argv, root)
    torch, others, demo = machine.commands()
    assert torch.endswith(
        f"install --disable-pip-version-check --prefer-binary torch -c {root / 'constraints.txt'} --index-url https://i"
    )
    assert "https://i" not in others
    assert demo == "-m gvr_core demo"


def test_arguments_behind_two_dashes_are_left_alone(run):
    assert run.split_arguments(["test", "--", "--torch-index", "x"]) == (None, ["test", "--", "--torch-index", "x"])


@pytest.mark.parametrize(("argv", "code"), [([], 2), (["-h"], 0), (["--help"], 0), (["--torch", "x"], 2)])
def test_help_installs_nothing(run, root, machine, capsys, argv, code):
    assert run.main(argv, root) == code
    assert "usage: python run.py" in capsys.readouterr().out
    assert machine.calls == machine.made == []


def test_an_index_without_an_address_is_an_error(run, root, machine, capsys):
    assert run.main(["demo", "--torch-index"], root) == 1
    assert "without an address" in capsys.readouterr().err


def test_the_exit_code_is_the_commands(run, root, machine):
    run.main(["demo"], root)
    machine.code = 3
    assert run.main(["demo"], root) == 3


def test_old_pythons_can_read_it_and_be_told():
    tree = ast.parse((ROOT / "run.py").read_text(encoding="utf-8"), feature_version=(3, 8))
    assert any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)


def test_every_requirement_has_a_tested_version():
    names = [
        line.split()[0] for file in FILES[:3] for line in (ROOT / file).read_text().splitlines() if line[:1].isalpha()
    ]
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert set(names) <= pinned
    assert not any("=" in name or "<" in name or ">" in name for name in names), "a bound would replace a user's build"


def test_call_returns_the_exit_code(run):
    assert run.call([sys.executable, "-c", "raise SystemExit(5)"]) == 5


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_call_returns_128_plus_the_signal(run):
    assert run.call([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]) == 137


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_lets_the_command_put_its_things_away(tmp_path):
    saved, waiting = tmp_path / "saved", tmp_path / "waiting"
    # Where the tests themselves run in the background, SIGINT is ignored, and programs inherit that.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    child = (
        f"{heed}import pathlib, time\n"
        f"try:\n    pathlib.Path({str(waiting)!r}).touch(); time.sleep(60)\n"
        f"except KeyboardInterrupt:\n    time.sleep(0.5); pathlib.Path({str(saved)!r}).touch()\n"
    )
    parent = (
        f"{heed}import sys; sys.path.insert(0, {str(ROOT)!r}); import run\n"
        f"run.is_fresh = lambda *_: True\n"
        f"run.start = lambda *_: run.call([sys.executable, '-c', {child!r}])\n"
        "sys.exit(run.main(['demo']))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], start_new_session=True, stderr=subprocess.PIPE)
    while not waiting.exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors == b""
    assert saved.exists()
