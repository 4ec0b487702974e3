import cv2
import numpy as np
import pytest

from gvr_core.degradations.config import FlowDegradation, SyntheticDegradation
from train.pairs.degrade import degrade_sample
from train.pairs.lossless_video import read_lossless
from train.pairs.reading import StageSamples


def by_key(stage, command):
    samples = StageSamples(stage.folder, command)
    return {row["key"]: (row, members) for row, members in (samples[k] for k in range(len(samples)))}


def frames_of(data):
    return np.stack(list(read_lossless(data)))


@pytest.fixture
def stages(make_config, prepare, degrade):
    config = make_config()
    return prepare(config), degrade(config)


def test_every_sample_has_every_variant_at_half_size(stages):
    clean, low = by_key(stages[0], "prepare"), by_key(stages[1], "degrade")
    assert set(clean) == set(low)
    for key, (row, members) in low.items():
        small = np.stack(
            [cv2.resize(f, (48, 32), interpolation=cv2.INTER_AREA) for f in frames_of(clean[key][1]["mp4"])]
        )
        variants = {name: frames_of(members[f"{name}.mp4"]) for name in row["variants"]}
        assert all(video.shape == small.shape for video in variants.values())
        assert np.array_equal(variants["plain"], small)
        if row["clip"] == "still.mp4":
            assert np.array_equal(variants["flow"], small)
            assert row["motion"] == 0
        if row["clip"] == "a.mp4":
            assert row["motion"] > 0.5
            assert not np.array_equal(variants["flow"], small)
            assert not np.array_equal(variants["both"], variants["synthetic"])


def test_the_sheets_are_in_the_report(stages):
    page = stages[1].report.read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 4  # one for each clip
    assert "of the picture moves" in page


def test_the_first_frame_is_degraded_like_the_others():
    texture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    texture = cv2.resize(texture, (320, 200), interpolation=cv2.INTER_CUBIC)
    frames = [texture[k : k + 128, 4 * k : 4 * k + 192] for k in range(5)]
    out = degrade_sample(frames, "flow", FlowDegradation(), SyntheticDegradation(), seed=0, key="k")
    change = [float(np.abs(a.astype(int) - b).mean()) for (a, _), b in zip(out, frames, strict=True)]
    assert change[0] > 0.5 * np.mean(change[1:])


def test_the_draw_depends_on_seed_key_and_variant():
    frames = list(np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8))

    def run(**changes):
        values = {"seed": 0, "key": "k", "variant": "synthetic", **changes}
        out = degrade_sample(frames, values.pop("variant"), FlowDegradation(), SyntheticDegradation(), **values)
        return np.stack([frame for frame, _ in out])

    assert np.array_equal(run(), run())
    assert not np.array_equal(run(), run(seed=1))
    assert not np.array_equal(run(), run(key="other"))


def test_prepare_comes_first(make_config, degrade):
    with pytest.raises(ValueError, match="run `python -m train prepare` first"):
        degrade(make_config())


def test_another_setting_is_refused(make_config, prepare, degrade):
    prepare(make_config())
    degrade(make_config())
    with pytest.raises(ValueError, match=r"degrade\.flow\.strength was 0\.\d+ and is 0\.31 now"):
        degrade(make_config("out", "degrade.flow.strength=0.31"))
