"""What is asked for: models by name or file, videos as their tokens."""

from dataclasses import replace

import pytest
import torch

from gvr_core.attention import AttentionConfig, TokenGrid
from gvr_core.bench.sizes import Size, model_config, size_of_grid, with_form, with_heads
from gvr_core.checkpoints import Header, save_checkpoint


@pytest.mark.parametrize(("frames", "latent"), [(17, 5), (77, 20), (153, 39), (80, 21)])
def test_1080p_has_the_papers_grid(frames, latent):
    size = Size(config=model_config("1.3b"), frames=frames, height=1080, width=1920)
    assert size.grid == TokenGrid(frames=latent, references=0, height=68, width=120)


@pytest.mark.parametrize("name", ["1.3b", "nano"])
def test_a_grid_is_the_video_with_these_tokens(name):
    grid = TokenGrid(frames=5, references=0, height=7, width=11)
    assert size_of_grid(model_config(name), grid).grid == grid


def test_references_are_frames_of_their_own():
    size = Size(config=model_config("1.3b"), frames=77, height=1080, width=1920, references=3)
    assert (size.grid.references, size.grid.total_frames) == (3, 23)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"frames": 0}, "frames is 0"),
        ({"height": 0}, "height is 0"),
        ({"width": 10**6}, "expected sides of at most"),
        ({"references": 11}, "11 reference images, expected at most 10"),
        ({"references": -1}, "references -1"),
    ],
)
def test_impossible_videos_are_named(changes, text):
    with pytest.raises(ValueError, match=text):
        Size(**{"config": model_config("1.3b"), "frames": 77, "height": 1080, "width": 1920, **changes})


def test_a_checkpoint_brings_its_config(tiny_checkpoint):
    config = model_config(str(tiny_checkpoint))
    assert (config.dim, config.num_layers, config.attention.window) == (16, 2, (4, 4))


def test_a_checkpoint_without_dit_is_named(tmp_path):
    save_checkpoint(tmp_path / "x.safetensors", {}, Header(space="nano", parts={}), dtype=torch.float32)
    with pytest.raises(ValueError, match="but no dit: choose another checkpoint"):
        model_config(str(tmp_path / "x.safetensors"))


def test_an_unknown_model_is_named():
    with pytest.raises(ValueError, match=r"model size is '2b', expected 1.3b, 14b, nano or the path"):
        model_config("2b")


def test_the_forms_are_the_models_own_where_it_has_them():
    own = AttentionConfig(kind="sparse_local", window=(8, 8), unit=6, unit_shift=3, window_shift=True)
    config = with_form(model_config("1.3b"), "sparse")
    nano = model_config("nano")
    assert config.attention == AttentionConfig(kind="sparse_local", window=(9, 12), top_k=1)
    assert with_form(nano, "sparse").attention == nano.attention
    assert with_form(config, "full").attention == AttentionConfig()
    assert with_form(config, "units").attention == AttentionConfig(unit=5)
    mine = replace(config, attention=own)
    assert with_form(mine, "units").attention == AttentionConfig(unit=6, unit_shift=3)
    assert with_form(with_form(config, "full"), "sparse") == config


def test_heads_decide_the_channels():
    assert with_heads(model_config("1.3b"), 2, 64).dim == 128
    with pytest.raises(ValueError, match="even number"):
        with_heads(model_config("1.3b"), 2, 65)
