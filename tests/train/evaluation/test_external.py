"""Programs outside our environment: stand-ins that answer as DOVER and VBench do."""

import dataclasses
import shlex
import sys

import pytest

from train.evaluation.external import External, add_external, parse_answer
from train.evaluation.metric import Missing
from train.evaluation.registry import EXTERNALS
from train.evaluation.table import Table

DOVER = """
import sys, pathlib
videos, output = map(pathlib.Path, sys.argv[1:])
names = sorted(p.name for p in videos.glob("*.mp4"))
lines = ["path, aesthetic score, technical score, overall/final score"]
lines += [f"{name}, {10 + i}.5, {20 + i}.25,{30 + i}.0" for i, name in enumerate(names)]
(output / "dover.csv").write_text("\\n".join(lines))
print("Dataset Length:", len(names))
"""
VBENCH = """
import json, sys, pathlib
videos, output = map(pathlib.Path, sys.argv[1:])
paths = sorted(videos.glob("*.mp4"))
score = lambda k: [0.5, [{"video_path": str(p), "video_results": k + i / 10} for i, p in enumerate(paths)]]
(output / "results_full_info.json").write_text("[]")
names = ["background_consistency", "subject_consistency", "aesthetic_quality", "imaging_quality"]
(output / "results_eval_results.json").write_text(json.dumps({n: score(k) for k, n in enumerate(names)}))
"""
PLAIN = """
import json
print(json.dumps({"a.mp4": {"overall": 1, "note": "text"}, "b": {"overall": float("nan")}}))
"""


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (folder / name).touch()
    return folder


@pytest.fixture
def program(tmp_path):
    """Function: an external whose command runs a script."""

    def make(script, name="dover", arguments="{videos} {output}"):
        path = tmp_path / "program.py"
        path.write_text(script, encoding="utf-8")
        external = next(e for e in EXTERNALS if e.name == name)
        command = f"{shlex.quote(sys.executable)} {shlex.quote(str(path))} {arguments}"
        return dataclasses.replace(external, command=command)

    return make


def test_dovers_csv(program, videos):
    figures = program(DOVER).run(videos, ["a", "b"])
    assert figures["a"] == {"dover.aesthetic": 10.5, "dover.technical": 20.25, "dover.overall": 30.0}
    assert figures["b"]["dover.overall"] == 31.0


def test_vbenchs_results(program, videos):
    figures = program(VBENCH, "vbench").run(videos, ["a", "b"])
    assert figures["a"]["vbench.background_consistency"] == 0.0
    assert figures["b"]["vbench.imaging_quality"] == pytest.approx(3.1)
    assert "gave no motion_smoothness for a" in figures["a"]["vbench.motion_smoothness"].reason


def test_plain_json_on_the_standard_output(program, videos):
    figures = program(PLAIN, arguments="").run(videos, ["a", "b", "c"])
    assert figures["a"]["dover.overall"] == 1.0
    assert isinstance(figures["a"]["dover.technical"], Missing)
    assert isinstance(figures["b"]["dover.overall"], Missing)
    assert isinstance(figures["c"]["dover.overall"], Missing)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import sys; sys.exit('no GPU here')", "ended with code 1 and said: no GPU here"),
        ("pass", "cannot be read: expected JSON, or CSV"),
        ("print('{')", "cannot be read"),
        ("print('{\"a\": 3}')", "cannot be read: expected"),
        ("print('{\"a\": [1, [2]]}')", "no results of single videos"),
    ],
)
def test_failures_are_reasons(script, reason, program, videos):
    assert reason in program(script).run(videos, ["a"])["a"]["dover.overall"].reason


def test_no_command_and_no_program(videos):
    dover = EXTERNALS[0]
    reason = dover.run(videos, ["a"])["a"]["dover.overall"].reason
    assert reason.startswith("not installed: install DOVER")
    assert "GVR_DOVER" in reason
    gone = External(name="x", title="X", figures={"y": ""}, variable="X", command="no-such-program-here {videos}")
    assert "no-such-program-here cannot be started" in gone.run(videos, ["a"])["a"]["x.y"].reason


def test_an_open_quotation_is_an_error():
    with pytest.raises(ValueError, match="No closing quotation"):
        dataclasses.replace(EXTERNALS[0], command='bash -c "dover')


def test_columns_are_added_to_every_row(program, videos):
    table = Table([], {"ours": {"a": {}, "b": {}}, "without": {"a": {}}})
    add_external(table, [program(DOVER)], {"ours": videos})
    assert [column.name for column in table.columns] == ["dover.technical", "dover.aesthetic", "dover.overall"]
    assert table.mean("ours")["dover.overall"] == 30.5
    assert "no folder of videos" in table.mean("without")["dover.overall"].reason


def test_several_answers_are_joined():
    answer = parse_answer(['{"videos/a.mp4": {"x": 1}}', '{"a": {"y": 2}, "v1.5": {"y": 3}}'])
    assert answer["a"] == {"x": 1, "y": 2}
    assert answer["v1.5"] == {"y": 3}
