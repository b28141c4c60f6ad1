"""Lane rules of optimizers of other packages, which are imported only if an arm uses one."""

from optcompare import hookimpl


@hookimpl
def optcompare_lane_rules() -> dict[str, str]:
    rules = "optcompare_plugins.lane_rules"
    return {
        "pytorch_optimizer.Lion": f"{rules}.lion.LION",
        "schedulefree.SGDScheduleFree": f"{rules}.schedule_free.SGD",
        "schedulefree.AdamWScheduleFree": f"{rules}.schedule_free.ADAMW",
    }
