"""Wan T2V weights as a start: step 0 of the cascade is diffusers' Wan, whatever names and types they are stored in."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from gvr_core.attention import AttentionConfig
from gvr_core.models.dit import DiT
from gvr_core.references import ReferenceRanges
from gvr_core.wan_diffusers_names import wan_name
from gvr_core.wan_weights import check_sizes, config_of, initialize_from_wan, open_wan

SMALL = {"dim": 256, "ffn_dim": 320, "num_heads": 2, "num_layers": 2, "freq_dim": 64, "text_dim": 24}
BASE = {
    "space": "wan21",
    "latent_channels": 16,
    "condition_channels": 0,
    **SMALL,
    "patch_size": (1, 2, 2),
    "eps": 1e-6,
    "cross_attn_norm": True,
    "spatial_attention": False,
    "noise_embedding": False,
    "attention": AttentionConfig(),
    "reference_ranges": ReferenceRanges(),
    "residual_std": None,
}
CASCADE = {"condition_channels": 16, "noise_embedding": True, "spatial_attention": True}


@pytest.fixture(scope="module")
def config(tiny_dit_config):
    return lambda **changes: tiny_dit_config(**{**BASE, **changes})


def diffusers_model(channels=16, **changes):
    """diffusers' Wan with random weights of ordinary size."""
    diffusers = pytest.importorskip("diffusers", reason="Wan's truth is diffusers' class: install it")
    torch.manual_seed(0)
    sizes = {"num_attention_heads": 2, "ffn_dim": 320, "num_layers": 2, "freq_dim": 64, "text_dim": 24, **changes}
    model = diffusers.WanTransformer3DModel(in_channels=channels, out_channels=channels, **sizes)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(std=parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.2)
            if ".norm" in name and name.endswith("weight"):
                parameter.add_(1)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def wan():
    return diffusers_model()


@pytest.fixture(scope="module")
def bare(wan):
    """The same weights under Wan's names."""
    return {wan_name(name): tensor for name, tensor in wan.state_dict().items()}


@pytest.fixture
def cascade(config):
    torch.manual_seed(1)
    dit = DiT(config(**CASCADE))
    dit.initialize()
    return dit.requires_grad_(False)


def assert_step_0_is(cascade, wan, channels=16, atol=1e-4):
    """The cascade's velocity without references equals Wan's, at any noise level of any condition."""
    source = torch.Generator().manual_seed(3)
    x, context = (torch.randn(shape, generator=source) for shape in ((2, channels, 3, 4, 6), (2, 5, 24)))
    condition, timestep = torch.randn(x.shape, generator=source), torch.tensor([137.5, 900.0])
    with torch.no_grad():
        expected = wan(x, timestep, context, return_dict=False)[0]
        assert expected.std() > 0.1
        for scale, level in ((0.0, 0.0), (1.0, 0.4), (30.0, torch.tensor([0.0, 1.0]))):
            result = cascade(x, timestep, context, condition=scale * condition, noise_level=level)
            torch.testing.assert_close(result, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("prefix", ["", "model.", "model.diffusion_model."])
def test_step_0_is_wan_under_every_prefix(wan, bare, cascade, tmp_path, prefix):
    file = tmp_path / "wan.safetensors"
    extra = {"first_stage_model.weight": torch.zeros(1)} if prefix else {}
    save_file({**{prefix + n: t for n, t in bare.items()}, **extra}, file)
    new = initialize_from_wan(cascade, file)
    assert all(name.startswith("noise_embedding.") or ".spatial_attn." in name for name in new)
    assert any(".spatial_attn." in name for name in new)
    assert_step_0_is(cascade, wan)


def test_step_0_is_wan_from_a_folder_of_diffusers(wan, cascade, tmp_path):
    """As diffusers writes it: its names, several files and an index, in the folder `transformer` of a model."""
    wan.save_pretrained(tmp_path / "transformer", max_shard_size="1MB")
    assert len(list((tmp_path / "transformer").glob("*.safetensors"))) > 2
    for path in (tmp_path, tmp_path / "transformer"):
        initialize_from_wan(cascade, path)
        assert_step_0_is(cascade, wan)


def test_step_0_is_wan_2_2_with_48_channels(config, tmp_path):
    wan = diffusers_model(channels=48)
    wan.save_pretrained(tmp_path / "transformer")
    dit = DiT(config(space="wan22", latent_channels=48, **{**CASCADE, "condition_channels": 48}))
    dit.initialize()
    initialize_from_wan(dit, tmp_path)
    assert_step_0_is(dit, wan, channels=48)


def test_references_are_the_only_thing_that_changes_step_0(wan, cascade, tmp_path):
    wan.save_pretrained(tmp_path / "transformer")
    initialize_from_wan(cascade, tmp_path)
    x, context = torch.randn(1, 16, 2, 4, 4), torch.randn(1, 3, 24)
    references = torch.randn(1, 16, 1, 4, 4)
    plain = cascade(x, 500.0, context)
    assert (cascade(x, 500.0, context, references=references, reference_times=[20]) - plain).abs().max() > 1e-3


def scaled(bare):
    """ComfyUI's fp8 files: matrices in 8 bits with a factor, everything else as it was."""
    tensors = {"scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}
    for name, tensor in bare.items():
        tensors[name] = tensor
        if tensor.ndim == 2:
            factor = tensor.abs().max() / 400
            tensors[name] = (tensor / factor).to(torch.float8_e4m3fn)
            tensors[f"{name.removesuffix('.weight')}.scale_weight"] = factor
            tensors[f"{name.removesuffix('.weight')}.scale_input"] = torch.ones(1)
    return tensors


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float8_e4m3fn, "scaled"])
def test_stored_types_become_float32(bare, cascade, tmp_path, kind):
    file = tmp_path / "wan.safetensors"
    stored = scaled(bare) if kind == "scaled" else {name: tensor.to(kind) for name, tensor in bare.items()}
    save_file(stored, file)
    initialize_from_wan(cascade, file)
    state = cascade.state_dict()
    tolerance = {torch.float16: 1e-3, torch.bfloat16: 1e-2}.get(kind, 0.07)
    for name, tensor in bare.items():
        own = state[name][:, :16] if name == "patch_embedding.weight" else state[name]
        assert own.dtype == torch.float32
        # 8 bits have 3 for the fraction, and below 2**-6 (of the factor) equal steps.
        torch.testing.assert_close(own, tensor, rtol=tolerance, atol=2e-3)


def test_scales_of_blocks_are_refused(bare, cascade, tmp_path):
    file = tmp_path / "wan.safetensors"
    save_file({**bare, "blocks.0.ffn.0.weight_scale": torch.ones(4)}, file)
    with pytest.raises(ValueError, match="in blocks with a factor each: take the bf16"):
        initialize_from_wan(cascade, file)


def test_shards_are_read_through_their_index_or_folder(bare, tmp_path):
    names = sorted(bare)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({n: bare[n] for n in part}, tmp_path / file)
    index = tmp_path / "wan.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {n: file for file, part in halves.items() for n in part}}))
    for path in (index, tmp_path):
        weights = open_wan(path)
        assert sorted(weights.shapes) == names
        assert all(torch.equal(weights.read(n), bare[n]) for n in names)


def test_the_name_map_covers_diffusers_and_nothing_else(wan, config):
    ours = DiT(config(), device="meta").state_dict()
    theirs = {wan_name(name): tensor.shape for name, tensor in wan.state_dict().items()}
    assert theirs == {name: tensor.shape for name, tensor in ours.items()}
    for name in ("blocks.0.attn2.add_k_proj.weight", "condition_embedder.image_embedder.norm1.weight", "rope.freqs"):
        assert wan_name(name) is None


@pytest.mark.parametrize(
    ("heads", "ffn_dim", "layers", "channels", "space"),
    [(12, 8960, 30, 16, "wan21"), (40, 13824, 40, 16, "wan21"), (24, 14336, 30, 48, "wan22")],
)
def test_the_config_is_derived_from_the_shapes_of_every_size(heads, ffn_dim, layers, channels, space):
    diffusers = pytest.importorskip("diffusers")
    with torch.device("meta"):
        theirs = diffusers.WanTransformer3DModel(
            num_attention_heads=heads, ffn_dim=ffn_dim, num_layers=layers, in_channels=channels, out_channels=channels
        )
    shapes = {wan_name(name): tuple(tensor.shape) for name, tensor in theirs.state_dict().items()}
    config = config_of(shapes)
    assert (config.num_heads, config.dim, config.space) == (heads, 128 * heads, space)
    own = DiT(config, device="meta").state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in own.items()} == shapes


def test_what_does_not_fit_is_said(bare, config, cascade, tmp_path):
    with pytest.raises(ValueError, match="no such weights"):
        open_wan(tmp_path / "none.safetensors")
    text = tmp_path / "text.safetensors"
    text.write_text("hello")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        open_wan(text)
    index = tmp_path / "x.safetensors.index.json"
    for damaged in ("{", "{}", "[]"):
        index.write_text(damaged)
        with pytest.raises(ValueError, match="not an index of weights"):
            open_wan(index)
    index.unlink()

    def saved(name, tensors):
        save_file(tensors, tmp_path / name)
        return tmp_path / name

    with pytest.raises(ValueError, match="holds no Wan transformer"):
        open_wan(saved("other.safetensors", {"proj_out.weight": torch.zeros(1)}))
    missing = saved("missing.safetensors", {n: t for n, t in bare.items() if n != "blocks.1.ffn.0.bias"})
    with pytest.raises(ValueError, match=r"1 tensors missing \(blocks\.1\.ffn\.0\.bias\)"):
        initialize_from_wan(cascade, missing)
    whole = saved("whole.safetensors", bare)
    with pytest.raises(ValueError, match=r"the section has ffn_dim 48 instead of 320, num_layers 3 instead of 2"):
        initialize_from_wan(DiT(config(ffn_dim=48, num_layers=3)), whole)
    with pytest.raises(ValueError, match="num_heads 8 instead of 2"):  # no shape would have told
        check_sizes(config(num_heads=8), open_wan(whole))
    images = saved("i2v.safetensors", {**bare, "blocks.0.cross_attn.k_img.weight": torch.zeros(256, 256)})
    with pytest.raises(ValueError, match="image-to-video weights"):
        initialize_from_wan(cascade, images)
    wide = saved("wide.safetensors", {**bare, "patch_embedding.weight": torch.zeros(256, 36, 1, 2, 2)})
    with pytest.raises(ValueError, match="have the latent's channels alone"):
        initialize_from_wan(cascade, wide)
    broken = saved("nan.safetensors", {**bare, "head.modulation": torch.full((1, 2, 256), torch.nan)})
    with pytest.raises(ValueError, match=r"head\.modulation holds values that are not finite"):
        initialize_from_wan(cascade, broken)
    assert load_file(whole).keys() == bare.keys()
