"""`python -m gvr_core degrade` from the outside."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from gvr_core.cli.main import main
from gvr_core.degradations.config import FlowDegradation, SyntheticDegradation
from gvr_core.degradations.flow_based import degrade_flow
from gvr_core.sample_clip import render_sample_clip
from gvr_core.video import VideoReader, VideoWriter, probe

FRAMES = 5


@pytest.fixture
def run(capsys):
    """Function: exit code, standard output and last line of standard error of a call."""

    def call(*arguments):
        code = main(["degrade", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, (captured.err.strip().splitlines() or [""])[-1]

    return call


@pytest.fixture
def clip():
    return np.stack(list(render_sample_clip(frames=FRAMES, height=96, width=160, start=30)))


@pytest.fixture
def source(tmp_path, clip):
    """A folder of PNG frames, which loses nothing."""
    path = tmp_path / "source"
    with VideoWriter(path, width=160, height=96, fps=24) as writer:
        writer.write(clip)
    return path


def frames_of(path):
    with VideoReader(path) as reader:
        return np.stack(list(reader))


@pytest.mark.parametrize("settings_first", [True, False])
def test_frames_are_those_of_the_function(run, tmp_path, clip, source, settings_first):
    paths, rest = (source, tmp_path / "out"), ("--kind", "flow", "--seed", 7)
    settings = ("strength=0.9", "threshold=0.3")
    arguments = (
        (*paths, *settings, *rest) if settings_first else (*paths, *rest[:2], settings[0], *rest[2:], settings[1])
    )
    assert run(*arguments)[0] == 0
    config = FlowDegradation(strength=0.9, threshold=0.3)
    expected = [result.frame for result in degrade_flow(clip, config, seed=7, clip_id="source")]
    found = frames_of(tmp_path / "out")
    np.testing.assert_array_equal(found, expected)
    assert (found != clip).any()


@pytest.mark.parametrize("kind", ["flow", "synthetic"])
def test_frames_rate_and_sound_stay(run, tmp_path, clip, kind):
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(30000, 1001))
        stream.width, stream.height, stream.pix_fmt = 160, 96, "bgr0"
        sound = container.add_stream("pcm_s16le", rate=48000)
        for frame in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="bgr0")))
        samples = (8000 * np.sin(np.arange(8000) / 9)).astype(np.int16)[None]
        audio = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        audio.rate = 48000
        container.mux(sound.encode(audio))
        container.mux([*stream.encode(None), *sound.encode(None)])
    assert run(source, tmp_path / "out.mp4", "--kind", kind)[0] == 0
    info = probe(tmp_path / "out.mp4")
    assert (info.width, info.height, info.fps, info.has_audio) == (160, 96, Fraction(30000, 1001), True)
    assert len(frames_of(tmp_path / "out.mp4")) == FRAMES


def test_synthetic_may_change_the_size(run, tmp_path, source):
    code, _, error = run(
        source, tmp_path / "out.mp4", "scale=2", "--kind", "synthetic", "--compare", tmp_path / "c.png"
    )
    assert (code, error[:6] == "error:") == (0, False)
    assert frames_of(tmp_path / "out.mp4").shape == (FRAMES, 48, 80, 3)
    assert (tmp_path / "c.png").stat().st_size


def test_the_comparison_has_four_columns_and_the_flow_is_a_video(run, tmp_path, source):
    code, out, _ = run(
        source, tmp_path / "out", "--compare", tmp_path / "c.png", "--flow", tmp_path / "flow.mp4", "threshold=0.3"
    )
    assert code == 0
    assert f"{FRAMES} frames" in out
    sheet = cv2.imread(str(tmp_path / "c.png"))
    assert sheet.shape[1] > 4 * 240
    colours = frames_of(tmp_path / "flow.mp4")
    assert colours.shape == (FRAMES, 96, 160, 3)
    assert colours[0].min() > 250  # nothing has moved yet: white
    assert colours[1].min() < 250


def test_a_still_clip_can_be_compared(run, tmp_path, clip):
    with VideoWriter(tmp_path / "still", width=160, height=96, fps=24) as writer:
        writer.write(np.repeat(clip[:1], 3, 0))
    assert run(tmp_path / "still", tmp_path / "out", "--compare", tmp_path / "c.png")[0] == 0
    np.testing.assert_array_equal(frames_of(tmp_path / "out"), np.repeat(clip[:1], 3, 0))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("strenght=1",), "FlowDegradation has no setting 'strenght': did you mean strength?"),
        (("strength=2",), "strength is 2.0, expected a number from 0 to 1"),
        (("--kind", "synthetic", "strength=0.2"), "SyntheticDegradation has no setting 'strength'"),
        (("--kind", "sdedit"), "invalid choice: 'sdedit'"),
        (("--seed", "-1"), "seed is -1, expected a whole number"),
        (("loud",), "'loud' is no setting: write name=value"),
        (("--loud",), "unrecognized arguments: --loud"),
        (("--kind", "synthetic", "--flow", "f.mp4"), "--flow shows the motion of --kind flow"),
        (("--compare", "sheet.jpg"), "give a name ending in .png"),
        (("--flow", "f.xyz"), "give a name ending in"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(run, tmp_path, source, monkeypatch, arguments, match):
    monkeypatch.chdir(tmp_path)
    code, _, error = run(source, "out.mp4", *arguments)
    assert code == 2
    assert error.startswith("error: ")
    assert match in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_files_that_would_collide_are_told(run, tmp_path, source):
    code, _, error = run(source, source)
    assert (code, "would replace the input" in error) == (2, True)
    code, _, error = run(source, tmp_path / "a.mp4", "--flow", tmp_path / "a.mp4")
    assert (code, "two results would have one name" in error) == (2, True)
    code, _, error = run(tmp_path / "nothing.mp4", tmp_path / "a.mp4")
    assert (code, "no such file or folder" in error) == (2, True)


def test_a_clip_that_breaks_off_leaves_nothing(run, tmp_path, source):
    (source / "frame_00004.png").write_bytes(b"damaged")
    code, _, error = run(source, tmp_path / "out.mp4", "--flow", tmp_path / "f.mp4", "--compare", tmp_path / "c.png")
    assert code == 2
    assert "frame_00004.png" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_the_help_lists_the_settings(capsys):
    with pytest.raises(SystemExit):
        main(["degrade", "--help"])
    text = "".join(capsys.readouterr().out.split())
    for config in (FlowDegradation(), SyntheticDegradation()):
        assert all(name in text for name in vars(config))
