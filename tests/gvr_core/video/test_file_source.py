"""Decoding of video files: order, colour, rotation, and every way a file can be broken."""

import itertools
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from gvr_core.video import VideoReader, probe


def test_frames_come_in_the_order_they_are_shown(tmp_path):
    steps = np.broadcast_to(np.arange(0, 240, 12, dtype=np.uint8)[:, None, None, None], (20, 32, 32, 3))
    path = tmp_path / "a.mp4"
    options = {"x264-params": "bframes=3:b-adapt=0:scenecut=0:crf=10"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options=options)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        packets = [p for f in steps for p in stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(f)))]
        packets += stream.encode(None)
        assert any(b.pts < a.pts for a, b in itertools.pairwise(packets)), "the clip has no B-frames"
        container.mux(packets)
    means = [frame.mean() for frame in VideoReader(path)]
    np.testing.assert_allclose(means, steps.mean((1, 2, 3)), atol=2)


@pytest.mark.parametrize(
    ("tag", "full", "kr", "kb"),
    [
        (1, False, 0.2126, 0.0722),
        (2, False, 0.299, 0.114),
        (5, False, 0.299, 0.114),
        (6, True, 0.299, 0.114),
        (9, False, 0.2627, 0.0593),
    ],
)
def test_colours_follow_the_tagged_matrix_and_range(tmp_path, tag, full, kr, kb):
    """Truth: the definition of Y'CbCr in ITU-R BT.601, 709 and 2020; untagged (2) is BT.601."""
    luma, cb, cr = 120, 100, 160
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv444p"
        context = stream.codec_context
        context.colorspace, context.color_range = tag, 2 if full else 1
        planes = np.stack([np.full((32, 32), value, np.uint8) for value in (luma, cb, cr)])
        frame = av.VideoFrame.from_ndarray(planes, format="yuv444p")
        frame.colorspace, frame.color_range = tag, 2 if full else 1
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    y, pb, pr = (luma / 255, 128, 128) if full else ((luma - 16) / 219, 128, 128)
    pb, pr = (np.array([cb, cr]) - 128) / (255 if full else 224)
    red, blue = y + 2 * (1 - kr) * pr, y + 2 * (1 - kb) * pb
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    shown = next(iter(VideoReader(path)))
    np.testing.assert_allclose(shown[16, 16], 255 * np.array([red, green, blue]), atol=1.5)


@pytest.mark.skipif(not hasattr(av.VideoStream, "set_display_rotation"), reason="this PyAV cannot write rotations")
@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_of_phone_clips_is_applied(tmp_path, clip, make_video, rotation):
    path = make_video(tmp_path / "a.mp4", clip, codec="libx264", pix_fmt="yuv444p", rotation=rotation)
    upright = np.rot90(clip, rotation // 90, axes=(1, 2))
    info = probe(path)
    assert (info.height, info.width) == upright.shape[1:3]
    np.testing.assert_allclose(np.stack(list(VideoReader(path))), upright, atol=24)


def test_gif_is_read(tmp_path, clip, make_video):
    frames = np.zeros((3, 16, 24, 3), np.uint8)
    frames[0, :, :8], frames[1, :, 8:16], frames[2, :, 16:] = 255, 255, 255
    path = make_video(tmp_path / "a.gif", frames, codec="gif", pix_fmt="bgr8", fps=10)
    # The palette of 3-3-2 bits has no exact white.
    np.testing.assert_array_equal(np.stack(list(VideoReader(path))) > 127, frames > 127)
    assert probe(path).fps == 10


def test_variable_frame_rate_keeps_frames_and_average(tmp_path, clip):
    path = tmp_path / "a.mp4"
    times = [0, 1, 2, 6, 7, 8, 12, 13, 14]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.height, stream.width = clip.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for time, frame in zip(times, clip, strict=True):
            picture = av.VideoFrame.from_ndarray(frame)
            picture.pts, picture.time_base = time, Fraction(1, 24)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    assert len(list(VideoReader(path))) == len(clip)
    assert float(probe(path).fps) == pytest.approx(24 * 9 / 15, rel=0.05)


def test_text_is_not_a_video(tmp_path):
    (tmp_path / "a.mp4").write_text("this is no video, whatever its name says " * 50)
    with pytest.raises(ValueError, match=r"a\.mp4 is not a readable video"):
        probe(tmp_path / "a.mp4")


def test_sound_file_has_no_picture_track(tmp_path, tone):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        stream.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(tone[:, :1024], format="fltp", layout="stereo")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ValueError, match=r"a\.mp4 has no picture track"):
        probe(path)


def test_video_without_frames(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width = stream.height = 32
        stream.pix_fmt = "bgr0"
        container.start_encoding()
        container.mux(stream.encode(None))
    with pytest.raises(ValueError, match=r"a\.mkv (has no frames|is not a readable video)"):
        probe(path)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_cut_file_says_how_many_frames_were_read(tmp_path, suffix, tone):
    """Noise, so that bytes are spread evenly over the frames and the cut leaves about half."""
    frames = np.random.default_rng(0).integers(0, 256, (60, 48, 64, 3), dtype=np.uint8)
    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w", options={"movflags": "faststart"} if suffix == ".mp4" else {}) as container:
        stream = container.add_stream("libx264", rate=24, options={"tune": "zerolatency"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"a\.m.. is (cut short|damaged): (2[0-9]|3[0-9]) frames could be read"):
        list(VideoReader(path))


def test_damage_inside_says_how_many_frames_were_read(tmp_path, clip, make_video):
    path = make_video(tmp_path / "a.mov", clip, codec="png", pix_fmt="rgb24")
    data = bytearray(path.read_bytes())
    # The 5th picture: its header is overwritten, the container stays whole.
    position = -1
    for _ in range(5):
        position = data.find(b"\x89PNG", position + 1)
    data[position : position + 30] = bytes(30)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.mov is damaged: 4 frames could be read, then: "):
        list(VideoReader(path))


def test_change_of_size_is_refused(tmp_path):
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=24)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuvj420p"
        for number, side in enumerate((32, 32, 48)):
            _, data = cv2.imencode(".jpg", np.full((32, side, 3), 90, np.uint8))
            packet = av.Packet(data.tobytes())
            packet.stream, packet.time_base = stream, Fraction(1, 24)
            packet.pts = packet.dts = number
            container.mux(packet)
    with pytest.raises(ValueError, match=r"a\.avi changes from 32x32 to 48x32 at frame 2"):
        list(VideoReader(path))
