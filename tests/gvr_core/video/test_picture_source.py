"""Pictures, folders of them and animated webp as clips."""

import cv2
import numpy as np
import pytest

from gvr_core.video import VideoReader, probe


def _save(path, frame):
    cv2.imencode(path.suffix, frame[..., ::-1])[1].tofile(path)


def test_folder_is_read_in_natural_order(tmp_path, clip):
    for number, frame in enumerate(clip):
        _save(tmp_path / f"shot {number + 2}.png", frame)
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "._shot 1.png").write_bytes(b"what macOS leaves on foreign disks")
    np.testing.assert_array_equal(np.stack(list(VideoReader(tmp_path))), clip)
    info = probe(tmp_path)
    assert (info.frames, info.width, info.height, info.fps, info.has_audio) == (9, 64, 48, 24, False)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".jpg", ".webp"])
def test_single_picture_is_a_clip_of_one_frame(tmp_path, clip, suffix):
    path = tmp_path / f"bild ü{suffix}"
    _save(path, clip[0])
    frames = list(VideoReader(path))
    assert len(frames) == probe(path).frames == 1
    np.testing.assert_allclose(frames[0], clip[0], atol=0 if suffix in (".png", ".bmp", ".tif") else 40)


def test_alpha_is_dropped_and_16_bits_become_8(tmp_path):
    deep = np.full((4, 5, 4), 0x8080, np.uint16)
    deep[..., 3] = 0
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    np.testing.assert_array_equal(next(iter(VideoReader(tmp_path / "a.png"))), np.full((4, 5, 3), 128))


def test_picture_of_another_size_is_named(tmp_path, clip):
    for number, frame in enumerate([clip[0], clip[1], clip[2][:40]]):
        _save(tmp_path / f"{number}.png", frame)
    with pytest.raises(ValueError, match=r"2\.png is 64x40, the first picture of .*, 0\.png, is 64x48"):
        list(VideoReader(tmp_path))


def test_folder_without_pictures(tmp_path):
    with pytest.raises(ValueError, match=r"holds no pictures \(\.bmp, "):
        probe(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a picture"])
def test_damaged_picture_in_a_folder_is_named(tmp_path, clip, content):
    _save(tmp_path / "0.png", clip[0])
    (tmp_path / "1.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot read the picture 1\.png"):
        list(VideoReader(tmp_path))


def _animated_webp(path, frames, milliseconds):
    animation = cv2.Animation()
    animation.frames = [np.ascontiguousarray(f[..., ::-1]) for f in frames]
    animation.durations = np.array(milliseconds, np.int32)
    cv2.imwriteanimation(str(path), animation, [cv2.IMWRITE_WEBP_QUALITY, 101])  # above 100 is lossless


@pytest.mark.skipif(not hasattr(cv2, "imdecodeanimation"), reason="this OpenCV cannot read animations")
class TestAnimatedWebp:
    def test_frames_and_average_rate(self, tmp_path, clip):
        frames = np.concatenate([clip] * 4)  # more than one batch of the decoder
        _animated_webp(tmp_path / "a.webp", frames, [40, 60] * 18)
        info = probe(tmp_path / "a.webp")
        assert (info.frames, info.fps, info.width, info.height) == (36, 20, 64, 48)
        np.testing.assert_array_equal(np.stack(list(VideoReader(tmp_path / "a.webp"))), frames)

    def test_cut_file_says_how_many_frames_were_read(self, tmp_path):
        noise = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
        _animated_webp(tmp_path / "a.webp", noise, [100] * 6)
        data = (tmp_path / "a.webp").read_bytes()
        (tmp_path / "a.webp").write_bytes(data[: len(data) // 2])
        with pytest.raises(ValueError, match=r"a\.webp is damaged or cut short"):
            list(VideoReader(tmp_path / "a.webp"))

    def test_old_opencv_is_explained(self, tmp_path, clip, monkeypatch):
        _animated_webp(tmp_path / "a.webp", clip, [100] * 9)
        monkeypatch.delattr(cv2, "imdecodeanimation")
        with pytest.raises(ValueError, match="this OpenCV is too old for: update it or convert"):
            probe(tmp_path / "a.webp")
