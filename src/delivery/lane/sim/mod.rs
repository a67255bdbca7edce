//! Simulation of lanes: machines of two replicas, a model of the store, a receiver and a virtual clock, all from one seed.
//!
//! Each step draws what happens next: an order, a commit, a message read, an attempt's end, a cancel, a pause, a reload, a crash, a
//! jump of the wall clock. After each the invariants are checked. `ORDERHOOK_SIM_SEEDS=1000` runs as many seeds; a failure names its
//! seed, and `ORDERHOOK_SIM_SEED=N` runs that one alone, with its story.

mod replica;
mod store;
mod world;

use store::Flaw;
use world::World;

const STEPS: usize = 500;
const SEEDS: u64 = 200;

fn run(seed: u64, flaw: Flaw) -> Result<(), String> {
    let mut world = World::new(seed, flaw);
    for _ in 0..STEPS {
        world.step()?;
    }
    world.settle()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn nothing_is_lost_doubled_or_out_of_order_whatever_happens() {
    if let Some(seed) = number("ORDERHOOK_SIM_SEED") {
        let mut world = World::new(seed, Flaw::None);
        let done = (0..STEPS).try_for_each(|_| world.step()).and_then(|()| world.settle());
        world.story().for_each(|line| println!("{line}"));
        return done.expect("the invariants hold");
    }
    for seed in 0..number("ORDERHOOK_SIM_SEEDS").unwrap_or(SEEDS) {
        if let Err(broken) = run(seed, Flaw::None) {
            panic!("seed {seed}: {broken}; run it alone with ORDERHOOK_SIM_SEED={seed}");
        }
    }
}

/// The invariant that a flaw of the model breaks, by any of the seeds.
fn broken_by(flaw: Flaw) -> String {
    (0..SEEDS).find_map(|seed| run(seed, flaw).err()).unwrap_or_else(|| panic!("{flaw:?} goes unnoticed"))
}

#[test]
fn the_simulation_notices_results_that_are_not_fenced() {
    assert!(broken_by(Flaw::NoFence).contains("fence"));
}

#[test]
fn the_simulation_notices_deliveries_out_of_order() {
    assert!(broken_by(Flaw::NoLines).contains("order by key"));
}

#[test]
fn the_simulation_notices_deliveries_that_are_stranded() {
    assert!(broken_by(Flaw::LostPutBacks).contains("everything ends"));
}

#[test]
fn the_simulation_notices_deliveries_delayed_by_a_clock_that_was_set_back() {
    assert!(broken_by(Flaw::NoSetBack).contains("everything ends"));
}

#[test]
fn the_simulation_notices_attempts_after_a_cancel() {
    assert!(broken_by(Flaw::NoForget).contains("cancel"));
}
