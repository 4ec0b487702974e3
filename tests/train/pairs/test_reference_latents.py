"""References and the pixel route in the shards: what is stored is what the papers' operations give."""

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load

from gvr_core.cascade import nano_path
from gvr_core.checkpoints import load_part
from gvr_core.degradations.config import ReferenceAugmentation
from gvr_core.video import VideoReader
from train.pairs import PairShards
from train.pairs.clip_search import find_clips
from train.pairs.lossless_video import read_lossless
from train.pairs.reading import StageSamples
from train.pairs.reference_latents import augmented_views
from train.pairs.source_clips import ClipError

from .conftest import HEIGHT, WIDTH, moving_texture, write_clip

NOTHING_CHANGES = {"brightness": (1, 1), "flip_probability": 0, "shear": 0, "rotation": 0, "crop_probability": 0}
FULL = (
    "cut.lengths=[5]",
    "cut.reference_video=true",
    "cut.video_shift=3",
    "degrade.variants=[plain, both]",
    "encode.references=2",
    "encode.enlarged=true",
    "encode.dtype=float32",
)


def pixels(data):
    """`1 3 t h w` in [-1, 1] of a stored video."""
    return torch.from_numpy(np.stack(list(read_lossless(data)))).permute(3, 0, 1, 2)[None].float() / 127.5 - 1


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """An editing pair, a clip with masks, and one alone."""
    root = tmp_path_factory.mktemp("editing")
    write_clip(root / "edited.mp4", moving_texture(0, 14))
    write_clip(root / "edited.source.mp4", moving_texture(7, 14))
    write_clip(root / "masked.mp4", moving_texture(1, 14))
    (root / "masked.masks").mkdir()
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[16:48, 24:72] = 255
    for number in range(14):
        cv2.imwrite(str(root / "masked.masks" / f"{number:03d}.png"), mask)
    write_clip(root / "plain.mp4", moving_texture(2, 5))  # no frame is left over for a reference picture
    return root


@pytest.fixture
def make(make_config, root):
    return lambda name="out", *overrides: make_config(name, *FULL, f"root={root}", *overrides)


def test_a_source_belongs_to_its_clip(root):
    assert [clip.name for clip in find_clips(root)] == ["edited.mp4", "masked.mp4", "plain.mp4"]


def test_reference_videos_are_shifted_frames_of_the_source_or_the_clip(make, prepare, root):
    samples = StageSamples(prepare(make()).folder, "prepare")
    rows = [samples[k] for k in range(len(samples))]
    assert {row["clip"]: row["has_source"] for row, _ in rows}["edited.mp4"]
    for row, members in rows:
        name = "edited.source.mp4" if row["has_source"] else row["clip"]
        with VideoReader(root / name) as reader:
            truth = np.stack(list(reader))
        start = row["reference_start"]
        assert abs(start - row["start"]) <= 3
        stored = np.stack(list(read_lossless(members["reference.mp4"])))
        assert np.array_equal(stored, truth[start : start + 5])
    assert any(row["reference_start"] != row["start"] for row, _ in rows)


def test_the_pixel_route_is_bilinear_then_the_encoder(make, prepare, degrade, encode):
    config = make()
    prepare(config)
    low, samples = (StageSamples(run(config).folder, name) for run, name in ((degrade, "degrade"), (encode, "encode")))
    vae = load_part(nano_path(), "vae")
    for k in range(len(samples)):
        for variant in ("plain", "both"):
            video = pixels(low[k][1][f"{variant}.mp4"])
            frames = torch.nn.functional.interpolate(
                video[0].transpose(0, 1), size=(HEIGHT, WIDTH), mode="bilinear", align_corners=False
            )
            with torch.inference_mode():
                expected = vae.encode(frames.transpose(0, 1)[None])[0]
            stored = load(samples[k][1][f"{variant}.enlarged.safetensors"])[f"{variant}.enlarged"]
            torch.testing.assert_close(stored, expected, rtol=0, atol=1e-4)


def test_views_of_a_reference_are_latents_of_augmented_pictures(make, prepare, degrade, encode):
    config = make()
    clips = StageSamples(prepare(config).folder, "prepare")
    degrade(config)
    pairs = PairShards(encode(config).folder)
    vae = load_part(nano_path(), "vae")
    assert not {"enlarged", "num_images", "video_frames", "has_mask", "has_source"} - set(pairs.table.column_names)
    for sample, row in enumerate(pairs.table.to_pylist()):
        item = pairs[2 * sample]
        assert (row["num_images"], row["video_frames"]) == (0 if row["clip"] == "plain.mp4" else 2, 2)
        assert (item["num_images"], item["video_frames"]) == (row["num_images"], row["video_frames"])
        assert item["references"].shape == (48, row["num_images"] + 2, 8, 12)
        assert item["enlarged"].shape == item["clean"].shape
        members = clips[sample][1]
        views = augmented_views(members, ReferenceAugmentation(), count=2, seed=config.seed, key=row["key"])
        parts = [torch.from_numpy(view).permute(2, 0, 1)[None, :, None].float() / 127.5 - 1 for view in views]
        with torch.inference_mode():
            expected = [vae.encode(part)[0] for part in [*parts, pixels(members["reference.mp4"])]]
        torch.testing.assert_close(item["references"], torch.cat(expected, dim=1), rtol=0, atol=1e-4)


def test_a_cut_out_is_black_around_its_subject(make, prepare):
    samples = StageSamples(prepare(make()).folder, "prepare")
    row, members = next(samples[k] for k in range(len(samples)) if samples[k][0]["clip"] == "masked.mp4")
    assert row["has_mask"]
    (same,) = augmented_views(members, ReferenceAugmentation(**NOTHING_CHANGES), count=1, seed=0, key=row["key"])
    picture = cv2.imdecode(np.frombuffer(members["reference.png"], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.array_equal(same[16:48, 24:72], picture[16:48, 24:72])
    assert not same[:16].any()
    assert not same[:, :24].any()
    empty = {**members, "reference_mask.png": cv2.imencode(".png", np.zeros((HEIGHT, WIDTH), np.uint8))[1].tobytes()}
    assert not list(augmented_views(empty, ReferenceAugmentation(), count=2, seed=0, key="x"))


def test_bytes_do_not_depend_on_the_shards(make, prepare, degrade, encode):
    stages = []
    for name, per_shard in (("one", 1), ("all", 8)):
        config = make(name, f"clips_per_shard={per_shard}")
        prepare(config)
        degrade(config)
        stages.append(StageSamples(encode(config).folder, "encode"))
    one, everything = stages
    assert len(one) == len(everything)
    assert all(one[k][1] == everything[k][1] for k in range(len(one)))


def test_folders_of_before_are_read_and_what_is_off_leaves_no_trace(make_config, prepare, degrade, encode):
    config = make_config("out", "cut.lengths=[5]", "degrade.variants=[plain]")
    clips = prepare(config)
    degrade(config)
    stage = encode(config)
    assert not {"reference_video", "video_shift"} & set(clips.settings["cut"])
    assert not {"enlarged", "references", "augment", "seed"} & set(stage.settings)
    new = {"enlarged", "num_images", "video_frames", "has_mask", "has_source"}
    table = pq.read_table(stage.index)
    pq.write_table(table.drop_columns(sorted(new)), stage.index)
    pairs = PairShards(stage.folder)
    assert set(pairs[0]) == {"clean", "degraded", "key", "variant", "caption"}
    assert pairs.table["num_images"].to_pylist() == [0] * len(pairs)
    assert not any(pairs.table["enlarged"].to_pylist())


def test_a_source_of_another_shape_or_length_is_told(make, prepare, tmp_path):
    root = tmp_path / "odd"
    root.mkdir()
    write_clip(root / "wide.mp4", moving_texture(0, 9))
    write_clip(root / "wide.source.mp4", moving_texture(0, 9, height=64, width=64))
    write_clip(root / "long.mp4", moving_texture(0, 9))
    write_clip(root / "long.source.mp4", moving_texture(0, 4))
    with pytest.raises(ClipError, match=r"64 x 64 pixels and the clip 96 x 64"):
        next(find_clips(root)[1].source_frames())
    stage = prepare(make("odd_out", f"root={root}"))
    found = {item["clip"]: item for shard in range(stage.shards) for item in stage.read_manifest(shard)["items"]}
    assert "must have the clip's shape" in found["wide.mp4"]["reason"]
    assert "must be as long as the clip" in found["long.mp4"]["reason"]


def test_values_out_of_range_are_refused(make_config):
    with pytest.raises(ValueError, match=r"encode\.references is 11, expected 0 to 10"):
        make_config("out", "encode.references=11")
    with pytest.raises(ValueError, match=r"encode\.augment\.rotations: did you mean encode\.augment\.rotation"):
        make_config("out", "encode.augment.rotations=3")
    with pytest.raises(ValueError, match=r"cut\.video_shift is -1"):
        make_config("out", "cut.video_shift=-1")
