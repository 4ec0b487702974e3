"""Latent files: round trips, ComfyUI's conventions, and what is refused."""

from fractions import Fraction
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gvr_core.latent_files import LatentFile, read_latent, write_latent

REAL = Path(__file__).parents[2] / "../shared/data/latents/wan21_latent_61f_512x320.pth"


@pytest.fixture
def latent():
    return torch.randn(1, 16, 3, 4, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("suffix", [".latent", ".safetensors"])
def test_round_trip(tmp_path, latent, suffix):
    file = LatentFile(latent=latent, space="wan21", frames=9, fps=Fraction(30000, 1001), height=30, width=40)
    write_latent(tmp_path / f"a{suffix}", file)
    again = read_latent(str(tmp_path / f"a{suffix}"))
    assert torch.equal(again.latent, latent)
    assert (again.space, again.frames, again.fps) == ("wan21", 9, Fraction(30000, 1001))
    assert (again.height, again.width) == (30, 40)
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix}"]


def test_unknown_fields_stay_unknown(tmp_path, latent):
    write_latent(tmp_path / "a.safetensors", LatentFile(latent=latent))
    again = read_latent(tmp_path / "a.safetensors")
    assert (again.space, again.frames, again.fps, again.height, again.width) == (None,) * 5
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata() == {"format": "gvr-latent"}


def test_latent_is_what_comfyui_loads(tmp_path, latent):
    """Its loader takes `latent_tensor` and leaves the values alone when the version key is there."""
    write_latent(tmp_path / "a.latent", LatentFile(latent=latent))
    tensors = load_file(tmp_path / "a.latent")
    assert set(tensors) == {"latent_tensor", "latent_format_version_0"}
    assert torch.equal(tensors["latent_tensor"], latent)


def test_old_comfyui_files_are_scaled_as_comfyui_does(tmp_path, latent):
    save_file({"latent_tensor": latent}, tmp_path / "a.latent", metadata={"prompt": "{}"})
    torch.testing.assert_close(read_latent(tmp_path / "a.latent").latent, latent / 0.18215)


def test_pictures_of_comfyui_become_one_latent_frame(tmp_path):
    picture = torch.randn(1, 16, 4, 5)
    save_file({"latent_tensor": picture, "latent_format_version_0": torch.tensor([])}, tmp_path / "a.latent")
    assert torch.equal(read_latent(tmp_path / "a.latent").latent, picture[:, :, None])


@pytest.mark.parametrize("name", ["latent", "whatever"])
def test_safetensors_without_our_metadata(tmp_path, latent, name):
    """4-D is one video."""
    save_file({name: latent[0].half()}, tmp_path / "a.safetensors", metadata={"format": "pt", "frames": "many"})
    file = read_latent(tmp_path / "a.safetensors")
    assert file.latent.dtype == torch.float32
    assert file.frames is None
    torch.testing.assert_close(file.latent, latent, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: x[0], lambda x: {"latent": x, "step": 3}, lambda x: {"z": x}])
@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_torch_files(tmp_path, latent, wrap, suffix):
    torch.save(wrap(latent.bfloat16()), tmp_path / f"a{suffix}")
    assert torch.equal(read_latent(tmp_path / f"a{suffix}").latent, latent.bfloat16().float())


@pytest.mark.skipif(not REAL.exists(), reason="the data folder with a real Wan 2.1 latent is not here")
def test_a_real_latent():
    file = read_latent(REAL)
    assert file.latent.shape == (1, 16, 16, 40, 64)
    assert file.latent.std() == pytest.approx(0.94, abs=0.01)


def _bad(latent, **where):
    latent = latent.clone()
    latent[0, 0, 0, 0, 0] = where["value"]
    return latent


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: _bad(x, value=float("nan")), r"a\.safetensors: latent holds NaN or infinite values"),
        (lambda x: _bad(x, value=float("inf")), "latent holds NaN or infinite values"),
        (lambda x: x[0, 0], r"latent has shape \(3, 4, 5\), expected `b c t h w`"),
        (lambda x: x[None], "expected `b c t h w`"),
        (lambda x: x.repeat(2, 1, 1, 1, 1), "latent is a batch of 2"),
        (lambda x: x[:, :, :0], "with no empty side"),
        (lambda x: x.to(torch.int32), r"a tensor of torch\.int32, expected floating point"),
    ],
)
def test_wrong_latents_are_refused(tmp_path, latent, change, message):
    save_file({"latent": change(latent).contiguous()}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=message):
        read_latent(tmp_path / "a.safetensors")


def test_wrong_latents_are_not_written(latent):
    with pytest.raises(ValueError, match=r"latent is torch\.float16, expected float32"):
        LatentFile(latent=latent.half())


@pytest.mark.parametrize("fields", [{"frames": "nine"}, {"fps": "fast"}, {"fps": "1/0"}])
def test_nonsense_in_our_metadata_names_the_file(tmp_path, latent, fields):
    save_file({"latent": latent}, tmp_path / "a.safetensors", metadata={"format": "gvr-latent", **fields})
    with pytest.raises(ValueError, match=r"a\.safetensors: "):
        read_latent(tmp_path / "a.safetensors")


def test_checkpoints_are_told_from_latents(tmp_path, latent):
    tensors = {"blocks.0.weight": latent, "blocks.0.bias": latent.clone()}
    save_file(tensors, tmp_path / "a.safetensors")
    torch.save(tensors, tmp_path / "a.pth")
    for suffix in (".safetensors", ".pth"):
        message = r"holds 2 tensors \(blocks\.0\.bias, blocks\.0\.weight\), expected one called `latent`"
        with pytest.raises(ValueError, match=message):
            read_latent(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".latent", ".safetensors", ".pth", ".pt"])
@pytest.mark.parametrize("content", [b"", b"no tensors here" * 20])
def test_damaged_files_are_named(tmp_path, suffix, content):
    (tmp_path / f"a{suffix}").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\{suffix} is damaged"):
        read_latent(tmp_path / f"a{suffix}")


def test_pickled_code_is_not_run(tmp_path):
    torch.save(Path("a"), tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth is damaged or holds more than tensors"):
        read_latent(tmp_path / "a.pth")


def test_torch_file_without_a_tensor(tmp_path):
    torch.save([1, 2], tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth holds a list, expected a tensor"):
        read_latent(tmp_path / "a.pth")


def test_paths(tmp_path, latent):
    file = LatentFile(latent=latent)
    (tmp_path / "a.mp4").touch()
    with pytest.raises(ValueError, match="no such file"):
        read_latent(tmp_path / "b.latent")
    with pytest.raises(ValueError, match=r"a\.mp4 is not a latent file: expected a name ending in \.latent"):
        read_latent(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match=r"cannot write a\.pth: give a name ending in \.latent or \.safetensors"):
        write_latent(tmp_path / "a.pth", file)
    with pytest.raises(ValueError, match=r"the folder .*nowhere does not exist"):
        write_latent(tmp_path / "nowhere" / "a.latent", file)


def test_failed_writing_leaves_the_old_file(tmp_path, latent, monkeypatch):
    write_latent(tmp_path / "a.latent", LatentFile(latent=latent))

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", refuse)
    with pytest.raises(ValueError, match="No space left on device"):
        write_latent(tmp_path / "a.latent", LatentFile(latent=2 * latent))
    assert [path.name for path in tmp_path.iterdir()] == ["a.latent"]
    assert torch.equal(read_latent(tmp_path / "a.latent").latent, latent)
