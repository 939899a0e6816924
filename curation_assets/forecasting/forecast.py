"""From a sample to the snapshot: core-hours, disk, memory, time on the clock and price.

What the workers spend on parts, and what each further document costs in global stations, is estimated with the sample's
ratios (`estimator.total`); start-up, fixed costs and what looks at a bounded number of documents are added as they
were measured. All intervals are of the sample: which WARC files were drawn. Another machine, another mix of programs
beside, and growth that is not linear are not in them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from curation_assets.forecasting.estimator import CONFIDENCE, Estimate, total
from curation_assets.forecasting.sampling import Cost, Part, Sampled, Unit

HOUR = 3600.0
GIGABYTE = 1e9
DUCKDB = 1e9
"""Bytes that a query holds at most (`query.MEMORY_LIMIT`)."""


@dataclass(frozen=True)
class StationForecast:
    """One station on the snapshot."""

    name: str
    part_seconds: float
    """CPU seconds of workers, WARC file by WARC file: as many at a time as there are workers."""
    pool_seconds: float
    """CPU seconds of workers on other work: buckets, shards, files to hash."""
    driver_seconds: float
    """CPU seconds of the one process that drives them; on the clock no more than that."""
    bytes: Estimate
    """Written to the lake."""
    memory_bytes: float
    """Of the driver while it is at this station, beyond what it holds anyway: no less than a run needs."""
    scratch_bytes: float

    @property
    def seconds(self) -> float:
        """CPU seconds in all."""
        return self.part_seconds + self.pool_seconds + self.driver_seconds


@dataclass(frozen=True)
class Forecast:
    """What a run on the snapshot will take."""

    snapshot: str
    recipe: str
    files: int
    sampled_files: int
    sampled_share: float
    """Of the snapshot, by bytes where those are known, else by files."""
    warc_bytes: Estimate
    documents: Estimate
    kept: Estimate
    """An upper bound where a recipe deduplicates: in more documents, more repeat one another."""
    tokens: Estimate
    """As `kept`."""
    deduplicated: tuple[float, ...]
    """See `Sampled.deduplicated`."""
    cpu_seconds: Estimate
    stations: list[StationForecast]
    start_driver_seconds: float
    start_worker_seconds: float
    """Of each worker."""
    workers: int
    """That the CPU seconds of start-up are for."""
    lake_bytes: Estimate
    scratch_bytes: float
    """Temporary files at most, in the lake's folder."""
    worker_memory_bytes: int
    driver_memory_bytes: float
    driver_sampled_bytes: int
    """What the driver held in the sample."""
    busy: float
    """Of the workers' time on the clock while sampling, how much was computing."""


def forecast(sampled: Sampled, workers: int) -> Forecast:
    """Scale a sample to the snapshot that it is of, for a run with so many workers on all machines."""
    parts, whole = sampled.parts, sampled.whole
    sizes = sampled.sizes()
    workers = min(workers, whole.parts)

    def scaled(amount: Callable[[str, Part], float]) -> Estimate:
        return total([amount(stem, part) for stem, part in parts.items()], sizes, whole)

    by_unit: dict[Unit, float] = {
        "bytes": scaled(lambda _, part: part.bytes).value,
        "documents": scaled(lambda _, part: part.documents).value,
        "kept": scaled(lambda _, part: part.kept).value,
    }
    stations = [_station(cost, parts, by_unit, scaled) for cost in sampled.costs]
    growing = [cost for cost in sampled.costs if math.isinf(cost.ceiling)]
    by_part = scaled(
        lambda stem, part: math.fsum(
            cost.parts.get(stem, 0.0) + (cost.pool.rate + cost.driver.rate) * part.size(cost.unit) for cost in growing
        )
    )
    start = sampled.start.driver + workers * sampled.start.worker
    known = start + math.fsum(one.seconds for one in stations) - by_part.value
    lake = scaled(
        lambda stem, part: math.fsum(
            cost.files.get(stem, 0) + cost.rest.rate * part.size(cost.unit) for cost in sampled.costs
        )
    )
    return Forecast(
        snapshot=sampled.snapshot,
        recipe=sampled.recipe,
        files=whole.parts,
        sampled_files=len(parts),
        sampled_share=min(sum(sizes) / whole.size, 1.0),
        warc_bytes=scaled(lambda _, part: part.bytes),
        documents=scaled(lambda _, part: part.documents),
        kept=scaled(lambda _, part: part.kept),
        tokens=scaled(lambda _, part: part.tokens),
        deduplicated=sampled.deduplicated,
        cpu_seconds=by_part.plus(known),
        stations=stations,
        start_driver_seconds=sampled.start.driver,
        start_worker_seconds=sampled.start.worker,
        workers=workers,
        lake_bytes=lake.plus(math.fsum(cost.rest.fixed for cost in sampled.costs)),
        scratch_bytes=max((one.scratch_bytes for one in stations), default=0.0),
        worker_memory_bytes=sampled.worker_memory,
        driver_memory_bytes=sampled.driver_memory + max((one.memory_bytes for one in stations), default=0.0),
        driver_sampled_bytes=sampled.driver_peak,
        busy=sampled.busy,
    )


def _station(
    cost: Cost,
    parts: Mapping[str, Part],
    by_unit: Mapping[Unit, float],
    scaled: Callable[[Callable[[str, Part], float]], Estimate],
) -> StationForecast:
    size = by_unit[cost.unit]
    seen = sum(part.size(cost.unit) for part in parts.values())
    looked = min(size, cost.ceiling * seen)
    return StationForecast(
        name=cost.name,
        part_seconds=scaled(lambda stem, _: cost.parts.get(stem, 0.0)).value if cost.parts else 0.0,
        pool_seconds=cost.pool.at(looked),
        driver_seconds=cost.driver.at(looked),
        bytes=scaled(lambda stem, part: cost.files.get(stem, 0) + cost.rest.rate * part.size(cost.unit)).plus(
            cost.rest.fixed
        ),
        memory_bytes=min(cost.memory.at(looked), max(DUCKDB, cost.memory.at(seen))) + cost.held * size,
        scratch_bytes=cost.scratch.at(looked),
    )


@dataclass(frozen=True)
class Schedule:
    """A run on so many machines."""

    cores: int
    """Of each machine, with a worker on each."""
    machines: int
    wall_seconds: Estimate
    machine_memory_bytes: float
    """Of the machine that the driver runs on."""
    used_core_hours: Estimate
    paid_core_hours: Estimate
    """All cores for all the time, also while most of them wait for the driver."""
    source_bytes_per_second: float
    """What the source must deliver for `documents` not to wait for it."""


def schedule(found: Forecast, cores: int, machines: int = 1) -> Schedule:
    """How long a run takes: parts in waves of as many as there are workers, then what the driver does alone.

    Each station waits for the one before it. A worker has a core to itself, of the kind that the sample was made on.
    """
    workers = cores * machines
    waves = math.ceil(found.files / workers) / found.files
    reading = next((one.part_seconds * waves for one in found.stations if one.name == "documents"), 0.0)
    wall = found.start_driver_seconds + found.start_worker_seconds
    for one in found.stations:
        wall += one.part_seconds * waves + one.pool_seconds / workers + one.driver_seconds
    low, high = (bound / found.cpu_seconds.value for bound in found.cpu_seconds[1:])
    clock = Estimate(wall, wall * low, wall * high)
    return Schedule(
        cores=cores,
        machines=machines,
        wall_seconds=clock,
        machine_memory_bytes=min(cores, found.files) * found.worker_memory_bytes + found.driver_memory_bytes,
        used_core_hours=found.cpu_seconds.times(1 / HOUR),
        paid_core_hours=clock.times(workers / HOUR),
        source_bytes_per_second=found.warc_bytes.value / reading if reading else 0.0,
    )


@dataclass(frozen=True)
class Price:
    """What it costs, in the currency of the prices."""

    compute: Estimate
    """All cores for all the time."""
    storage_a_month: Estimate
    """Of the lake."""


def price(found: Forecast, planned: Schedule, core_hour: float, gigabyte_month: float) -> Price:
    """By the price of an hour of a core, and of 10⁹ bytes for a month."""
    return Price(
        compute=planned.paid_core_hours.times(core_hour),
        storage_a_month=found.lake_bytes.times(gigabyte_month / GIGABYTE),
    )


def as_json(found: Forecast, planned: Schedule, cost: Price | None) -> dict[str, Any]:
    """Everything, for machines; estimates are objects of value, low and high. docs/forecast.md names the fields."""
    told = {
        **asdict(found),
        "confidence": CONFIDENCE,
        "schedule": asdict(planned),
        "price": asdict(cost) if cost is not None else None,
    }
    return _plain(told)


def _plain(value: Any) -> Any:
    match value:
        case Estimate():
            return value._asdict()
        case dict():
            return {name: _plain(one) for name, one in value.items()}
        case list():
            return [_plain(one) for one in value]
    return value
