"""What the dispatcher says of a tenant: sums over the others, and through JSON."""

from dataclasses import replace

from fairshare.contest import ClassPlace
from fairshare.gates import Gate, Rate
from fairshare.scheduler import FairScheduler, Priority
from jobs.backlog import Head, TenantConfig
from jobs.pool import Pool
from jobs.standings import Rivals, Standing, standings_in

CONFIG = TenantConfig(
    slug="a",
    weight=1000,
    cap=None,
    rate=None,
    burst=None,
    is_paused=False,
    pool="shared",
    tier="standard",
    tier_weight=1000,
)


def make_pool(*configs: TenantConfig, slots: int = 4) -> Pool:
    pool = Pool("shared", slots=slots)
    for config in configs:
        pool.configure(config)
    return pool


def offer(pool: Pool, tenant: str, *jobs: str, priority: int = 2) -> None:
    for job in jobs:
        pool.offer(Head(job, tenant, "sleep", priority, is_suspect=False))


def publish(pool: Pool) -> None:
    bundles = pool.plan(lambda head: 1_000_000, now_us=0)
    jobs = [pick.job for bundle in bundles for pick in bundle]
    attempts = {job: number for number, job in enumerate(jobs, start=1)}
    for bundle in bundles:
        pool.publishes(bundle, attempts)


def told(pool: Pool, config: TenantConfig, longest_us: int = 0) -> Standing:
    (standing,) = standings_in(pool, [config], longest_us, now_us=7)
    return standing


def test_rivals_are_those_that_have_work_and_nobody_twice():
    others = [
        replace(CONFIG, slug="b", weight=2000, cap=1),
        replace(CONFIG, slug="c", weight=4000),
        replace(CONFIG, slug="idle", weight=8000),
        replace(CONFIG, slug="g", tier="gold", tier_weight=3000),
    ]
    pool = make_pool(CONFIG, *others)
    for tenant in ("b", "c", "g"):
        offer(pool, tenant, f"{tenant}1")
    most = 4 + 2
    alone = told(pool, CONFIG)
    assert alone.rivals == Rivals(weight=6000, most=1 + most)
    assert alone.tier_rivals == Rivals(weight=3000, most=most)
    offer(pool, "a", "a1")
    assert told(pool, CONFIG).rivals == alone.rivals
    b = told(pool, others[0])
    assert b.rivals == Rivals(weight=1000 + 4000, most=2 * most)
    assert b.cap == 1
    g = told(pool, others[-1])
    assert g.rivals == Rivals(weight=0, most=0)
    assert g.tier_rivals == Rivals(weight=1000, most=most)
    assert g.tier_weight == 3000


def test_what_is_in_flight_competes_too_and_is_counted_by_class_and_kind():
    pool = make_pool(CONFIG, slots=2)
    offer(pool, "a", "a1", priority=0)
    offer(pool, "a", "a2", priority=3)
    publish(pool)
    standing = told(pool, CONFIG)
    assert standing.in_flight == {0: {"sleep": 1}, 3: {"sleep": 1}}
    assert standing.classes[0].has_work
    assert not standing.classes[1].has_work
    assert standing.classes[1] == ClassPlace(4000, has_work=False, ahead_us=None)
    assert standing.share.in_flight == 2


def test_the_longest_is_what_was_seen_held_or_assumed():
    pool = make_pool(CONFIG)
    assert told(pool, CONFIG, longest_us=5_000_000).longest_us == 5_000_000
    offer(pool, "a", "a1")
    publish(pool)
    (flight,) = pool.flights.values()
    flight.message.elapsed_us = 60_000_000
    assert told(pool, CONFIG, longest_us=5_000_000).longest_us == 61_000_000
    assert told(pool, CONFIG).running_us == 60_000_000


def test_the_jobs_of_a_bundle_run_in_one_slot():
    pool = make_pool(CONFIG, slots=1)
    offer(pool, "a", "a1", "a2", "a3")
    bundles = pool.plan(lambda head: 1_000, now_us=0)
    pool.publishes(bundles[0], {"a1": 1, "a2": 2, "a3": 3})
    for flight in pool.flights.values():
        flight.message.elapsed_us = 3_000
    standing = told(pool, CONFIG)
    assert standing.in_flight == {2: {"sleep": 3}}
    assert standing.running_us == 3_000


def test_a_paused_tenant_is_said_to_be_paused_though_nothing_waits():
    config = replace(CONFIG, is_paused=True)
    assert told(make_pool(config), config).share.gate is Gate.PAUSED
    assert told(make_pool(CONFIG), CONFIG).share.gate is Gate.IDLE


def test_a_standing_goes_through_json():
    config = replace(CONFIG, rate=100, burst=3, cap=2)
    pool = make_pool(config)
    offer(pool, "a", "a1", "a2")
    publish(pool)
    standing = told(pool, config)
    assert standing.rate == Rate(100, 3)
    assert Standing.from_json(standing.to_json()) == standing


def test_a_tenant_that_returns_stands_at_the_clock_and_not_behind_it():
    scheduler: FairScheduler[str] = FairScheduler()
    for tenant in ("a", "b"):
        scheduler.set_tenant(tenant, weight=1000)
    for number in range(5):
        scheduler.offer("b", f"b{number}", order=number)
    for _ in range(4):
        pick = scheduler.pick(1_000_000)
        assert pick is not None
        scheduler.settle(pick.job, 1_000_000)
    assert scheduler.share("a").ahead_us < 0
    assert scheduler.place_of("a").ahead_us == 0
    assert scheduler.place_of("b").ahead_us == 1_000_000
    scheduler.offer("a", "a1", order=9)
    assert scheduler.place_of("a").ahead_us == scheduler.share("a").ahead_us == 0
    assert scheduler.place_of("a").classes[Priority.NORMAL].ahead_us == 0
