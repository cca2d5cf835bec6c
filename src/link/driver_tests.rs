//! The driver with a scripted machine, over in-memory pipes and in virtual time.

use bytes::BytesMut;
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::driver::READS_PER_POLL_MAX;
use super::testing::{Discard, piped_link, run};
use super::{Buffers, Deadlines, End, Link, Transport};
use crate::clock;
use crate::sansio::{Close, Closed, Machine, OUTPUT_BYTES_MAX};

/// A machine whose frames are lines. It echoes each line and records all calls.
#[derive(Debug, Default)]
struct Echo {
    lines: Vec<String>,
    answers: Vec<u8>,
    /// Size of the output that each `poll_output` appends, and the number of calls that will still append it.
    flood: Option<(usize, usize)>,
    collected: Vec<usize>,
    flushed: u32,
    timers: Vec<Instant>,
    fired: Vec<Instant>,
    closed: Vec<Closed>,
    close: Option<Close>,
    paused: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Broken(&'static str);

impl Machine for Echo {
    type Error = Broken;

    fn handle_input(&mut self, _now: Instant, input: &mut BytesMut) -> Result<(), Broken> {
        while !self.paused
            && let Some(end) = input.iter().position(|&byte| byte == b'\n')
        {
            let line = input.split_to(end + 1);
            match &line[..end] {
                b"break" => return Err(Broken("broken frame")),
                b"paused" => self.paused = true,
                _ => self.answers.extend_from_slice(&line),
            }
            self.lines.push(String::from_utf8_lossy(&line[..end]).into_owned());
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Broken> {
        if self.timers.first().is_some_and(|&at| at <= now) {
            self.timers.remove(0);
            self.fired.push(now);
        }
        Ok(())
    }

    fn handle_flushed(&mut self, _now: Instant) {
        self.flushed += 1;
    }

    fn handle_closed(&mut self, _now: Instant, why: Closed) {
        self.closed.push(why);
    }

    fn poll_output(&mut self, _now: Instant, out: &mut BytesMut) {
        assert!(out.len() < OUTPUT_BYTES_MAX, "collected more than the limit");
        out.extend_from_slice(&std::mem::take(&mut self.answers));
        if let Some((size, left)) = self.flood
            && left > 0
        {
            self.flood = Some((size, left - 1));
            self.collected.push(out.len());
            out.resize(out.len() + size, b'x');
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().copied()
    }

    fn wants_input(&self) -> bool {
        !self.paused
    }

    fn poll_close(&self) -> Option<Close> {
        self.close
    }
}

/// Drives the link until it has nothing to do. The duplex pipe wakes the task through the waker from `poll_fn`.
async fn settle(link: &mut Link, machine: &mut Echo) -> Option<End<Broken>> {
    tokio::select! {
        biased;
        end = run(link, machine) => Some(end),
        // In virtual time this fires only when every task is idle.
        () = tokio::time::sleep(Duration::from_millis(1)) => None,
    }
}

async fn read_line(stream: &mut DuplexStream) -> String {
    let mut line = String::new();
    loop {
        match stream.read_u8().await.expect("the pipe is open") {
            b'\n' => return line,
            byte => line.push(char::from(byte)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn frames_survive_a_one_byte_pipe() {
    let (mut link, mut peer) = piped_link(1);
    let mut machine = Echo::default();
    let talk = async {
        for line in ["one", "", "three and a bit"] {
            peer.write_all(format!("{line}\n").as_bytes()).await.expect("the link reads");
            assert_eq!(read_line(&mut peer).await, line);
        }
        peer.write_all(b"half").await.expect("the link reads");
        drop(peer);
    };
    let (end, ()) = tokio::join!(run(&mut link, &mut machine), talk);
    assert_eq!(end, End::Closed(Closed::Eof));
    assert_eq!(machine.lines, ["one", "", "three and a bit"]);
    assert_eq!(machine.closed, [Closed::Eof]);
    assert_eq!((link.bytes_in(), link.bytes_out()), (4 + 1 + 16 + 4, 4 + 1 + 16));
}

#[tokio::test(start_paused = true)]
async fn links_share_buffers_but_not_partial_frames() {
    let buffers = Buffers::shared();
    let (ours_a, mut a) = duplex(64);
    let (ours_b, mut b) = duplex(64);
    let mut links =
        [ours_a, ours_b].map(|s| Link::new(Transport::Duplex(s), buffers.clone(), &Deadlines::new()));
    let mut machines = [Echo::default(), Echo::default()];
    for (part_a, part_b) in [("al", "b"), ("ph", "et"), ("a\n", "a\n")] {
        a.write_all(part_a.as_bytes()).await.expect("room");
        b.write_all(part_b.as_bytes()).await.expect("room");
        for (link, machine) in links.iter_mut().zip(&mut machines) {
            assert_eq!(settle(link, machine).await, None);
        }
    }
    assert_eq!((read_line(&mut a).await, read_line(&mut b).await), ("alpha".into(), "beta".into()));
}

#[tokio::test(start_paused = true)]
async fn output_is_bounded_while_the_peer_does_not_read() {
    let (mut link, mut peer) = piped_link(1024);
    let mut machine = Echo { flood: Some((1000, 200)), ..Echo::default() };
    assert_eq!(settle(&mut link, &mut machine).await, None);
    let collected = machine.collected.len();
    // Unsent output stays below the limit plus one message; the pipe holds another 1,024 bytes.
    assert!((65..=67).contains(&collected), "{collected}");
    assert_eq!(machine.flushed, 0);
    // Further wakes do not collect more output.
    assert_eq!(settle(&mut link, &mut machine).await, None);
    assert_eq!(machine.collected.len(), collected);
    // The peer reads again and receives everything.
    let mut all = vec![0; 200_000];
    let reading = async { peer.read_exact(&mut all).await.map(drop) };
    tokio::select! {
        end = run(&mut link, &mut machine) => panic!("{end:?}"),
        read = reading => read.expect("all of it"),
    }
    assert_eq!(machine.collected.len(), 200);
    assert_eq!(link.bytes_out(), 200_000);
}

#[tokio::test(start_paused = true)]
async fn flushed_is_called_when_the_pipe_has_everything() {
    let (mut link, mut peer) = piped_link(4);
    let mut machine = Echo { answers: b"12345678".to_vec(), ..Echo::default() };
    assert_eq!(settle(&mut link, &mut machine).await, None);
    assert_eq!((link.bytes_out(), machine.flushed), (4, 0));
    peer.read_exact(&mut [0; 3]).await.expect("three bytes");
    assert_eq!(settle(&mut link, &mut machine).await, None);
    assert_eq!((link.bytes_out(), machine.flushed), (7, 0));
    peer.read_exact(&mut [0; 4]).await.expect("four bytes");
    assert_eq!(settle(&mut link, &mut machine).await, None);
    assert_eq!((link.bytes_out(), machine.flushed), (8, 1));
    // Without new output there is no new flush.
    assert_eq!(settle(&mut link, &mut machine).await, None);
    assert_eq!(machine.flushed, 1);
}

#[tokio::test(start_paused = true)]
async fn unwanted_input_stays_with_the_peer_until_wanted() {
    let (mut link, mut peer) = piped_link(64);
    let mut machine = Echo::default();
    peer.write_all(b"paused\nheld back\n").await.expect("room");
    assert_eq!(settle(&mut link, &mut machine).await, None);
    assert_eq!(machine.lines, ["paused"]);
    // The pipe fills, so the peer cannot write.
    let refused = tokio::time::timeout(Duration::from_secs(1), peer.write_all(&[b'y'; 65])).await;
    assert!(refused.is_err());
    assert_eq!(settle(&mut link, &mut machine).await, None);
    machine.paused = false;
    assert_eq!(settle(&mut link, &mut machine).await, None);
    assert_eq!(machine.lines, ["paused", "held back"]);
    assert_eq!(link.bytes_in(), 17 + 64);
}

#[tokio::test(start_paused = true)]
async fn timers_fire_when_due_even_after_they_move() {
    let (mut link, mut peer) = piped_link(64);
    let start = clock::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut machine = Echo { timers: vec![at(10), at(20), at(3600)], ..Echo::default() };
    let sleep_until = |seconds| tokio::time::sleep_until(at(seconds).into());
    // A timer fires in its tick, never before.
    let fired = |machine: &Echo| -> Vec<u64> {
        let passed = machine.fired.iter().map(|at| *at - start);
        passed.inspect(|passed| assert!(passed.subsec_millis() < 3)).map(|passed| passed.as_secs()).collect()
    };
    macro_rules! drive_until {
        ($seconds:expr) => {
            tokio::select! {
                biased;
                end = run(&mut link, &mut machine) => panic!("{end:?}"),
                () = sleep_until($seconds) => {}
            }
        };
    }
    drive_until!(15);
    assert_eq!(fired(&machine), [10]);
    // Earlier than the armed timer.
    machine.timers.insert(0, at(17));
    drive_until!(18);
    assert_eq!(fired(&machine), [10, 17]);
    // Later than the armed timer, which fires but has no effect.
    machine.timers = vec![at(30)];
    drive_until!(29);
    assert_eq!(machine.fired.len(), 2);
    drive_until!(31);
    assert_eq!(fired(&machine), [10, 17, 30]);
    // The link still reads.
    peer.write_all(b"alive\n").await.expect("room");
    drive_until!(32);
    assert_eq!(machine.lines, ["alive"]);
}

#[tokio::test(start_paused = true)]
async fn a_wake_in_the_past_does_not_spin() {
    let (mut link, _peer) = piped_link(64);
    let mut machine = WakeInThePast { collected: clock::now(), timeouts: 0 };
    let deadlines = link.deadlines();
    tokio::select! {
        biased;
        _ = poll_fn(|cx| link.poll(cx, &mut machine)) => unreachable!("the peer is connected"),
        error = deadlines.run() => panic!("{error}"),
        () = tokio::time::sleep(Duration::from_millis(100)) => {}
    }
    // The paused clock has a resolution of 1 ms and ticks last 0.9 ms, so each millisecond has one or two calls.
    assert!((45..=230).contains(&machine.timeouts), "{}", machine.timeouts);
}

struct WakeInThePast {
    collected: Instant,
    timeouts: u32,
}

impl Machine for WakeInThePast {
    type Error = ();
    fn handle_input(&mut self, _: Instant, _: &mut BytesMut) -> Result<(), ()> {
        Ok(())
    }
    fn handle_timeout(&mut self, _: Instant) -> Result<(), ()> {
        self.timeouts += 1;
        Ok(())
    }
    fn handle_flushed(&mut self, _: Instant) {}
    fn handle_closed(&mut self, _: Instant, _: Closed) {}
    fn poll_output(&mut self, _: Instant, _: &mut BytesMut) {}
    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.collected)
    }
    fn wants_input(&self) -> bool {
        true
    }
    fn poll_close(&self) -> Option<Close> {
        None
    }
}

#[tokio::test(start_paused = true)]
async fn close_after_flush_writes_waiting_output_first() {
    let (mut link, mut peer) = piped_link(4);
    let mut machine =
        Echo { answers: b"goodbye\n".to_vec(), close: Some(Close::AfterFlush), ..Echo::default() };
    let (end, line) = tokio::join!(run(&mut link, &mut machine), read_line(&mut peer));
    assert_eq!((end, line.as_str()), (End::Closed(Closed::Local), "goodbye"));
    assert_eq!(peer.read(&mut [0; 1]).await.expect("a clean end"), 0);
    // An ended link stays ended, and `handle_closed` is called only once.
    assert_eq!(run(&mut link, &mut machine).await, End::Closed(Closed::Local));
    assert_eq!(machine.closed, [Closed::Local]);
}

#[tokio::test(start_paused = true)]
async fn close_after_flush_gives_up_on_a_peer_that_does_not_read() {
    let (mut link, _peer) = piped_link(4);
    let mut machine =
        Echo { answers: b"goodbye\n".to_vec(), close: Some(Close::AfterFlush), ..Echo::default() };
    let start = clock::now();
    assert_eq!(run(&mut link, &mut machine).await, End::Closed(Closed::Local));
    assert_eq!((clock::now() - start).as_secs(), 5);
    assert_eq!(machine.closed, [Closed::Local]);
}

#[tokio::test(start_paused = true)]
async fn a_reset_discards_waiting_output() {
    let (mut link, mut peer) = piped_link(64);
    let mut machine = Echo { answers: b"unsent\n".to_vec(), close: Some(Close::Reset), ..Echo::default() };
    assert_eq!(run(&mut link, &mut machine).await, End::Closed(Closed::Local));
    assert_eq!(machine.closed, [Closed::Local]);
    assert_eq!(peer.read(&mut [0; 1]).await.expect("the pipe ends"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_machine_error_ends_the_link_and_is_returned() {
    let (mut link, mut peer) = piped_link(64);
    let mut machine = Echo::default();
    peer.write_all(b"fine\nbreak\nnever seen\n").await.expect("room");
    assert_eq!(run(&mut link, &mut machine).await, End::Failed(Broken("broken frame")));
    assert_eq!(machine.lines, ["fine"]);
    assert_eq!(machine.closed, [Closed::Local]);
}

#[tokio::test(start_paused = true)]
async fn input_before_a_failed_write_is_handled() {
    let (mut link, mut peer) = piped_link(64);
    let mut machine = Echo { paused: true, ..Echo::default() };
    peer.write_all(b"refused\n").await.expect("room");
    drop(peer);
    // A paused machine does not notice the end of the stream. Then a write fails.
    assert_eq!(settle(&mut link, &mut machine).await, None);
    machine.paused = false;
    machine.answers = b"too late\n".to_vec();
    assert_eq!(run(&mut link, &mut machine).await, End::Closed(Closed::Eof));
    assert_eq!(machine.lines, ["refused"]);
    assert_eq!(machine.closed, [Closed::Eof]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_link_owns_no_buffers() {
    let (mut link, mut peer) = piped_link(64);
    let mut machine = Echo::default();
    peer.write_all(b"hello\n").await.expect("room");
    assert_eq!(settle(&mut link, &mut machine).await, None);
    assert_eq!(machine.lines, ["hello"]);
    assert_eq!(link.owned_bytes(), 0);
    peer.write_all(b"half").await.expect("room");
    assert_eq!(settle(&mut link, &mut machine).await, None);
    assert!((4..=64).contains(&link.owned_bytes()), "{}", link.owned_bytes());
    peer.write_all(b" done\n").await.expect("room");
    assert_eq!(settle(&mut link, &mut machine).await, None);
    assert_eq!((machine.lines.len(), link.owned_bytes()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_busy_peer_yields_to_other_connections() {
    let (mut link, mut peer) = piped_link(1 << 20);
    let mut machine = Echo::default();
    let line = [&[b'z'; 999][..], b"\n"].concat();
    for _ in 0..1000 {
        peer.write_all(&line).await.expect("room");
    }
    let poll = |link: &mut Link, machine: &mut Echo| {
        let mut future = pin!(async { poll_fn(|cx| link.poll(cx, machine)).await });
        future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    };
    assert_eq!(poll(&mut link, &mut machine), Poll::Pending);
    let first = machine.lines.len();
    assert!((1..1000).contains(&first), "{first}");
    assert_eq!(settle(&mut link, &mut machine).await, None);
    assert_eq!(machine.lines.len(), 1000);
}

#[tokio::test(flavor = "local")]
async fn a_flooded_connection_does_not_starve_others() {
    let turns = Rc::new(Cell::new(0_u32));
    let (mut flooded, mut flood) = piped_link(1 << 20);
    let flooding = tokio::task::spawn_local(async move {
        loop {
            flood.write_all(&[b'x'; 1 << 16]).await.expect("the link reads");
        }
    });
    let counted = turns.clone();
    tokio::task::spawn_local(async move {
        let mut discard = Discard::default();
        poll_fn(|cx| {
            counted.set(counted.get() + 1);
            let before = discard.received;
            let end = flooded.poll(cx, &mut discard);
            let most = READS_PER_POLL_MAX * 16 * 1024;
            assert!(discard.received - before <= most, "{} bytes in one poll", discard.received - before);
            end
        })
        .await
    });
    let (mut calm, mut peer) = piped_link(64);
    tokio::task::spawn_local(async move { run(&mut calm, &mut Echo::default()).await });
    // In a task of its own, because the runtime polls its main future less often.
    let talk = tokio::task::spawn_local(async move {
        for _ in 0..1_000 {
            let before = turns.get();
            peer.write_all(b"still there?\n").await.expect("room");
            assert_eq!(read_line(&mut peer).await, "still there?");
            let waited = turns.get() - before;
            assert!(waited <= 3, "the flooded connection was polled {waited} times meanwhile");
        }
        assert!(turns.get() > 1_000, "the flood lasted throughout the test");
    });
    talk.await.expect("no panic");
    assert!(!flooding.is_finished());
}
