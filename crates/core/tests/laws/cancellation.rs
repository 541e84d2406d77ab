//! What a task owes: requests to cancel, where they go, and how they are paid.

use batonloop_core::{Arrival, Next, Resume, Step, TaskState};

const IDLE: TaskState = TaskState { must_cancel: false, cancelling: 0 };

#[test]
fn an_owed_cancellation_is_thrown_once() {
    let mut state = IDLE;
    state.ask_cancel();
    assert!(state.forwarded(false));
    assert_eq!(state.begin(Arrival::Nothing), Resume::Cancel);
    assert_eq!(state.settle(Step::Yield), Next::Soon);
    assert_eq!(state.begin(Arrival::Nothing), Resume::Send);
    assert_eq!(state.cancelling, 1, "the request stays counted");
}

#[test]
fn an_owed_cancellation_replaces_the_exception_that_arrives() {
    let mut state = owing(1);
    assert_eq!(state.begin(Arrival::Exception), Resume::Cancel);
}

#[test]
fn a_cancellation_that_arrives_pays_the_one_that_is_owed() {
    let mut state = owing(1);
    assert_eq!(state.begin(Arrival::Cancelled), Resume::Throw);
    assert!(!state.must_cancel);
}

#[test]
fn a_request_that_the_awaited_accepts_is_not_owed() {
    let mut state = IDLE;
    state.ask_cancel();
    assert!(!state.forwarded(true));
    assert_eq!((state.must_cancel, state.cancelling), (false, 1));
}

#[test]
fn a_debt_survives_a_later_request_that_is_accepted() {
    let mut state = owing(1);
    state.ask_cancel();
    assert!(!state.forwarded(true));
    assert!(state.must_cancel);
}

#[test]
fn a_debt_made_while_running_goes_to_what_is_awaited_next() {
    let mut state = IDLE;
    assert_eq!(state.begin(Arrival::Nothing), Resume::Send);
    state.ask_cancel();
    assert!(state.forwarded(false));
    assert_eq!(state.settle(Step::Await), Next::Wait { cancel: true });
    state.pass_on(false);
    assert!(state.must_cancel, "refused, so it is still owed");
    state.pass_on(true);
    assert!(!state.must_cancel);
    state.pass_on(false);
    assert!(!state.must_cancel, "what was forgiven meanwhile is not owed anew");
}

#[test]
fn a_return_with_a_debt_is_a_cancellation() {
    let mut state = owing(1);
    assert_eq!(state.settle(Step::Return), Next::CancelOwed);
    assert!(!state.must_cancel);
    assert_eq!(IDLE.clone().settle(Step::Return), Next::Finish);
}

#[test]
fn an_exception_with_a_debt_is_that_exception() {
    assert_eq!(owing(1).settle(Step::Raise), Next::Fail);
    assert_eq!(owing(1).settle(Step::RaiseExit), Next::FailAndRaise);
    assert_eq!(owing(1).settle(Step::RaiseCancelled), Next::Cancel);
}

#[test]
fn taking_back_the_last_request_forgives_the_debt_only_since_python_3_13() {
    for forgives in [false, true] {
        let mut state = owing(2);
        assert_eq!(state.uncancel(forgives), 1);
        assert!(state.must_cancel, "one request is left");
        assert_eq!(state.uncancel(forgives), 0);
        assert_eq!(state.must_cancel, !forgives);
    }
}

#[test]
fn more_requests_cannot_be_taken_back_than_were_made() {
    let mut state = owing(0);
    assert_eq!(state.uncancel(true), 0);
    assert!(state.must_cancel, "nothing was taken back, so nothing is forgiven");
}

/// All that one act can change is the state and what is awaited, and there are few of both. So from
/// every state, every act is tried; if each of them ends as asyncio's does, so does every life.
#[test]
fn from_every_state_every_act_ends_as_asyncio_has_it() {
    let mut compared = 0;
    for must_cancel in [false, true] {
        for cancelling in 0..4 {
            for awaited in [None, Some(Awaited::Accepts), Some(Awaited::Refuses)] {
                for act in all_acts() {
                    let mut ours = Ours {
                        state: TaskState { must_cancel, cancelling },
                        awaited,
                        told: Vec::new(),
                    };
                    let mut theirs = Asyncio {
                        must_cancel,
                        num_cancels_requested: cancelling,
                        fut_waiter: awaited,
                        told: Vec::new(),
                    };
                    ours.act(act);
                    theirs.act(act);
                    assert_eq!(ours.told, theirs.told, "{act:?}");
                    assert_eq!(ours.state.must_cancel, theirs.must_cancel, "{act:?}");
                    assert_eq!(ours.state.cancelling, theirs.num_cancels_requested, "{act:?}");
                    assert_eq!(ours.awaited, theirs.fut_waiter, "{act:?}");
                    compared += 1;
                }
            }
        }
    }
    assert_eq!(compared, 2 * 4 * 3 * (3 + 3 * 4 * 8));
}

/// How something awaited answers a request to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Accepts,
    Refuses,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Cancel,
    Uncancel {
        forgives: bool,
    },
    /// The task steps, and while its coroutine runs someone does something to it.
    Step(Arrival, Option<Meddling>, Answer),
}

#[derive(Clone, Copy, Debug)]
enum Meddling {
    Cancel,
    Uncancel { forgives: bool },
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Yield,
    Await(Awaited),
    Stray,
    Return,
    RaiseCancelled,
    RaiseExit,
    Raise,
}

fn all_acts() -> Vec<Act> {
    let mut acts = vec![Act::Cancel];
    acts.extend([false, true].map(|forgives| Act::Uncancel { forgives }));
    let meddlings = [
        None,
        Some(Meddling::Cancel),
        Some(Meddling::Uncancel { forgives: false }),
        Some(Meddling::Uncancel { forgives: true }),
    ];
    let answers = [
        Answer::Yield,
        Answer::Await(Awaited::Accepts),
        Answer::Await(Awaited::Refuses),
        Answer::Stray,
        Answer::Return,
        Answer::RaiseCancelled,
        Answer::RaiseExit,
        Answer::Raise,
    ];
    for arrival in [Arrival::Nothing, Arrival::Exception, Arrival::Cancelled] {
        for meddling in meddlings {
            acts.extend(answers.map(|answer| Act::Step(arrival, meddling, answer)));
        }
    }
    acts
}

/// A host that does what [`TaskState`] answers.
struct Ours {
    state: TaskState,
    awaited: Option<Awaited>,
    told: Vec<&'static str>,
}

impl Ours {
    fn act(&mut self, act: Act) {
        match act {
            Act::Cancel => self.cancel(),
            Act::Uncancel { forgives } => {
                self.state.uncancel(forgives);
            }
            Act::Step(arrival, meddling, answer) => self.step(arrival, meddling, answer),
        }
    }

    fn cancel(&mut self) {
        self.state.ask_cancel();
        let accepted = self.awaited.is_some_and(|awaited| awaited == Awaited::Accepts);
        if self.awaited.is_some() {
            self.told.push("forward");
        }
        if self.state.forwarded(accepted) {
            self.told.push("store the message");
        }
    }

    fn step(&mut self, arrival: Arrival, meddling: Option<Meddling>, answer: Answer) {
        let resume = self.state.begin(arrival);
        self.awaited = None;
        self.told.push(match resume {
            Resume::Send => "send",
            Resume::Throw => "throw what arrived",
            Resume::Cancel => "throw a new CancelledError",
        });
        match meddling {
            None => {}
            Some(Meddling::Cancel) => self.cancel(),
            Some(Meddling::Uncancel { forgives }) => {
                self.state.uncancel(forgives);
            }
        }
        let (step, awaited) = match answer {
            Answer::Yield => (Step::Yield, None),
            Answer::Await(awaited) => (Step::Await, Some(awaited)),
            Answer::Stray => (Step::Stray, None),
            Answer::Return => (Step::Return, None),
            Answer::RaiseCancelled => (Step::RaiseCancelled, None),
            Answer::RaiseExit => (Step::RaiseExit, None),
            Answer::Raise => (Step::Raise, None),
        };
        let next = self.state.settle(step);
        self.told.push(match next {
            Next::Soon => "queue a step",
            Next::SoonWithError => "queue a step with an error",
            Next::Wait { .. } => "wait",
            Next::Finish => "set the result",
            Next::CancelOwed => "cancel with the stored message",
            Next::Cancel => "cancel, keep the exception",
            Next::Fail => "set the exception",
            Next::FailAndRaise => "set the exception and raise it",
        });
        if let Next::Wait { cancel } = next {
            self.awaited = awaited;
            if cancel {
                self.told.push("forward");
                self.state.pass_on(awaited == Some(Awaited::Accepts));
            }
        }
    }
}

/// asyncio's Task, as far as its cancellation goes, told the way its source tells it.
struct Asyncio {
    must_cancel: bool,
    num_cancels_requested: u32,
    fut_waiter: Option<Awaited>,
    told: Vec<&'static str>,
}

impl Asyncio {
    fn act(&mut self, act: Act) {
        match act {
            Act::Cancel => self.cancel(),
            Act::Uncancel { forgives } => self.uncancel(forgives),
            Act::Step(arrival, meddling, answer) => self.step(arrival, meddling, answer),
        }
    }

    fn cancel(&mut self) {
        self.num_cancels_requested += 1;
        if let Some(fut_waiter) = self.fut_waiter {
            self.told.push("forward");
            if fut_waiter == Awaited::Accepts {
                return;
            }
        }
        self.must_cancel = true;
        self.told.push("store the message");
    }

    fn uncancel(&mut self, since_3_13: bool) {
        if self.num_cancels_requested == 0 {
            return;
        }
        self.num_cancels_requested -= 1;
        if since_3_13 && self.num_cancels_requested == 0 {
            self.must_cancel = false;
        }
    }

    fn step(&mut self, arrival: Arrival, meddling: Option<Meddling>, answer: Answer) {
        let mut thrown = match arrival {
            Arrival::Nothing => "send",
            Arrival::Exception | Arrival::Cancelled => "throw what arrived",
        };
        if self.must_cancel {
            if arrival != Arrival::Cancelled {
                thrown = "throw a new CancelledError";
            }
            self.must_cancel = false;
        }
        self.fut_waiter = None;
        self.told.push(thrown);

        match meddling {
            None => {}
            Some(Meddling::Cancel) => self.cancel(),
            Some(Meddling::Uncancel { forgives }) => self.uncancel(forgives),
        }

        match answer {
            Answer::Return if self.must_cancel => {
                self.must_cancel = false;
                self.told.push("cancel with the stored message");
            }
            Answer::Return => self.told.push("set the result"),
            Answer::RaiseCancelled => self.told.push("cancel, keep the exception"),
            Answer::RaiseExit => self.told.push("set the exception and raise it"),
            Answer::Raise => self.told.push("set the exception"),
            Answer::Yield => self.told.push("queue a step"),
            Answer::Stray => self.told.push("queue a step with an error"),
            Answer::Await(result) => {
                self.told.push("wait");
                self.fut_waiter = Some(result);
                if self.must_cancel {
                    self.told.push("forward");
                    if result == Awaited::Accepts {
                        self.must_cancel = false;
                    }
                }
            }
        }
    }
}

fn owing(cancelling: u32) -> TaskState {
    TaskState { must_cancel: true, cancelling }
}
