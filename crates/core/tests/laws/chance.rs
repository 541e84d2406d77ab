//! Random values that follow from a seed. A failure prints it, and the simplest value that fails.
//!
//! ```text
//! BATONLOOP_SEED=7 cargo test -p batonloop-core --test laws     the values of that seed
//! BATONLOOP_SEED=any cargo test …                               of a seed that nobody chose
//! BATONLOOP_CASES=100 cargo test …                              a hundred times as many
//! ```

use std::any::Any;
use std::env;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::SystemTime;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// Runs `law` for so many random values, and reports the seed and the simplest value that fails.
#[track_caller]
pub(crate) fn for_random<S>(cases: u32, values: S, law: impl Fn(S::Value))
where
    S: Strategy,
    S::Value: Debug,
{
    let seed = seed();
    let factor = number_from("BATONLOOP_CASES").unwrap_or(1);
    let config = Config {
        cases: cases.saturating_mul(u32::try_from(factor).unwrap_or(u32::MAX)),
        failure_persistence: None,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let result = TestRunner::new_with_rng(config, random).run(&values, |value| {
        let told = catch_unwind(AssertUnwindSafe(|| law(value)));
        told.map_err(|panic| TestCaseError::fail(words_of(&*panic)))
    });
    if let Err(failure) = result {
        panic!("BATONLOOP_SEED={seed}: {failure}");
    }
}

fn seed() -> u64 {
    if env::var("BATONLOOP_SEED").is_ok_and(|seed| seed == "any") {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        return since.map_or(0, |since| u64::from(since.subsec_nanos()));
    }
    number_from("BATONLOOP_SEED").unwrap_or(1)
}

fn number_from(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without words".to_owned())
}
