//! The words of a trace: their numbers are a format, and stay.

use std::collections::BTreeSet;

use batonloop_core::Next;
use batonloop_core::trace::{Id, Level, Outcome, Word};

#[test]
fn every_word_is_found_by_its_number() {
    for word in Word::ALL {
        assert_eq!(Word::from_number(word.number()), Some(word));
    }
    assert_eq!(Word::from_number(0), None);
    assert_eq!(Word::from_number(255), None);
}

#[test]
fn no_number_has_two_words() {
    let numbers: BTreeSet<u8> = Word::ALL.map(Word::number).into();
    assert_eq!(numbers.len(), Word::ALL.len());
}

#[test]
fn the_numbers_of_some_words_never_change() {
    let fixed = [
        (Word::Turn, 1),
        (Word::Step, 3),
        (Word::TaskDone, 8),
        (Word::Wake, 13),
        (Word::CancelAsk, 17),
        (Word::ExceptionLost, 22),
        (Word::FdReady, 28),
        (Word::ExecutorNew, 34),
        (Word::Signal, 37),
        (Word::Loop, 53),
    ];
    for (word, number) in fixed {
        assert_eq!(word.number(), number, "{word:?}");
    }
}

#[test]
fn what_is_rare_is_told_at_every_level() {
    let told: Vec<Word> = Word::ALL.into_iter().filter(|word| word.level() == Level::Off).collect();
    let rare = [Word::CancelAsk, Word::CancelGiven, Word::CancelEaten, Word::ExceptionLost];
    assert_eq!(told, rare);
}

#[test]
fn levels_include_those_before_them() {
    assert!(Level::Off < Level::Flight && Level::Flight < Level::Trace);
    assert!(Level::Trace < Level::Explain);
    assert!(Word::Wake.level() <= Level::Flight && Word::FutureNew.level() > Level::Flight);
}

#[test]
fn every_end_of_a_step_has_an_outcome() {
    assert_eq!(Outcome::from(Next::Wait { cancel: true }), Outcome::Awaits);
    assert_eq!(Outcome::from(Next::SoonWithError), Outcome::Yields);
    assert_eq!(Outcome::from(Next::Finish), Outcome::Returned);
    assert_eq!(Outcome::from(Next::FailAndRaise), Outcome::Raised);
    assert_eq!(Outcome::from(Next::CancelOwed), Outcome::Cancelled);
}

#[test]
fn the_loop_and_other_threads_are_no_tasks() {
    assert!(Id::LOOP < Id(1) && Id(u32::MAX - 1) < Id::OTHER_THREAD);
}
