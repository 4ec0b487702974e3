"""Clips made without the code under test."""

from fractions import Fraction

import av
import numpy as np
import pytest


@pytest.fixture
def clip():
    """`9 48 64 3` uint8: a smooth picture that brightens and drifts, different in every frame."""
    y, x = np.mgrid[0:48, 0:64].astype(float)
    frames = []
    for n in range(9):
        red = 20 + 20 * n + 30 * np.sin((x + 3 * n) / 9)
        green = 120 + 80 * np.sin(y / 7)
        blue = 200 - 15 * n + 0 * x
        frames.append(np.stack([red, green, blue], 2))
    return np.clip(np.stack(frames), 0, 255).astype(np.uint8)


@pytest.fixture
def make_video():
    """Writes frames with PyAV alone; ffv1 and png are lossless in RGB."""

    def make(path, frames, *, codec="ffv1", pix_fmt="bgr0", fps=24, sound=None, audio_codec="aac", rotation=0):
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=Fraction(fps))
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = pix_fmt
            if rotation:
                stream.set_display_rotation(rotation)
            audio = None
            if sound is not None:
                audio = container.add_stream(audio_codec, rate=48000)
                audio.layout = "stereo"
            for number, frame in enumerate(frames):
                picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=pix_fmt)
                picture.pts, picture.time_base = number, 1 / Fraction(fps)
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
            if sound is not None:
                _write_sound(container, audio, sound)
        return path

    return make


@pytest.fixture
def tone():
    """Two seconds of a 440 Hz stereo tone that sets in after half a second, `2 n` float32 at 48 kHz."""
    time = np.arange(96000) / 48000
    wave = 0.5 * np.sin(2 * np.pi * 440 * time) * (time >= 0.5)
    return np.stack([wave, wave]).astype(np.float32)


def _write_sound(container, stream, sound):
    resampler = av.AudioResampler(stream.codec_context.format, "stereo", 48000, frame_size=1024)
    frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout="stereo")
    frame.sample_rate, frame.pts = 48000, 0
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        container.mux(stream.encode(part))
    container.mux(stream.encode(None))
