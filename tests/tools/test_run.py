"""The lines that the benchmark says as it goes."""

from inpaint_transform.tools.bench.run import line

FOUND = {
    "workers": 0,
    "p": 1,
    "concurrent": False,
    "images_per_s": 110.0,
    "painted_per_s": 110.0,
    "painted": 9,
    "images": 9,
}
FOUND |= {"p50_ms": None, "mean_batch": 2.0, "busy_share": 0.9, "host_pss_mib": 1}


def test_more_than_the_pipeline_alone_is_doubted() -> None:
    assert "137% of bare (doubtful" in line("loader", {**FOUND, "share_of_bare": 1.37})
    assert "90% of bare, " in line("loader", {**FOUND, "share_of_bare": 0.9})


def test_what_was_not_measured_is_not_said() -> None:
    said = line("loader", {**FOUND, "mean_batch": None, "host_pss_mib": None, "share_of_bare": None})
    assert not any(word in said for word in ("None", "batch", "host", "bare"))
