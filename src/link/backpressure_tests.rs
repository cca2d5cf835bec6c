//! Back-pressure: peers that send more than the machine wants, and how much unwanted input the driver keeps.

use bytes::{Buf, BytesMut};
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::testing::piped_link;
use super::{End, Link};
use crate::sansio::{Close, Closed, Machine, OUTPUT_BYTES_MAX};

/// The limit on unwanted input that the link keeps: one read.
const KEPT_BYTES_MAX: usize = 16 * 1024;

const FRAME: [u8; 4] = [0, 0, 0, 4];

/// A machine whose frames begin with their length. It owes one byte of output per frame, and does not want input while
/// it owes [`OWED_MAX`] bytes.
#[derive(Debug, Default)]
struct Debtor {
    frames: usize,
    owed: usize,
    /// Number of `handle_input` calls, and the bytes offered in all of them.
    calls: usize,
    offered: usize,
    closed: Vec<Closed>,
}

const OWED_MAX: usize = 100;

impl Machine for Debtor {
    type Error = ();

    fn handle_input(&mut self, _now: Instant, input: &mut BytesMut) -> Result<(), ()> {
        assert!(self.wants_input(), "input that the machine did not want");
        self.calls += 1;
        self.offered += input.len();
        while self.wants_input()
            && let Some(&length) = input.first_chunk()
            && let length = u32::from_be_bytes(length) as usize
            && length <= input.len()
        {
            input.advance(length);
            self.frames += 1;
            self.owed += 1;
        }
        Ok(())
    }

    fn handle_timeout(&mut self, _now: Instant) -> Result<(), ()> {
        Ok(())
    }

    fn handle_flushed(&mut self, _now: Instant) {}

    fn handle_closed(&mut self, _now: Instant, why: Closed) {
        self.closed.push(why);
    }

    fn poll_output(&mut self, _now: Instant, out: &mut BytesMut) {
        let owed = std::mem::take(&mut self.owed);
        out.resize(out.len() + owed, b'a');
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn wants_input(&self) -> bool {
        self.owed < OWED_MAX
    }

    fn poll_close(&self) -> Option<Close> {
        None
    }
}

/// Drives the link until the connection ends, and calls `after` after each poll.
async fn run(link: &mut Link, debtor: &mut Debtor, mut after: impl FnMut(&Link, &Debtor)) -> End<()> {
    poll_fn(|cx| {
        let end = link.poll(cx, debtor);
        after(link, debtor);
        end
    })
    .await
}

/// Drives the link until it has nothing to do.
async fn settle(link: &mut Link, debtor: &mut Debtor) -> Option<End<()>> {
    tokio::select! {
        biased;
        end = run(link, debtor, |_, _| {}) => Some(end),
        () = tokio::time::sleep(Duration::from_millis(1)) => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_costs_one_read_of_memory_and_linear_work() {
    const FRAMES: usize = 200_000;
    let (mut link, mut peer) = piped_link(1 << 20);
    let mut debtor = Debtor::default();
    let sending = async move {
        peer.write_all(&FRAME.repeat(FRAMES)).await.expect("the link reads");
        let mut all = vec![0; FRAMES];
        peer.read_exact(&mut all).await.expect("each is answered");
    };
    let mut kept = 0;
    let running = run(&mut link, &mut debtor, |link, _| kept = kept.max(link.owned_bytes()));
    let (end, ()) = tokio::join!(running, sending);
    assert_eq!((end, debtor.frames), (End::Closed(Closed::Eof), FRAMES));
    assert!((1..=KEPT_BYTES_MAX).contains(&kept), "{kept} bytes kept");
    // The rest of a read is offered again after every 100 frames, so no byte is offered more than 41 times.
    let most = FRAMES * FRAME.len() * (KEPT_BYTES_MAX / FRAME.len() / OWED_MAX + 1);
    assert!(debtor.offered <= most, "{} bytes offered", debtor.offered);
    assert!(debtor.calls <= FRAMES / OWED_MAX * 3, "{} calls", debtor.calls);
}

#[tokio::test(start_paused = true)]
async fn all_input_before_the_end_is_handled() {
    const FRAMES: usize = 10_000;
    // The peer closes immediately and does not read, so every write fails.
    let (mut link, mut peer) = piped_link(1 << 20);
    peer.write_all(&FRAME.repeat(FRAMES)).await.expect("room");
    peer.write_all(&FRAME[..3]).await.expect("room");
    drop(peer);
    let mut debtor = Debtor::default();
    assert_eq!(run(&mut link, &mut debtor, |_, _| {}).await, End::Closed(Closed::Eof));
    assert_eq!((debtor.frames, debtor.closed), (FRAMES, vec![Closed::Eof]));

    // The peer closes its sending side, but keeps reading.
    let (mut link, mut peer) = piped_link(1 << 20);
    peer.write_all(&FRAME.repeat(FRAMES)).await.expect("room");
    peer.shutdown().await.expect("it is open");
    let mut debtor = Debtor::default();
    assert_eq!(run(&mut link, &mut debtor, |_, _| {}).await, End::Closed(Closed::Eof));
    assert_eq!(debtor.frames, FRAMES);
    let mut answers = Vec::new();
    drop(link);
    peer.read_to_end(&mut answers).await.expect("an end");
    assert_eq!(answers.len(), FRAMES);
}

#[tokio::test(start_paused = true)]
async fn input_before_the_end_is_handled_after_unread_output() {
    const FRAMES: usize = 4_000;
    let (mut link, mut peer) = piped_link(FRAMES * FRAME.len());
    let mut debtor = Debtor::default();
    peer.write_all(&FRAME.repeat(FRAMES)).await.expect("room");
    // Output that the peer does not read fills the pipe and the link. Then the machine wants no more input.
    debtor.owed = FRAMES * FRAME.len() + OUTPUT_BYTES_MAX;
    assert_eq!(settle(&mut link, &mut debtor).await, None);
    debtor.owed = OWED_MAX;
    assert_eq!(settle(&mut link, &mut debtor).await, None);
    assert!(debtor.frames < FRAMES, "{}", debtor.frames);
    drop(peer);
    assert_eq!(run(&mut link, &mut debtor, |_, _| {}).await, End::Closed(Closed::Eof));
    assert_eq!(debtor.frames, FRAMES);
}

#[tokio::test(start_paused = true)]
async fn a_large_frame_arrives_under_back_pressure() {
    const LENGTH: usize = 1 << 20;
    let (mut link, mut peer) = piped_link(1 << 16);
    let mut debtor = Debtor::default();
    let large =
        [&u32::try_from(LENGTH).expect("it fits").to_be_bytes()[..], &vec![b'x'; LENGTH - 4]].concat();
    let talk = async {
        for _ in 0..2 {
            peer.write_all(&FRAME.repeat(OWED_MAX + 1)).await.expect("the link reads");
            peer.write_all(&large).await.expect("the link reads");
        }
        let mut all = vec![0; 2 * (OWED_MAX + 2)];
        peer.read_exact(&mut all).await.expect("each is answered");
        drop(peer);
    };
    let mut kept = 0;
    let (end, ()) =
        tokio::join!(run(&mut link, &mut debtor, |link, _| kept = kept.max(link.owned_bytes())), talk);
    assert_eq!((end, debtor.frames), (End::Closed(Closed::Eof), 2 * (OWED_MAX + 2)));
    // A growing buffer doubles its size.
    assert!((LENGTH / 2..=2 * LENGTH + 2 * KEPT_BYTES_MAX).contains(&kept), "{kept} bytes kept");
}

#[tokio::test(start_paused = true)]
async fn a_slow_large_frame_is_not_copied() {
    const LENGTH: usize = 256 * 1024;
    let (mut link, mut peer) = piped_link(1 << 20);
    let mut debtor = Debtor::default();
    peer.write_all(&u32::try_from(LENGTH).expect("it fits").to_be_bytes()).await.expect("room");
    peer.write_all(&vec![b'x'; LENGTH - 4 - 1_000]).await.expect("room");
    assert_eq!(settle(&mut link, &mut debtor).await, None);
    let mut moved = 0;
    let mut before = link.input().as_ptr();
    for _ in 0..1_000 {
        peer.write_all(b"x").await.expect("room");
        assert_eq!(debtor.frames, 0);
        assert_eq!(settle(&mut link, &mut debtor).await, None);
        moved += usize::from(before != link.input().as_ptr());
        before = link.input().as_ptr();
    }
    // The buffer grows once, and is freed after the last byte.
    assert!(moved <= 2, "moved {moved} times");
    assert_eq!((debtor.frames, link.owned_bytes()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_small_remainder_does_not_keep_a_large_buffer() {
    const LENGTH: usize = 256 * 1024;
    let (mut link, mut peer) = piped_link(1 << 20);
    let mut debtor = Debtor::default();
    peer.write_all(&u32::try_from(LENGTH).expect("it fits").to_be_bytes()).await.expect("room");
    peer.write_all(&vec![b'x'; LENGTH - 5]).await.expect("room");
    assert_eq!(settle(&mut link, &mut debtor).await, None);
    peer.write_all(&[b'x', 0, 0]).await.expect("room");
    assert_eq!(settle(&mut link, &mut debtor).await, None);
    assert_eq!(debtor.frames, 1);
    assert!((2..=64).contains(&link.owned_bytes()), "{}", link.owned_bytes());
    assert!(!link.input().try_reclaim(LENGTH / 2), "the memory in front of the remainder is freed too");
}

#[tokio::test(flavor = "local")]
async fn back_pressure_does_not_starve_other_connections() {
    let turns = Rc::new(Cell::new(0_u32));
    let (mut flooded, mut flood) = piped_link(1 << 20);
    tokio::task::spawn_local(async move {
        let (frames, mut answers) = (FRAME.repeat(1 << 14), vec![0; 1 << 14]);
        // The machine always has more input.
        flood.write_all(&frames.repeat(4)).await.expect("room");
        loop {
            flood.write_all(&frames).await.expect("the link reads");
            flood.read_exact(&mut answers).await.expect("each is answered");
        }
    });
    let counted = turns.clone();
    tokio::task::spawn_local(async move {
        let (mut debtor, mut before) = (Debtor::default(), 0);
        let after = |_: &Link, debtor: &Debtor| {
            counted.set(counted.get() + 1);
            assert!(debtor.frames - before <= OWED_MAX, "{} frames in one poll", debtor.frames - before);
            before = debtor.frames;
        };
        run(&mut flooded, &mut debtor, after).await
    });
    let (mut calm, mut peer) = piped_link(64);
    tokio::task::spawn_local(async move { run(&mut calm, &mut Debtor::default(), |_, _| {}).await });
    let talk = tokio::task::spawn_local(async move {
        for _ in 0..1_000 {
            let before = turns.get();
            peer.write_all(&FRAME).await.expect("room");
            peer.read_u8().await.expect("an answer");
            let waited = turns.get() - before;
            assert!(waited <= 4, "the flooded connection was polled {waited} times meanwhile");
        }
        assert!(turns.get() > 1_000, "the flood lasted throughout the test");
    });
    talk.await.expect("no panic");
}
