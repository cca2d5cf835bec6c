//! A child process that reads one JSON command per line and prints one JSON fact per line. Used for SDK devices and subscribers.

use super::TEST_TIMEOUT;
use serde_json::Value;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

pub struct Talker {
    child: Child,
    stdin: ChildStdin,
    facts: Receiver<Value>,
    /// Facts that no test has waited for yet.
    unread: VecDeque<Value>,
}

impl Talker {
    pub fn start(mut command: Command) -> Talker {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it is installed");
        let stdin = child.stdin.take().expect("piped");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, facts) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let fact = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                if sender.send(fact).is_err() {
                    return;
                }
            }
        });
        Talker { child, stdin, facts, unread: VecDeque::new() }
    }

    /// Sends it a command.
    pub fn send(&mut self, command: Value) {
        writeln!(self.stdin, "{command}").expect("it reads its commands");
    }

    /// Sends it a command and waits for the fact that shows that it was executed.
    #[track_caller]
    pub fn execute(&mut self, command: Value, fact: &str) -> Value {
        self.send(command);
        self.wait_for(fact)
    }

    /// Waits for a fact with this name and removes it. Panics at once if a command fails.
    #[track_caller]
    pub fn wait_for(&mut self, fact: &str) -> Value {
        if let Some(index) = self.unread.iter().position(|unread| unread["fact"] == fact) {
            return self.unread.remove(index).expect("it was just found");
        }
        loop {
            match self.facts.recv_timeout(TEST_TIMEOUT) {
                Ok(seen) if seen["fact"] == fact => return seen,
                Ok(seen) if seen["fact"] == "failed" => panic!("waiting for {fact:?}: {seen}"),
                Ok(seen) => self.unread.push_back(seen),
                Err(why) => panic!("no fact {fact:?} ({why}), but {:?}", self.unread),
            }
        }
    }

    /// Sends it a command and returns true if it succeeds, which a fact shows, and false if it fails.
    #[track_caller]
    pub fn succeeds(&mut self, command: Value, fact: &str) -> bool {
        self.send(command);
        loop {
            match self.facts.recv_timeout(TEST_TIMEOUT) {
                Ok(seen) if seen["fact"] == fact => return true,
                Ok(seen) if seen["fact"] == "failed" => return false,
                Ok(seen) => self.unread.push_back(seen),
                Err(why) => panic!("no fact {fact:?} ({why}), but {:?}", self.unread),
            }
        }
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
