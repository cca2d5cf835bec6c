//! When stalls are reported, how often a shard beats, and how its busy share is computed.

use super::*;
use crate::clock::WallClock;

struct Shard {
    pulse: Rc<Pulse>,
    health: Arc<Health>,
    wall: WallClock,
    tasks: tokio::task::LocalSet,
}

impl Shard {
    /// Starts the pulse of a shard and its deadlines in virtual time.
    fn start() -> Shard {
        let zero = clock::now();
        let wall = WallClock::of(zero, Duration::from_secs(1000));
        let (pulse, health) = (Rc::new(Pulse::new(Arc::default())), Arc::new(Health::new(zero)));
        let deadlines = Deadlines::new();
        let tasks = tokio::task::LocalSet::new();
        let (beating, published, served) = (Rc::clone(&pulse), Arc::clone(&health), Rc::clone(&deadlines));
        tasks.spawn_local(async move { beating.run(&deadlines, &published).await });
        tasks.spawn_local(async move { served.run().await });
        Shard { pulse, health, wall, tasks }
    }

    async fn runs_for(&self, ms: u64) {
        self.tasks.run_until(tokio::time::sleep(Duration::from_millis(ms))).await;
    }

    fn health(&self) -> ShardHealth {
        self.health.read(self.wall.read(clock::now()))
    }

    fn next_beat(&self) -> Duration {
        self.health.findings().next_beat.unwrap() - clock::now()
    }

    /// Returns the time of the wall clock.
    fn unix_us(&self) -> u64 {
        u64::try_from(self.wall.unix(clock::now()).as_micros()).unwrap()
    }
}

/// Advances the time while nothing runs, as if the thread were blocked.
async fn blocked_for(ms: u64) {
    tokio::time::advance(Duration::from_millis(ms)).await;
}

#[tokio::test(start_paused = true)]
async fn a_blocked_shard_reports_its_stall() {
    let shard = Shard::start();
    let connection = shard.pulse.open(clock::now());
    shard.runs_for(50).await;
    assert_eq!(shard.health().stalls, [], "the shard is running");

    let blocked_us = shard.unix_us();
    blocked_for(300).await;
    let [ongoing] = shard.health().stalls[..] else { panic!("{:?}", shard.health()) };
    let resumed_us = shard.unix_us();
    assert_eq!(ongoing.to_us, resumed_us, "a stall is reported while it lasts");
    shard.runs_for(50).await;

    let [stall] = shard.health().stalls[..] else { panic!("{:?}", shard.health()) };
    assert!((blocked_us..blocked_us + 4_000).contains(&stall.from_us), "{stall:?} {blocked_us}");
    assert!((resumed_us..resumed_us + 4_000).contains(&stall.to_us), "{stall:?} {resumed_us}");
    assert_eq!(stall.stalled_us, stall.to_us - stall.from_us);

    drop(connection);
    shard.health.end();
    blocked_for(5_000).await;
    assert_eq!(shard.health().stalls, [stall], "a shard that has ended does not stall");
}

#[tokio::test(start_paused = true)]
async fn a_shard_with_work_beats_more_often() {
    let shard = Shard::start();
    shard.runs_for(1).await;
    assert!(shard.next_beat() > QUIET_BEAT, "no connections");
    let connection = shard.pulse.open(clock::now());
    shard.runs_for(1).await;
    assert!(shard.next_beat() <= BUSY_BEAT, "the first connection does not wait for the slow beat");
    shard.runs_for(200).await;
    let stalls = shard.health().stalls;
    assert!(shard.next_beat() > BUSY_BEAT && shard.next_beat() <= QUIET_BEAT, "{:?}", shard.next_beat());
    shard.pulse.touch();
    shard.runs_for(1).await;
    assert!(shard.next_beat() <= BUSY_BEAT, "something to do");
    drop(connection);
    shard.runs_for(10).await;
    assert!(shard.next_beat() > QUIET_BEAT, "no connections again");
    let _connection = shard.pulse.open(clock::now());
    shard.runs_for(1).await;
    assert!(shard.next_beat() <= BUSY_BEAT, "busy again soon after it was busy");
    assert_eq!(stalls, []);
}

#[tokio::test(start_paused = true)]
async fn a_thread_that_never_waits_is_busy() {
    let shard = Shard::start();
    let _connection = shard.pulse.open(clock::now());
    shard.runs_for(50).await;
    let all = shard.health().busy_share;
    shard.pulse.idle.begins();
    tokio::time::advance(Duration::from_millis(1)).await;
    shard.pulse.idle.ends();
    shard.runs_for(20).await;
    let less = shard.health().busy_share;
    assert!((all - 1.0).abs() < 1e-9 && less > 0.9 && less < 1.0, "{all} {less}");
}

/// A step of the wall clock shifts all stalls equally. A run converts its own start with the same clock at the same moment, so the step
/// cancels out.
#[tokio::test(start_paused = true)]
async fn stalls_are_converted_to_wall_clock_time_when_read() {
    let shard = Shard::start();
    let _connection = shard.pulse.open(clock::now());
    shard.runs_for(50).await;
    blocked_for(300).await;
    shard.runs_for(50).await;
    let [before] = shard.health().stalls[..] else { panic!("{:?}", shard.health()) };
    shard.wall.step(-500_000_000);
    let [after] = shard.health().stalls[..] else { panic!("{:?}", shard.health()) };
    assert_eq!(before.from_us - after.from_us, 500_000_000);
    assert_eq!(before.stalled_us, after.stalled_us);
}
