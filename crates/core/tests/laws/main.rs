//! The laws of the core, told as scripts and stories.
//!
//! Every script runs twice: on the agenda, and on a naive transcription of asyncio's own turn (see
//! `world`). Both must tell the story that the test expects. No test sleeps, opens a descriptor or
//! reads a clock.

mod world;
mod chance;

mod turn;
mod timers;
mod watched;
mod cancellation;
mod futures;
mod sslproto;
mod simulation;
mod words;
