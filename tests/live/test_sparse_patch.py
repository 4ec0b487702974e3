"""Sparse Local Attention inside the host's process: every variant of its models, masks, memory, compiling, the log."""

import pytest

pytestmark = pytest.mark.live

SPARSE = "INFO Sparse Local Attention: {} of {} self-attention calls sparse, each query with {} % of the keys"
DENSE = "INFO Sparse Local Attention: attention stays dense, {}"
# Their self-attention has tokens that are no frames of the video.
OTHER_TOKENS = {"wan_s2v motion": 432, "wan_scail pose": 384}


@pytest.fixture(scope="module")
def variants(run_inside):
    return run_inside("sparse_variants")


@pytest.fixture(scope="module")
def runs(run_inside):
    return run_inside("sparse_runs")


@pytest.fixture(scope="module")
def compiled(run_inside):
    return run_inside("sparse_compile")


def test_all_windows_are_what_every_variant_does_by_itself(variants):
    for name, found in variants.items():
        difference = found["difference"]
        assert found["finite"], name
        if found["said"]["one"] and " sparse, each query" not in found["said"]["one"][0]:
            continue
        assert difference.pop("one") > 1e-3, name
        assert max(difference.values()) < 1e-4, (name, difference)


def test_variants_that_stay_dense_say_so(variants, host):
    dense = {name: found for name, found in variants.items() if "stays dense" in found["said"]["one"][0]}
    unpassed = {"wan_s2v", "wan_s2v motion"} if host.version == "0.3.64" else set()

    assert set(dense) == (set(OTHER_TOKENS) & set(variants)) | unpassed
    for name, found in dense.items():
        assert not any(found["difference"][run] for run in ("every", "one", "cfg")), name
        (line,) = found["said"]["one"]
        if name in unpassed:
            assert line.startswith("WARNING")
            assert "the blocks of WanModel_S2V ran but their attention did not come by" in line
        else:
            words = f"{OTHER_TOKENS[name]} tokens are not 3 frames of 8 x 12, the model has others beside the video"
            assert line == DENSE.format(words)


def test_masks_are_plain_masked_attention(run_inside):
    for name, (difference, notes) in run_inside("sparse_masks").items():
        assert notes == ["sparse"], name
        assert difference < 1e-5, name


def test_a_call_takes_its_result_and_little_more(run_inside):
    """The result is one; a group of heads, here one of twelve, is copied a few times."""
    for name, peak in run_inside("sparse_memory").items():
        assert peak < (1.6 if "front" in name or "reference" in name else 1.4), name


def test_models_are_compiled_once_for_all_noise_levels(compiled):
    for name, counts in compiled["models"].items():
        graphs = counts["plain"]["graphs"]
        assert counts["sparse"]["graphs"] == graphs, name
        # Dense and sparse steps are two programs.
        assert counts["part"]["graphs"] == [2 * n for n in graphs], name
        assert {count["runs"] for count in counts.values()} == {counts["plain"]["runs"]}, f"{name}: no graph breaks"
        assert counts["plain"]["runs"] % (2 * compiled["steps"]) == 0


def test_models_are_not_compiled_anew_for_prompts_of_other_lengths(compiled):
    assert compiled["prompts"]["sparse"] == compiled["prompts"]["plain"]


@pytest.mark.parametrize("shift", [1, 3, 12])
def test_the_percents_are_those_of_the_model_that_is_sampled(runs, shift):
    """10 even steps begin at 0, 10, ... 90 %: four of them between 25 and 65."""
    outside = "; 6 of 10 model calls outside of start_percent and end_percent"
    for order in ("before", "after"):
        assert runs[f"shift {shift} {order}"] == [SPARSE.format(8, 8, 16.7) + outside]


def test_control_blocks_are_layers_of_their_own(runs):
    """Four blocks, after the first and the third a control block, for each of its videos: units shift in both rows."""
    assert runs["wan layers"] == [0, 1]
    assert runs["vace layers"] == [0, 0, 1, 0, 1, 1]
    assert runs["vace twice layers"] == [0, 0, 0, 1, 0, 1, 1, 1]


def test_copies_take_a_quarter_of_what_is_free(runs):
    """As powers of two, and never more than 1 GiB nor less than 256 MiB."""
    assert runs["bounds"] == {"0": [2**28], str(2**30): [2**28], str(3 * 2**30): [2**29], str(2**37): [2**30]}


def test_a_mask_is_read_once(runs):
    """In four blocks; what is read of it then is on the CPU."""
    plain, sparse = runs["waits"]["plain"], runs["waits"]["sparse"]
    assert sparse["numbers"] - plain["numbers"] == 1
    assert sparse["values"] - plain["values"] <= 4


def test_every_run_says_what_was_done(runs):
    later = "another Sparse Local Attention, connected later, takes its place"
    assert runs["all"] == runs["no sigmas"] == [SPARSE.format(4, 4, 16.7)]
    assert runs["dense"] == [SPARSE.format(2, 4, 16.7) + "; 2 dense, as dense_blocks says"]
    assert runs["short"] == [DENSE.format("288 tokens are fewer than min_tokens, 289")]
    assert runs["never"] == [DENSE.format("no model call is between start_percent 0.99 and end_percent 1.0")]
    assert sorted(runs["two"]) == sorted([SPARSE.format(4, 4, "100.0"), DENSE.format(later)])


def test_a_cascade_says_what_was_done(runs):
    """Windows are whole frames: two of three, and with a reference three of four."""
    later = "another Sparse Local Attention, connected later, takes its place"
    assert runs["cascade"] == [SPARSE.format(6, 6, 66.7)]
    assert runs["cascade, reference"] == [SPARSE.format(6, 6, "75.0")]
    assert sorted(runs["cascade, two"]) == sorted([DENSE.format(later), DENSE.format("as dense_blocks says")])
    assert runs["cascade, no step"] == []


@pytest.mark.parametrize("method", ["forward", "forward_orig"])
def test_a_replaced_forward_is_named(runs, method):
    cause = (
        f"another node has replaced {method} of WanModel (some versions of TeaCache do): remove one of the two nodes"
    )
    assert runs[f"{method} replaced"] == ["WARNING" + DENSE.format(cause).removeprefix("INFO")]


def test_a_replaced_attention_is_said(runs):
    (line,) = runs["attention replaced"]
    assert line.startswith("WARNING Sparse Local Attention: attention stays dense, the blocks of WanModel ran but")
    assert "another node has replaced the attention function" in line


@pytest.mark.parametrize(("node", "calls"), [("easycache", 6), ("context windows", 48)])
def test_it_goes_with_nodes_that_change_what_is_evaluated(runs, node, calls):
    """EasyCache leaves out five of eight steps; 7 frames are three windows of up to 4, two blocks each."""
    assert runs[node]["difference"] < 1e-4
    assert runs[node]["said"] == [SPARSE.format(calls, calls, "100.0")]


def test_masks_that_other_nodes_change_are_read_again(runs):
    assert runs["copied mask"]["difference"] < 1e-4
    assert runs["copied mask"]["said"] == [SPARSE.format(8, 8, "100.0")]
    assert runs["odd mask"] == [
        SPARSE.format(4, 8, 22.1) + "; 4 dense, its mask does more than leave out some of the text"
    ]
