"""Groups from pairs of latents: buckets that can be stacked, tasks by what samples hold, the same whoever asks."""

import pytest
import torch

from train.data.pair_groups import PairGroups
from train.fit_config import load_fit_config
from train.plan import plan_group

SPACE_CHANNELS = 48


class Table:
    """As much of an arrow table as the groups read."""

    def __init__(self, rows):
        self.rows = rows

    def select(self, columns):
        return Table([{name: row[name] for name in columns} for row in self.rows])

    def to_pylist(self):
        return self.rows


def row(key, *, frames=5, height=8, width=12, images=2, video=2, enlarged=True):
    shape = [SPACE_CHANNELS, (frames - 1) // 4 + 1, height, width]
    return {
        "key": key,
        "clip": f"{key}.mp4",
        "frames": frames,
        "latent_shape": shape,
        "low_latent_shape": [*shape[:2], height // 2, width // 2],
        "enlarged": enlarged,
        "num_images": images,
        "video_frames": video and shape[1],
    }


def off_grid(clean, low):
    return {**row("a"), "latent_shape": [SPACE_CHANNELS, 2, *clean], "low_latent_shape": [SPACE_CHANNELS, 2, *low]}


class Pairs:
    """Pairs whose values tell sample and variant."""

    variants = ("plain", "flow")
    space = "nano"
    null_text = torch.zeros(1, 6)

    def __init__(self, rows):
        self.rows, self.table = rows, Table(rows)

    def __getitem__(self, k):
        sample, variant = divmod(k, len(self.variants))
        about = self.rows[sample]
        count = about["num_images"] + about["video_frames"]
        c, t, h, w = about["latent_shape"]
        item = {
            "key": about["key"],
            "clean": torch.full((c, t, h, w), float(sample)),
            "degraded": torch.full(about["low_latent_shape"], float(variant)),
            "enlarged": torch.full((c, t, h, w), 10.0 + variant),
            "text": torch.ones(3, 6),
            "num_images": about["num_images"],
        }
        if count:
            item["references"] = torch.arange(float(count)).expand(c, h, w, count).permute(0, 3, 1, 2).contiguous()
        return item


def config(*overrides):
    tasks = "data.tasks={t2v: 1, multi_id: 1, edit: 1}"
    pairs = ("data.source=pairs", "data.root=x", "data.frames=0", "data.crop=0", "objective.vae=")
    return load_fit_config("tiny", [*pairs, tasks, *overrides])


def make(rows, *overrides, route="latent", held_out=False):
    return PairGroups(config(*overrides), Pairs(rows), route=route, held_out=held_out)


ROWS = [row("a"), row("b"), row("c", height=12, width=8), row("d", frames=9, images=0, video=0), row("e", images=0)]


def test_a_group_stacks_samples_of_one_shape_that_serve_its_task():
    groups = make(ROWS)
    seen = set()
    for g in range(200):
        plan, batch = plan_group(groups.config.seed, g, groups.config.data), groups[g]
        samples = {int(n) for n in batch["clean"][:, 0, 0, 0, 0]}
        shapes = {tuple(ROWS[n]["latent_shape"]) for n in samples}
        assert shapes == {tuple(batch["clean"].shape[1:])}
        assert batch["low"].shape[-1] * 2 == batch["clean"].shape[-1]
        if plan.task == "multi_id":
            assert all(ROWS[n]["num_images"] for n in samples)
        if plan.task == "edit":
            assert all(ROWS[n]["video_frames"] for n in samples)
        assert ("references" in batch) == plan.has_references
        seen |= samples
    assert seen == set(range(len(ROWS)))


def test_pictures_are_some_views_and_a_video_is_all_of_it():
    groups = make(ROWS)
    for g in range(100):
        plan, batch = plan_group(groups.config.seed, g, groups.config.data), groups[g]
        if not plan.has_references:
            continue
        values = batch["references"][0, 0, :, 0, 0].tolist()
        if plan.task == "multi_id":
            assert batch["num_images"] == len(values) == min(plan.images, 2)
            assert set(values) <= {0.0, 1.0}
            assert batch["video_frames"] == 0
        else:
            assert batch["num_images"] == 0
            assert batch["video_frames"] == len(values) == batch["clean"].shape[2]


def test_an_item_depends_on_its_number_alone():
    one, other = make(ROWS), make(ROWS)
    for g in (5, 3, 40):
        first, second = one[g], other[g]
        assert first.keys() == second.keys()
        for name, value in first.items():
            assert torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else value == second[name]


def test_text_is_filled_up_with_zeros_to_the_length_wan_was_trained_on():
    batch = make(ROWS)[0]
    assert batch["text"].shape == (2, 512, 6)
    assert batch["text"][:, :3].eq(1).all()
    assert batch["text"][:, 3:].eq(0).all()
    assert batch["null_text"].shape == (512, 6)


def test_the_pixel_route_takes_the_enlarged_latents():
    batch = make(ROWS, route="pixel")[0]
    assert "low" not in batch
    assert batch["condition"].shape == batch["clean"].shape
    assert batch["condition"].min() >= 10
    with pytest.raises(ValueError, match=r"encode\.enlarged=true"):
        make([row("a", enlarged=False)], route="pixel")


def test_variants_and_held_out_samples_are_kept_apart():
    groups = make(ROWS, "data.variants=[flow]", "data.validation=[b.mp4, d]")
    batches = [groups[g] for g in range(60)]
    assert all(batch["low"].eq(1).all() for batch in batches)
    assert {int(n) for batch in batches for n in batch["clean"][:, 0, 0, 0, 0]} == {0, 2, 4}
    held_out = make(ROWS, "data.validation=[b.mp4, d]", held_out=True)
    assert {int(n) for g in range(60) for n in held_out[g]["clean"][:, 0, 0, 0, 0]} == {1, 3}


def test_a_crop_cuts_all_latents_at_the_same_place():
    class Places(Pairs):
        def __getitem__(self, k):
            item = super().__getitem__(k)
            h, w = item["clean"].shape[-2:]
            place = torch.arange(h)[:, None] * 100.0 + torch.arange(w)
            item["clean"] = place.expand_as(item["clean"]).clone()
            item["degraded"] = (2 * place[: h // 2, : w // 2]).expand_as(item["degraded"]).clone()
            return item

    groups = PairGroups(config("data.crop=32"), Places(ROWS[:2]), route="latent", held_out=False)
    corners = set()
    for g in range(50):
        batch = groups[g]
        assert batch["clean"].shape[-2:] == (4, 4)
        assert batch["low"].shape[-2:] == (2, 2)
        assert torch.equal(batch["clean"][..., 0, 0], batch["low"][..., 0, 0])
        corners |= set(batch["clean"][:, 0, 0, 0, 0].tolist())
    assert len(corners) > 5


@pytest.mark.parametrize(
    ("rows", "overrides", "message"),
    [
        ([row("a", images=0)], (), "no sample for task multi_id: encode with encode.references"),
        ([row("a", video=0)], (), "no sample for task edit: prepare with cut.reference_video"),
        ([row("a")], ("data.variants=[sdedit]",), "data.variants has sdedit, the pairs have plain, flow"),
        ([row("a")], ("data.frames=9",), "no sample for task t2v"),
        # Each video padded on its own: 152 x 120 pixels and half of it, 1080 rows and 540.
        ([off_grid((15, 19), (8, 10))], (), "pair a has a clean latent of 15 x 19 cells over one of 8 x 10, .*encode"),
        ([off_grid((135, 240), (68, 120))], (), "135 x 240 cells over one of 68 x 120"),
        ([off_grid((16, 18), (8, 10))], ("data.crop=64",), "16 x 18 cells over one of 8 x 10"),
        ([off_grid((8, 10), (16, 20))], (), "8 x 10 cells over one of 16 x 20"),
    ],
)
def test_what_is_missing_is_said_with_its_remedy(rows, overrides, message):
    with pytest.raises(ValueError, match=message):
        make(rows, *overrides)
