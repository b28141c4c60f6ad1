"""The reproductions that optcompare brings, by name: each is the function of its module's name."""

from optcompare import hookimpl

MODULES = (
    "grab",
    "growth",
    "large_batch_gap",
    "mnist1d",
    "noise_scale",
    "noisy_quadratic",
    "notebook",
    "seeds",
    "small_batch",
    "three_regions",
)


@hookimpl
def optcompare_reproductions() -> dict[str, str]:
    return {name.replace("_", "-"): f"optcompare_plugins.reproductions.{name}.{name}" for name in MODULES}
