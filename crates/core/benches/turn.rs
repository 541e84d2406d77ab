//! What the agenda itself costs: a handle, a timer, a timeout that is not needed, a watcher.
//!
//! Wall time says little about so few instructions. Let callgrind count, and divide:
//!
//! ```text
//! cargo bench -p batonloop-core --no-run
//! valgrind --tool=callgrind target/release/deps/turn-… soon 100000
//! ```
//!
//! Without arguments every workload runs once, so that none of them rots.

use std::cell::Cell;
use std::env;
use std::hint::black_box;
use std::rc::Rc;

use batonloop_core::{Agenda, Event, Handle, Instant};

/// Two words, as the Python host's handle has.
struct Call(Rc<Cell<bool>>, &'static u8);

impl Handle for Call {
    type Token<'t> = ();

    #[inline]
    fn is_cancelled(&self, (): ()) -> bool {
        self.0.get()
    }

    #[inline]
    fn share(&self, (): ()) -> Self {
        Self(Rc::clone(&self.0), self.1)
    }
}

type Workload = fn(u32);

const WORKLOADS: [(&str, Workload); 6] = [
    ("empty", empty),
    ("chain", chain),
    ("soon", soon),
    ("timer", timer),
    ("timeout", timeout),
    ("watcher", watcher),
];

fn main() {
    let mut arguments = env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let chosen = arguments.next();
    let count = arguments.next().map_or(1_000, |text| text.parse().expect("a count"));
    for (name, workload) in WORKLOADS {
        if chosen.as_deref().is_none_or(|chosen| chosen == name) {
            workload(count);
        }
    }
}

/// What all the others cost besides: a handle made and dropped.
fn empty(count: u32) {
    let call = call();
    for _ in 0..count {
        drop(black_box(call.share(())));
    }
}

/// One handle a turn, as in a chain of `call_soon`.
fn chain(count: u32) {
    let (mut agenda, call, mut displaced) = (Agenda::new(), call(), Vec::new());
    for number in 0..count {
        agenda.call_soon(call.share(()));
        turn(&mut agenda, i64::from(number), &[], &mut displaced);
    }
}

/// A hundred handles a turn.
fn soon(count: u32) {
    let (mut agenda, call, mut displaced) = (Agenda::new(), call(), Vec::new());
    for number in 0..count / 100 {
        for _ in 0..100 {
            agenda.call_soon(call.share(()));
        }
        turn(&mut agenda, i64::from(number), &[], &mut displaced);
    }
}

/// Timers that fire, a thousand alive.
fn timer(count: u32) {
    let (mut agenda, call, mut displaced) = (Agenda::new(), call(), Vec::new());
    for number in 0..count {
        // Scattered deadlines.
        let delay = i64::from(number.wrapping_mul(2_654_435_761) % 1_000);
        agenda.call_at(Instant::from_nanos(i64::from(number) + delay), call.share(()));
        turn(&mut agenda, i64::from(number), &[], &mut displaced);
    }
}

/// Timers that are cancelled at once, a hundred thousand others alive.
fn timeout(count: u32) {
    let (mut agenda, call, mut displaced) = (Agenda::new(), call(), Vec::new());
    for number in 0..100_000 {
        agenda.call_at(Instant::from_nanos(1 << 50 | number), call.share(()));
    }
    let cancelled = Call(Rc::new(Cell::new(true)), &2);
    for number in 0..count {
        let when = Instant::from_nanos(1 << 51 | i64::from(number));
        agenda.call_at(when, cancelled.share(()));
        agenda.note_cancelled();
        drop(black_box(agenda.take_last_cancelled(())));
        agenda.sweep((), &mut displaced);
    }
}

/// A reader that is roused once a turn.
fn watcher(count: u32) {
    let (mut agenda, call, mut displaced) = (Agenda::new(), call(), Vec::new());
    assert!(agenda.watched.set_reader(7, call).is_none());
    let events = [Event { fd: 7, readable: true, writable: false }];
    for number in 0..count {
        turn(&mut agenda, i64::from(number), &events, &mut displaced);
    }
}

fn turn(agenda: &mut Agenda<Call>, now: i64, events: &[Event], displaced: &mut Vec<Call>) {
    let now = Instant::from_nanos(black_box(now));
    agenda.sweep((), displaced);
    black_box(agenda.timeout(now));
    agenda.gather(now, black_box(events), (), displaced);
    agenda.open_turn();
    while let Some(call) = agenda.next_handle() {
        drop(black_box(call));
    }
}

fn call() -> Call {
    Call(Rc::default(), &1)
}
