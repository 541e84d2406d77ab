//! A TLS connection goes through its states in one order, and a flow has two marks.

use batonloop_core::{AppState, Flow, SSLState, WaterMarks};
use proptest::strategy::Strategy;

use crate::chance::for_random;

const STATES: [SSLState; 5] = [
    SSLState::Unwrapped,
    SSLState::DoHandshake,
    SSLState::Wrapped,
    SSLState::Flushing,
    SSLState::Shutdown,
];

#[test]
fn a_state_is_followed_by_the_next_or_by_the_end() {
    for (index, from) in STATES.into_iter().enumerate() {
        for to in STATES {
            let is_next = STATES.get(index + 1) == Some(&to);
            let expected = is_next || to == SSLState::Unwrapped;
            assert_eq!(from.may_become(to), expected, "{from:?} to {to:?}");
        }
    }
}

#[test]
fn the_names_of_states_are_asyncios() {
    let names = STATES.map(SSLState::name);
    assert_eq!(names, ["UNWRAPPED", "DO_HANDSHAKE", "WRAPPED", "FLUSHING", "SHUTDOWN"]);
    let all = [AppState::Init, AppState::Made, AppState::Eof, AppState::Lost];
    let names = all.map(AppState::name);
    assert_eq!(names, ["STATE_INIT", "STATE_CON_MADE", "STATE_EOF", "STATE_CON_LOST"]);
}

#[test]
fn what_may_be_written_and_read_in_each_state() {
    let is_over = STATES.map(SSLState::is_over);
    assert_eq!(is_over, [true, false, false, true, true]);
    let is_readable = STATES.map(SSLState::is_readable);
    assert_eq!(is_readable, [false, false, true, true, false]);
}

#[test]
fn who_knows_of_a_connection_hears_of_its_loss_once() {
    assert!(!AppState::Init.awaits_loss());
    assert!(AppState::Made.awaits_loss());
    assert!(AppState::Eof.awaits_loss());
    assert!(!AppState::Lost.awaits_loss());
}

#[test]
fn a_flow_stops_at_the_high_mark_and_goes_on_at_the_low_one() {
    let marks = WaterMarks { high: 10, low: 4 };
    for (size, running, paused) in [
        (0, Flow::Keep, Flow::Resume),
        (4, Flow::Keep, Flow::Resume),
        (5, Flow::Keep, Flow::Keep),
        (9, Flow::Keep, Flow::Keep),
        (10, Flow::Pause, Flow::Keep),
        (u64::MAX, Flow::Pause, Flow::Keep),
    ] {
        assert_eq!(marks.judge(size, false), running, "{size}, running");
        assert_eq!(marks.judge(size, true), paused, "{size}, paused");
    }
}

#[test]
fn whatever_the_marks_a_flow_is_not_told_twice() {
    let marks = (0_u64..100, 0_u64..100).prop_map(|(high, low)| (high.max(low), low.min(high)));
    for_random(2_000, (marks, 0_u64..200), |((high, low), size)| {
        let marks = WaterMarks { high, low };
        assert_ne!(marks.judge(size, true), Flow::Pause);
        assert_ne!(marks.judge(size, false), Flow::Resume);
    });
}
