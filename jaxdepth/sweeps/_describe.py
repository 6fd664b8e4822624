"""What a run is of: the manifest of its store, and the attributes of its dataset."""

from __future__ import annotations

import datetime
import platform
from typing import Any

from jaxdepth.sweeps._compiled import Resources
from jaxdepth.sweeps._identity import environment, named, parts
from jaxdepth.sweeps._plan import Plan


def described(
    plan: Plan,
    measure: Any,
    source: str | None,
    host: bool,
    units: dict[str, str],
    means: Resources,
) -> dict[str, Any]:
    """Return `identity`, which a store is held against, and what labels the results."""
    statics = [axis.values for axis in plan.axes.values() if axis.kind == "static"]
    surroundings = environment(statics, *([] if source is None else [measure]))
    surroundings["device"] = f"{means.devices[0].platform}: {means.devices[0].device_kind}"
    told = {"source": None, "captured": None} if source is None else parts(measure)
    identity = {
        "plan": {**plan.described(), "digest": plan.digest},
        "measure": {"name": named(measure), **told, "host": host},
        **surroundings,
    }
    axes = {
        name: {"dimension": plan.places[name], "kind": axis.kind, "values": axis.labels()}
        for name, axis in plan.axes.items()
    }
    attributes = {
        "title": f"{named(measure)} over {', '.join(plan.axes)}",
        "Conventions": "CF-1.11",
        "source": f"jaxdepth {surroundings['versions']['jaxdepth']}, "
        f"JAX {surroundings['versions']['jax']}",
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "backend": means.devices[0].platform,
        "device": means.devices[0].device_kind,
        "devices": len(means.devices),
        "machine": f"{platform.system()} {platform.machine()}",
        "precision": surroundings["precision"]["float"],
        "plan": plan.digest,
    }
    return {
        "identity": identity,
        "dimensions": dict(plan.dims),
        "tiles": [bucket.num_tiles for bucket in plan.buckets],
        "axes": axes,
        "units": units,
        "attributes": attributes,
    }
