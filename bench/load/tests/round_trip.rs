//! The loads and the raw servers, each against the other: what is asked for is what is counted.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A raw server, ended with the test.
struct Server {
    process: Child,
    port: String,
}

impl Server {
    fn start(command: &str) -> Self {
        let mut process = program().arg(command).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.chars().filter(char::is_ascii_digit).collect();
        Self { process, port }
    }

    fn load(&self, command: &str, options: &[&str]) -> Result<String, String> {
        let id = self.process.id().to_string();
        let mut load = program();
        load.args([command, "--port", &self.port, "--server", &id]).args(options);
        let done = load.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if done.status.success() { Ok(text(done.stdout)) } else { Err(text(done.stderr)) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_batonloop-bench"))
}

#[test]
fn exactly_as_many_messages_are_echoed_as_are_asked_for() {
    let server = Server::start("echo-server");
    for (connections, size) in [("1", "1"), ("7", "1000"), ("3", "3000000")] {
        let options = ["--connections", connections, "--size", size, "--count", "50"];
        let answer = server.load("echo", &options).unwrap();
        assert!(answer.starts_with(r#"{"requests": 50, "server_ns": "#), "{answer}");
        assert!(!answer.contains(r#""server_ns": 0,"#), "{answer}");
    }
}

#[test]
fn a_server_that_echoes_nothing_is_found_out() {
    let server = Server::start("accept-server");
    let complaint = server.load("echo", &["--size", "70000", "--count", "1"]).unwrap_err();
    assert!(complaint.starts_with("Error: "), "{complaint}");
}

#[test]
fn short_connections_come_in_whole_groups() {
    let server = Server::start("accept-server");
    let answer = server.load("accept", &["--connections", "5", "--count", "20"]).unwrap();
    assert!(answer.starts_with(r#"{"requests": 20, "#), "{answer}");
}

#[test]
fn a_raw_idle_connection_costs_less_than_a_kilobyte() {
    let server = Server::start("echo-server");
    let answer = server.load("idle", &["--connections", "500"]).unwrap();
    let bytes = answer.trim().trim_start_matches(r#"{"bytes": "#).trim_end_matches('}');
    assert!(bytes.parse::<f64>().unwrap() < 1024.0, "{answer}");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for wrong in [&["echo", "--port"][..], &["echo", "--port", "0"], &["echo", "--ports", "1"]] {
        assert!(!program().args(wrong).output().unwrap().status.success(), "{wrong:?}");
    }
}
