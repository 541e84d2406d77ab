//! A world that a test owns: its clock, its wires, and two loops that live in it.
//!
//! A script is a text, one act a line:
//!
//! ```text
//!   soon a              call_soon(a)
//!   at 5 b              call_at(5 ns, b)
//!   reader 7 r          add_reader(7, r)           no reader 7     remove_reader(7)
//!   writer 7 w          add_writer(7, w)           no writer 7     remove_writer(7)
//!   cancel b            b.cancel(), the youngest handle of that name
//!   when a: soon c      from now on, the act is done whenever an `a` runs
//!   turn 5 7r 8rw       one turn; the sleep ends at 5 ns, and the kernel reports these
//! ```
//!
//! The story has a line per turn: how long the loop was ready to sleep, who ran, and which
//! descriptors lost a cancelled handle. `~a` is a cancelled handle that kept its place in the
//! queue.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use batonloop_core::{Agenda, Event, Handle, Instant};

/// A behaviour may queue two of its kind. After so many acts nothing more is done.
const ACT_BUDGET: usize = 2_000;

thread_local! {
    /// Whether the core is at work, and nothing may be dropped.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// How often a handle was asked whether it is cancelled.
    static LOOKS: Cell<usize> = const { Cell::new(0) };
}

/// A handle with a name. It protests when the core drops it.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    cancelled: Rc<Cell<bool>>,
}

impl Call {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), cancelled: Rc::default() }
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.set(true);
    }

    pub(crate) fn canceller(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.cancelled)
    }
}

impl Handle for Call {
    type Token<'t> = ();

    fn is_cancelled(&self, (): ()) -> bool {
        LOOKS.set(LOOKS.get() + 1);
        self.cancelled.get()
    }

    fn share(&self, (): ()) -> Self {
        Self { name: self.name.clone(), cancelled: Rc::clone(&self.cancelled) }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(!INSIDE.get(), "the core dropped {}", self.name);
        }
    }
}

/// Asks something of the core, during which no handle may be dropped.
pub(crate) fn inside<R>(ask: impl FnOnce() -> R) -> R {
    INSIDE.set(true);
    let answer = ask();
    INSIDE.set(false);
    answer
}

/// How often handles were asked whether they are cancelled while `run` ran.
pub(crate) fn looks_during(run: impl FnOnce()) -> usize {
    let before = LOOKS.get();
    run();
    LOOKS.get() - before
}

/// Runs a script on both loops, and compares what each of them tells with the expected story.
#[track_caller]
pub(crate) fn check(script: &str, story: &str) {
    let acts = parse(script);
    let expected: Vec<&str> =
        story.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(tell(Naive::default(), &acts), expected, "asyncio tells otherwise");
    assert_eq!(tell(Agenda::new(), &acts), expected, "the agenda tells otherwise");
}

/// One line of a script.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Soon(String),
    At(i64, String),
    Watch(i32, Side, String),
    Unwatch(i32, Side),
    Cancel(String),
    When(String, Box<Self>),
    Turn(i64, Vec<Event>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Reader,
    Writer,
}

/// What the script needs of a loop.
pub(crate) trait Law {
    fn soon(&mut self, call: Call);
    fn at(&mut self, when: i64, call: Call);
    fn watch(&mut self, fd: i32, side: Side, call: Call);
    fn unwatch(&mut self, fd: i32, side: Side);
    /// A handle was cancelled, which may be scheduled.
    fn note_cancelled(&mut self);
    fn timeout(&mut self, now: i64) -> Option<u128>;
    /// Returns the descriptors that lost a handle, with the interest that is left.
    fn gather(&mut self, now: i64, events: &[Event]) -> BTreeSet<String>;
    fn open_turn(&mut self);
    fn next_handle(&mut self) -> Option<Call>;
}

/// Lives through a script, and tells the story.
pub(crate) fn tell(law: impl Law, acts: &[Act]) -> Vec<String> {
    let mut teller = Teller {
        law,
        youngest: HashMap::new(),
        habits: HashMap::new(),
        now: 0,
        budget: ACT_BUDGET,
        story: Vec::new(),
    };
    for act in acts {
        teller.act(act);
    }
    teller.story
}

struct Teller<L> {
    law: L,
    youngest: HashMap<String, Rc<Cell<bool>>>,
    habits: HashMap<String, Vec<Act>>,
    now: i64,
    budget: usize,
    story: Vec<String>,
}

impl<L: Law> Teller<L> {
    fn act(&mut self, act: &Act) {
        match act {
            Act::Soon(name) => {
                let call = self.call(name);
                self.law.soon(call);
            }
            Act::At(when, name) => {
                let call = self.call(name);
                self.law.at(*when, call);
            }
            Act::Watch(fd, side, name) => {
                let call = self.call(name);
                self.law.watch(*fd, *side, call);
            }
            Act::Unwatch(fd, side) => self.law.unwatch(*fd, *side),
            Act::Cancel(name) => self.cancel(name),
            Act::When(name, act) => {
                let habits = self.habits.entry(name.clone()).or_default();
                habits.push(Act::clone(act));
            }
            Act::Turn(now, events) => self.turn(*now, events),
        }
    }

    fn call(&mut self, name: &str) -> Call {
        let call = Call::new(name);
        self.youngest.insert(name.to_owned(), call.canceller());
        call
    }

    fn cancel(&mut self, name: &str) {
        let Some(cancelled) = self.youngest.get(name) else {
            return;
        };
        // As asyncio, cancel a handle only once.
        if !cancelled.replace(true) {
            self.law.note_cancelled();
        }
    }

    fn turn(&mut self, until: i64, events: &[Event]) {
        let mut line = match self.law.timeout(self.now) {
            None => "rest:".to_owned(),
            Some(nanos) => format!("sleep {nanos}:"),
        };
        self.now = until;
        for narrowed in self.law.gather(self.now, events) {
            line += &format!(" narrow {narrowed}");
        }
        self.law.open_turn();
        while let Some(call) = self.law.next_handle() {
            if call.cancelled.get() {
                line += &format!(" ~{}", call.name);
                continue;
            }
            line += &format!(" {}", call.name);
            for habit in self.habits.get(&call.name).cloned().unwrap_or_default() {
                if self.budget > 0 {
                    self.budget -= 1;
                    self.act(&habit);
                }
            }
        }
        self.story.push(line);
    }
}

impl Law for Agenda<Call> {
    fn soon(&mut self, call: Call) {
        inside(|| self.call_soon(call));
    }

    fn at(&mut self, when: i64, call: Call) {
        inside(|| self.call_at(Instant::from_nanos(when), call));
    }

    fn watch(&mut self, fd: i32, side: Side, call: Call) {
        let displaced = inside(|| match side {
            Side::Reader => self.watched.set_reader(fd, call),
            Side::Writer => self.watched.set_writer(fd, call),
        });
        // As asyncio does: a displaced watcher that is already queued must not run.
        displaced.iter().for_each(Call::cancel);
    }

    fn unwatch(&mut self, fd: i32, side: Side) {
        let taken = inside(|| match side {
            Side::Reader => self.watched.take_reader(fd),
            Side::Writer => self.watched.take_writer(fd),
        });
        taken.iter().for_each(Call::cancel);
    }

    fn note_cancelled(&mut self) {
        let displaced = inside(|| {
            Self::note_cancelled(self);
            self.take_last_cancelled(())
        });
        assert!(displaced.is_none_or(|call| call.cancelled.get()));
    }

    fn timeout(&mut self, now: i64) -> Option<u128> {
        let mut displaced = Vec::new();
        let timeout = inside(|| {
            self.sweep((), &mut displaced);
            Self::timeout(self, Instant::from_nanos(now))
        });
        assert!(displaced.iter().all(|call| call.cancelled.get()));
        timeout.map(|timeout| timeout.as_nanos())
    }

    fn gather(&mut self, now: i64, events: &[Event]) -> BTreeSet<String> {
        let mut displaced = Vec::new();
        let mut narrowed = BTreeSet::new();
        inside(|| {
            Self::gather(self, Instant::from_nanos(now), events, (), &mut displaced);
            while let Some((fd, left)) = self.pop_narrowed() {
                let told_twice = !narrowed.insert(narrowing(fd, left.readable, left.writable));
                assert!(!told_twice);
            }
        });
        assert!(displaced.iter().all(|call| call.cancelled.get()));
        narrowed
    }

    fn open_turn(&mut self) {
        inside(|| Self::open_turn(self));
    }

    fn next_handle(&mut self) -> Option<Call> {
        inside(|| Self::next_handle(self))
    }
}

/// asyncio's turn, transcribed without a thought for speed.
#[derive(Default)]
pub(crate) struct Naive {
    ready: Vec<Call>,
    /// In the order of their coming.
    scheduled: Vec<(i64, Call)>,
    watched: Vec<(i32, Side, Call)>,
    to_run: usize,
}

impl Naive {
    fn first_due(&self) -> Option<usize> {
        // The first of several minima is the oldest.
        (0..self.scheduled.len()).min_by_key(|&place| self.scheduled[place].0)
    }

    fn watcher(&self, fd: i32, side: Side) -> Option<usize> {
        let is_it = |watched: &(i32, Side, Call)| watched.0 == fd && watched.1 == side;
        self.watched.iter().position(is_it)
    }
}

impl Law for Naive {
    fn soon(&mut self, call: Call) {
        self.ready.push(call);
    }

    fn at(&mut self, when: i64, call: Call) {
        self.scheduled.push((when, call));
    }

    fn watch(&mut self, fd: i32, side: Side, call: Call) {
        self.unwatch(fd, side);
        self.watched.push((fd, side, call));
    }

    fn unwatch(&mut self, fd: i32, side: Side) {
        if let Some(place) = self.watcher(fd, side) {
            self.watched.remove(place).2.cancel();
        }
    }

    fn note_cancelled(&mut self) {}

    fn timeout(&mut self, now: i64) -> Option<u128> {
        self.scheduled.retain(|(_, call)| !call.cancelled.get());
        if !self.ready.is_empty() {
            return Some(0);
        }
        let when = self.scheduled[self.first_due()?].0;
        let most = 24 * 3600 * 1_000_000_000;
        Some(u128::try_from(when - now).unwrap_or(0).min(most))
    }

    fn gather(&mut self, now: i64, events: &[Event]) -> BTreeSet<String> {
        let mut narrowed = BTreeSet::new();
        for event in events {
            let sides = [(Side::Reader, event.readable), (Side::Writer, event.writable)];
            for (side, roused) in sides {
                let Some(place) = self.watcher(event.fd, side).filter(|_| roused) else {
                    continue;
                };
                if self.watched[place].2.cancelled.get() {
                    self.watched.remove(place);
                    narrowed.insert(event.fd);
                } else {
                    self.ready.push(self.watched[place].2.share(()));
                }
            }
        }
        while let Some(place) = self.first_due() {
            if self.scheduled[place].0 > now {
                break;
            }
            let (_, call) = self.scheduled.remove(place);
            // asyncio queues a cancelled timer and skips it when its turn comes. Nobody can tell.
            if !call.cancelled.get() {
                self.ready.push(call);
            }
        }
        let left = |fd, side| self.watcher(fd, side).is_some();
        let told = narrowed.into_iter();
        told.map(|fd| narrowing(fd, left(fd, Side::Reader), left(fd, Side::Writer))).collect()
    }

    fn open_turn(&mut self) {
        self.to_run = self.ready.len();
    }

    fn next_handle(&mut self) -> Option<Call> {
        self.to_run = self.to_run.checked_sub(1)?;
        Some(self.ready.remove(0))
    }
}

fn narrowing(fd: i32, readable: bool, writable: bool) -> String {
    let readable = if readable { "r" } else { "" };
    let writable = if writable { "w" } else { "" };
    format!("{fd}{readable}{writable}")
}

fn parse(script: &str) -> Vec<Act> {
    let lines = script.lines().map(str::trim);
    lines.filter(|line| !line.is_empty()).map(parse_act).collect()
}

fn parse_act(line: &str) -> Act {
    if let Some((name, act)) = line.strip_prefix("when ").and_then(|rest| rest.split_once(": ")) {
        return Act::When(name.to_owned(), Box::new(parse_act(act)));
    }
    let number = |word: &str| word.parse().expect("a script says a number here");
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["soon", name] => Act::Soon(name.to_owned()),
        ["at", when, name] => Act::At(number(when), name.to_owned()),
        ["reader", fd, name] => Act::Watch(number(fd) as i32, Side::Reader, name.to_owned()),
        ["writer", fd, name] => Act::Watch(number(fd) as i32, Side::Writer, name.to_owned()),
        ["no", "reader", fd] => Act::Unwatch(number(fd) as i32, Side::Reader),
        ["no", "writer", fd] => Act::Unwatch(number(fd) as i32, Side::Writer),
        ["cancel", name] => Act::Cancel(name.to_owned()),
        ["turn", now, ref events @ ..] => {
            Act::Turn(number(now), events.iter().copied().map(parse_event).collect())
        }
        _ => panic!("no script says {line:?}"),
    }
}

fn parse_event(word: &str) -> Event {
    let fd = word.trim_end_matches(['r', 'w']);
    let sides = &word[fd.len()..];
    Event {
        fd: fd.parse().expect("an event starts with its descriptor"),
        readable: sides.contains('r'),
        writable: sides.contains('w'),
    }
}
