//! Half an hour in the life of 200 devices, their hub and its service side, in virtual time: telemetry, twins, methods,
//! cloud-to-device messages, renewals, and connections that the hub closes. Every operation ends once, and what the devices
//! counted agrees with what the hub has, to the message. No sockets: bytes take 5 ms each way.

use crate::clock::{RunClock, WallClock};
use crate::emulator::directory::{Address, Directory};
use crate::emulator::service::{CallDeadline, PendingRequest};
use crate::emulator::session::{Event as HubEvent, HubSession};
use crate::fleet::{self, ConnectionEnd, Context, Device, DeviceRef, ServiceDriver};
use crate::iothub::service::{ServiceCall, ServiceError, ServiceRequest, ServiceResult};
use crate::link::{Buffers, Deadlines, Endpoint};
use crate::measure::{Counts, FleetCounts, FromHub, Measurement, Operation, Outcome, Source, Totals};
use crate::plan::{self, Auth, Keys, Plan};
use crate::policy::backoff::Retries;
use crate::sansio::{Closed, Machine};
use crate::scenario::Input;
use crate::wire::{self, Packet, Publish, Strictness};
use bytes::BytesMut;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

const HOST: &str = "hub.test";
const LATENCY: Duration = Duration::from_millis(5);
const UNIX: Duration = Duration::from_secs(1_800_000_000);
/// So often a connection is closed just when its device has written something.
const CAUGHT_EVERY: u64 = 301;
/// How often the hub closes connections, and how many.
const CLOSE_EVERY: Duration = Duration::from_secs(20);
const CLOSED_AT_ONCE: u32 = 7;

const SCENARIO: &str = r#"
name = "life"
seed = 11
drain = "30s"
[fleet.meter]
devices = 200
subscribe = ["c2d", "methods", "twin"]
auth = { kind = "sas", ttl = "8m", renew = "80%" }
reconnect = { kind = "exponential", base = "500ms", max = "10s", jitter = "full" }
twin = { get = "on-connect", every = "5m" }
[[fleet.meter.send]]
every = "15s"
payload = '${seq}'
[[fleet.meter.report]]
every = "1m"
payload = '{"uptime":${uptime}}'
[fleet.meter.methods.reboot]
status = 200
after = "200ms"
[fleet.meter.methods.restart]
status = 202
then = "reconnect"
[[drive]]
call = "method"
fleet = "meter"
name = "reboot"
rate = "2/s"
arrival = "poisson"
[[drive]]
call = "method"
fleet = "meter"
name = "restart"
rate = "6/m"
[[drive]]
call = "desired"
fleet = "meter"
rate = "2/s"
payload = '{"interval":${seq}}'
[[drive]]
call = "c2d"
fleet = "meter"
rate = "5/s"
payload = "hello"
[[phase]]
name = "ramp"
duration = "1m"
online = "0% -> 100%"
[[phase]]
name = "life"
duration = "28m"
[[phase]]
name = "rest"
duration = "1m"
load = "0% -> 0%"
"#;

fn plan() -> Plan {
    let files = &crate::scenario::no_files;
    let input = Input { file: "life.toml", text: SCENARIO, overrides: &[], env: &|_| None, files };
    let mut plan = plan::load(&input, &mut rand::rng()).unwrap_or_else(|errors| panic!("{errors}"));
    HOST.clone_into(&mut plan.target.host);
    plan
}

/// One direction of a connection.
#[derive(Default)]
struct Pipe(VecDeque<(Instant, BytesMut)>);

impl Pipe {
    fn send(&mut self, now: Instant, bytes: BytesMut) {
        if !bytes.is_empty() {
            self.0.push_back((now + LATENCY, bytes));
        }
    }

    fn next(&self) -> Option<Instant> {
        self.0.front().map(|(at, _)| *at)
    }

    /// What has come by `now`.
    fn receive(&mut self, now: Instant) -> BytesMut {
        let mut came = BytesMut::new();
        while self.next().is_some_and(|at| at <= now) {
            came.extend_from_slice(&self.0.pop_front().expect("it was there").1);
        }
        came
    }
}

/// The messages in what one side wrote or heard: whole packets.
fn messages(bytes: &BytesMut) -> impl Iterator<Item = Publish> {
    let mut bytes = bytes.clone();
    std::iter::from_fn(move || {
        let packet = wire::decode(&mut bytes, 1 << 20, Strictness::Strict).expect("good packets");
        assert!(packet.is_some() || bytes.is_empty(), "both sides write whole packets");
        packet
    })
    .filter_map(|packet| match packet {
        Packet::Publish(publish) => Some(publish),
        _ => None,
    })
}

/// Messages of each kind on the wire, apart from what devices, hub and service count themselves.
#[derive(Default)]
struct Wire(HashMap<&'static str, u64>);

impl Wire {
    const KINDS: [&str; 7] = [
        "/messages/devicebound/",
        "/twin/res/200/",
        "/twin/res/204/",
        "/properties/reported/",
        "/properties/desired/",
        "/methods/POST/",
        "/methods/res/",
    ];

    fn note(&mut self, bytes: &BytesMut) {
        for message in messages(bytes) {
            if let Some(kind) = Wire::KINDS.into_iter().find(|kind| message.topic.contains(kind)) {
                *self.0.entry(kind).or_default() += 1;
            }
        }
    }

    fn count(&self, kind: &'static str) -> u64 {
        assert!(Wire::KINDS.contains(&kind), "{kind}");
        self.0.get(kind).copied().unwrap_or(0)
    }
}

struct Connection {
    hub: HubSession,
    address: Address,
    to_hub: Pipe,
    to_device: Pipe,
    at_hub: BytesMut,
    at_device: BytesMut,
}

/// A device, and its connection while it has one.
struct Life {
    device: Device,
    retries: Retries,
    connection: Option<Connection>,
    /// When it connects next, and when that was due.
    next_ns: Option<u64>,
}

/// What everybody shares.
struct World {
    context: Rc<Context>,
    directory: Arc<Directory>,
    connections: u64,
    /// Telemetry at the hub: how often each message came.
    telemetry: HashMap<(usize, u64), u64>,
    counted: u64,
    /// What devices heard, and what the hub heard from devices that were online.
    heard: Wire,
    /// What devices wrote.
    said: Wire,
    /// Changes of desired properties whose device was offline.
    untold: u64,
    /// How often a device has written something.
    written: u64,
    /// Devices that are to be closed while what they wrote is on its way.
    caught: Vec<usize>,
}

impl World {
    fn ns(&self, now: Instant) -> u64 {
        u64::try_from((now - self.context.clock.zero).as_nanos()).expect("it fits")
    }

    fn at(&self, ns: u64) -> Instant {
        self.context.clock.zero + Duration::from_nanos(ns)
    }

    fn unix(&self, now: Instant) -> Duration {
        UNIX + (now - self.context.clock.zero)
    }
}

impl Life {
    fn next(&self, world: &World) -> Option<Instant> {
        let Some(connection) = &self.connection else { return self.next_ns.map(|ns| world.at(ns)) };
        let pipes = [connection.to_hub.next(), connection.to_device.next()];
        let timers = [connection.hub.poll_timeout(), self.device.poll_timeout()];
        pipes.into_iter().chain(timers).flatten().min()
    }

    /// Everything that happens to it at this instant.
    fn settle(&mut self, world: &mut World, number: usize, now: Instant) {
        if self.connection.is_none() {
            match self.next_ns.take_if(|at| *at <= world.ns(now)) {
                Some(due_ns) => self.connect(world, number, due_ns, now),
                None => return,
            }
        }
        for _ in 0..1_000 {
            let Some(connection) = &mut self.connection else { return };
            let hub = connection.turn_hub(world, number, now);
            let device = connection.turn_device(&mut self.device, world, now);
            match (hub, device) {
                (Turn::Quiet, Turn::Quiet) => return,
                (Turn::Over, _) => return self.end(world, now, Closed::Eof),
                (_, Turn::Over) => return self.end(world, now, Closed::Local),
                _ => {}
            }
        }
        panic!("device {number} goes on for ever at one instant");
    }

    fn connect(&mut self, world: &mut World, number: usize, due_ns: u64, now: Instant) {
        self.device.begin_attempt(due_ns, now);
        world.connections += 1;
        self.connection = Some(Connection {
            hub: HubSession::new(world.directory.clone(), now),
            address: Address { shard: number, connection: world.connections },
            to_hub: Pipe::default(),
            to_device: Pipe::default(),
            at_hub: BytesMut::new(),
            at_device: BytesMut::new(),
        });
    }

    /// The connection is over. What one side sent before it closed still arrives at the other.
    fn end(&mut self, world: &mut World, now: Instant, why: Closed) {
        let Some(mut connection) = self.connection.take() else { return };
        if why == Closed::Eof {
            connection.hear(world, now + LATENCY);
            self.device.handle_input(now, &mut connection.at_device).expect("the hub is no enemy");
        } else {
            connection.take_in(world, now + LATENCY);
            connection.hub.handle_input(now, &mut connection.at_hub).expect("nor is the device");
        }
        world.counted += connection.hub.take_telemetry();
        connection.hub.handle_closed(now, Closed::Eof);
        connection.hub.release();
        self.device.handle_closed(now, why);
        let again = match self.device.connection_end() {
            ConnectionEnd::Finished => None,
            ConnectionEnd::Renewal | ConnectionEnd::Method => {
                self.retries = Retries::default();
                Some(now)
            }
            ConnectionEnd::Lost | ConnectionEnd::Failed => {
                self.device.back_off(&mut self.retries, now).map(|delay| now + delay)
            }
        };
        self.next_ns = again.map(|at| world.ns(at)).filter(|ns| *ns < self.device.off_ns());
    }
}

/// What came of one side's turn.
#[derive(PartialEq, Eq)]
enum Turn {
    Quiet,
    Moved,
    /// It has closed the connection.
    Over,
}

impl Connection {
    /// Bytes that have come to the hub; the telemetry among them is counted apart from the hub's own counting.
    fn take_in(&mut self, world: &mut World, now: Instant) -> bool {
        let came = self.to_hub.receive(now);
        self.at_hub.extend_from_slice(&came);
        for message in messages(&came).filter(|message| message.topic.contains("/messages/events/")) {
            let seq = std::str::from_utf8(&message.payload).expect("text").parse().expect("a number");
            *world.telemetry.entry((self.address.shard, seq)).or_default() += 1;
        }
        if self.hub.is_online() {
            world.heard.note(&came);
        }
        !came.is_empty()
    }

    /// Bytes that have come to the device.
    fn hear(&mut self, world: &mut World, now: Instant) -> bool {
        let came = self.to_device.receive(now);
        self.at_device.extend_from_slice(&came);
        world.heard.note(&came);
        !came.is_empty()
    }

    fn turn_hub(&mut self, world: &mut World, number: usize, now: Instant) -> Turn {
        let mut moved = self.take_in(world, now);
        self.hub.handle_input(now, &mut self.at_hub).unwrap_or_else(|error| panic!("{number}: {error}"));
        self.hub.handle_timeout(now).unwrap_or_else(|error| panic!("{number}: {error}"));
        match self.hub.poll_event() {
            Some(HubEvent::Authorized) => {
                assert_eq!(self.hub.claim(self.address), None, "the connection before is over");
                self.hub.admit(now);
                moved = true;
            }
            Some(event) => panic!("{number}: {event:?}"),
            None => {}
        }
        world.counted += self.hub.take_telemetry();
        let mut out = BytesMut::new();
        self.hub.poll_output(now, &mut out);
        moved |= !out.is_empty();
        self.to_device.send(now, out);
        match moved {
            true => Turn::Moved,
            false if self.hub.poll_close().is_some() => Turn::Over,
            false => Turn::Quiet,
        }
    }

    fn turn_device(&mut self, device: &mut Device, world: &mut World, now: Instant) -> Turn {
        let mut moved = self.hear(world, now);
        device.handle_input(now, &mut self.at_device).expect("the hub keeps to the standard");
        device.handle_timeout(now).expect("nothing times out");
        let mut out = BytesMut::new();
        device.poll_output(now, &mut out);
        device.handle_flushed(now);
        world.said.note(&out);
        if !out.is_empty() {
            moved = true;
            world.written += 1;
            if world.written.is_multiple_of(CAUGHT_EVERY) && self.hub.is_online() {
                world.caught.push(self.address.shard);
            }
        }
        self.to_hub.send(now, out);
        match moved {
            true => Turn::Moved,
            false if device.poll_close().is_some() => Turn::Over,
            false => Turn::Quiet,
        }
    }
}

/// The service side: calls under way, by id.
struct Service {
    driver: ServiceDriver,
    open: HashMap<u64, (String, PendingRequest)>,
    close_at: Instant,
    closed: u32,
}

impl Service {
    fn next(&self) -> Option<Instant> {
        let deadlines =
            self.open.values().filter_map(|(_, pending)| pending.deadline.map(|CallDeadline { at, .. }| at));
        deadlines.chain(self.driver.poll_timeout()).chain([self.close_at]).min()
    }

    /// Asks what is due, takes in what is answered; returns the devices that have to be woken.
    fn step(&mut self, world: &mut World, now: Instant, load_end: Instant) -> Vec<Address> {
        let mut wake = Vec::new();
        let unix = world.unix(now);
        for ServiceCall { id, device, request } in self.driver.poll(now) {
            let changes = matches!(request, ServiceRequest::UpdateDesired { .. });
            let pending = world.directory.request(now, unix, &device, request);
            world.untold += u64::from(changes && pending.wake.is_none());
            wake.extend(pending.wake);
            self.open.insert(id, (device, pending));
        }
        if now >= self.close_at {
            self.close_at = if now < load_end { now + CLOSE_EVERY } else { now + 1_000 * CLOSE_EVERY };
            let next = (0..CLOSED_AT_ONCE).map(|n| (self.closed * 31 + n) as usize % 200);
            world.caught.extend(next);
            self.closed += CLOSED_AT_ONCE;
        }
        for number in std::mem::take(&mut world.caught) {
            let device = world.context.plan.fleets[0].device_id(u32::try_from(number).expect("it fits"));
            wake.extend(world.directory.request(now, unix, &device, ServiceRequest::CloseConnection).wake);
        }
        let mut results = Vec::new();
        self.open.retain(|id, (device, pending)| {
            let passed = pending.deadline.take_if(|deadline| deadline.at <= now);
            if let Some(CallDeadline { call, .. }) = passed {
                world.directory.expire_call(device, call);
            }
            let result = match pending.result.try_recv() {
                Ok(result) => result,
                Err(tokio::sync::oneshot::error::TryRecvError::Empty) => return true,
                Err(tokio::sync::oneshot::error::TryRecvError::Closed) => Err(ServiceError::NotOnline),
            };
            results.push(ServiceResult { id: *id, result: result.map_err(Into::into) });
            false
        });
        for result in &results {
            self.driver.handle_result(result, now);
        }
        wake
    }
}

/// What is left when it is over.
struct Lived {
    measurement: Measurement,
    world: World,
    end: Instant,
    counts: FleetCounts,
}

impl Lived {
    fn totals(&self, operation: Operation) -> Totals {
        self.measurement.sum(|key| key.operation == operation)
    }

    fn twin_versions(&self) -> (u64, u64) {
        let plan = &self.world.context.plan;
        let versions = (0..200).map(|index| {
            let device = plan.fleets[0].device_id(index);
            let mut pending = self.world.directory.request(
                self.end,
                self.world.unix(self.end),
                &device,
                ServiceRequest::ReadTwin,
            );
            let view = pending.result.try_recv().expect("at once").expect("known").payload.expect("a twin");
            assert_eq!(view["cloudToDeviceMessageCount"], 0, "{device} has taken all its messages");
            let version = |section: &str| view["properties"][section]["$version"].as_u64().expect("a number");
            (version("desired") - 1, version("reported") - 1)
        });
        versions.fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1))
    }
}

fn live() -> Lived {
    let plan = Arc::new(plan());
    let zero = crate::clock::now();
    let (reports, _keep) = tokio::sync::mpsc::unbounded_channel();
    let endpoint = Arc::new(Endpoint { host: HOST.to_owned(), port: 8883, ..Endpoint::default() });
    let clock = RunClock { zero, zero_unix: UNIX };
    let clocks = (clock, WallClock::of(zero, UNIX));
    let shared = (Buffers::shared(), Deadlines::new());
    let context = Rc::new(Context::new(plan.clone(), endpoint, clocks.clone(), shared, reports));
    let Auth::Sas { keys: Keys::Group(key), .. } = &plan.fleets[0].auth else { panic!("a group key") };
    let config = crate::emulator::Config {
        host_names: vec![HOST.to_owned()],
        group_keys: vec![key.clone()],
        wall: clocks.1.clone(),
        ..crate::emulator::Config::default()
    };
    let directory = Arc::new(Directory::new(config));
    let mut world = World {
        context: context.clone(),
        directory,
        connections: 0,
        telemetry: HashMap::new(),
        counted: 0,
        heard: Wire::default(),
        said: Wire::default(),
        untold: 0,
        written: 0,
        caught: Vec::new(),
    };
    let mut lives: Vec<Life> = (0..200_u32)
        .map(|index| {
            let mut device = Device::new(context.clone(), DeviceRef { fleet: 0, index });
            let spans = plan.schedule.online_spans(u64::from(index), 200);
            assert_eq!(spans.len(), 1);
            device.enter(spans[0]);
            Life { device, retries: Retries::default(), connection: None, next_ns: Some(spans[0].from_ns) }
        })
        .collect();
    let stalls = Rc::new(crate::stalls::Stalls::new(zero));
    let driver = ServiceDriver::new(&plan, clocks, stalls).expect("the plan has a service side");
    let load_end = zero + Duration::from_secs(29 * 60);
    let mut service = Service { driver, open: HashMap::new(), close_at: zero + CLOSE_EVERY, closed: 0 };
    let end = zero + plan.schedule.end() + plan.drain;

    // Who has to be looked at next; the service side is looked at at every instant.
    let mut agenda: BTreeSet<(Instant, usize)> = BTreeSet::new();
    let mut planned: Vec<Option<Instant>> = vec![None; lives.len()];
    let mut now = zero;
    let mut touched: BTreeSet<usize> = (0..lives.len()).collect();
    loop {
        while let Some((_, number)) = agenda.first().copied().filter(|(at, _)| *at <= now) {
            agenda.pop_first();
            planned[number] = None;
            touched.insert(number);
        }
        while let Some(number) = touched.pop_first() {
            lives[number].settle(&mut world, number, now);
            if let Some(at) = planned[number].take() {
                agenda.remove(&(at, number));
            }
            planned[number] = lives[number].next(&world).map(|at| at.max(now));
            agenda.extend(planned[number].map(|at| (at, number)));
        }
        for address in service.step(&mut world, now, load_end) {
            let connection = lives[address.shard].connection.as_mut();
            if let Some(connection) = connection.filter(|connection| connection.address == address) {
                connection.hub.wake();
                touched.insert(address.shard);
            }
        }
        if !touched.is_empty() {
            continue;
        }
        let next = agenda.first().map(|(at, _)| *at).into_iter().chain(service.next()).min();
        match next.filter(|at| *at <= end) {
            Some(at) => now = now.max(at),
            None => break,
        }
    }
    for life in &mut lives {
        life.end(&mut world, end, Closed::Local);
        life.device.settle(end);
    }
    service.driver.settle(end);
    let mut collector = fleet::collector(&plan);
    collector.add(&context.recorder.borrow_mut().swap(), Source::Worker(0));
    collector.add(&service.driver.swap(), Source::Service);
    let measurement = collector.finish(u64::MAX, Vec::new(), Vec::new());
    let counts = measurement.fleets[0].counts;
    Lived { measurement, world, end, counts }
}

#[test]
fn half_an_hour_of_200_devices_balances_to_the_message() {
    let lived = live();
    for part in &lived.measurement.operations {
        assert_eq!(part.totals.due, part.totals.ended(), "{}: each due operation ends once", part.operation);
    }
    let ok = |operation| lived.totals(operation).outcome(Outcome::Ok);
    let due = |operation| lived.totals(operation).due;

    // Telemetry: what has an ack is at the hub, what the hub has was sent; what came twice was sent again.
    let telemetry = lived.totals(Operation::Telemetry);
    assert!((22_000..24_500).contains(&telemetry.due), "{}", telemetry.due);
    assert_eq!(telemetry.due, telemetry.outcome(Outcome::Ok), "kept sessions lose nothing");
    assert_eq!(lived.world.telemetry.len() as u64, telemetry.due);
    let came: u64 = lived.world.telemetry.values().sum();
    assert_eq!(came, lived.world.counted, "the hub counts what came");
    assert!(
        lived.counts.resent > 0 && came - telemetry.due <= lived.counts.resent,
        "{came} of {}",
        telemetry.due
    );

    // Each connection was somebody's first, a renewal, or a return.
    let FleetCounts { own: Counts { reconnects, renewals, .. }, from_hub } = lived.counts;
    assert_eq!(
        (due(Operation::Connect), ok(Operation::Connect)),
        (lived.world.connections, 200 + reconnects + renewals)
    );
    assert_eq!(due(Operation::Connect), ok(Operation::Connect));
    assert!(reconnects > 600, "{reconnects}");
    // Every eight minutes at 80%, so four or five each, unless a closed connection came before.
    assert!(renewals > 400, "{renewals}");
    assert_eq!((due(Operation::Renewal), ok(Operation::Renewal)), (renewals, renewals));

    twins_balance(&lived);
    methods_balance(&lived);

    // Each message was taken, once or, after a close, again; none waits any more (`twin_versions`), and none was passed over.
    let sent = due(Operation::ServiceC2d);
    assert_eq!((sent, from_hub.c2d - from_hub.c2d_duplicates), (ok(Operation::ServiceC2d), sent));
    assert_eq!(
        (from_hub.c2d, ok(Operation::C2d)),
        (lived.world.heard.count("/messages/devicebound/"), from_hub.c2d)
    );
    assert!(from_hub.c2d_duplicates > 0, "some were caught before their PUBACK");
    let nothing_else = FromHub {
        desired: from_hub.desired,
        c2d: from_hub.c2d,
        c2d_duplicates: from_hub.c2d_duplicates,
        ..FromHub::default()
    };
    assert_eq!(from_hub, nothing_else, "nothing was late, unknown, missed or skipped");
}

fn twins_balance(lived: &Lived) {
    let (heard, said) = (&lived.world.heard, &lived.world.said);
    let (desired, reported) = lived.twin_versions();
    let gets = lived.totals(Operation::TwinGet);
    assert!(gets.due > lived.world.connections, "with each connection, and every five minutes");
    assert_eq!(gets.outcome(Outcome::Ok), heard.count("/twin/res/200/"));
    assert_eq!(gets.due, gets.outcome(Outcome::Ok) + gets.outcome(Outcome::Lost), "{gets:?}");

    // What a connection that was closed cut off on its way to the hub is lost, and changed nothing.
    let reports = lived.totals(Operation::TwinReport);
    assert!(reports.due > 5_000);
    assert_eq!(reports.due, said.count("/properties/reported/"));
    assert_eq!(reports.due, reports.outcome(Outcome::Ok) + reports.outcome(Outcome::Lost), "{reports:?}");
    assert_eq!(reports.outcome(Outcome::Ok), heard.count("/twin/res/204/"));
    assert_eq!(reported, heard.count("/properties/reported/"));

    // Each change has a version, and is told to a device that is online; no device missed one without reading its whole twin.
    let changes = lived.totals(Operation::ServiceDesired);
    assert_eq!((changes.due, changes.outcome(Outcome::Ok)), (desired, desired));
    assert_eq!(lived.counts.from_hub.desired, heard.count("/properties/desired/"));
    assert_eq!(desired, lived.counts.from_hub.desired + lived.world.untold);
}

fn methods_balance(lived: &Lived) {
    let (heard, said) = (&lived.world.heard, &lived.world.said);
    let (service, device) = (lived.totals(Operation::ServiceMethod), lived.totals(Operation::Method));
    let (answered, taken) = (device.outcome(Outcome::Ok), service.outcome(Outcome::Ok));
    assert!(service.due > 3_000);
    assert_eq!(device.due, heard.count("/methods/POST/"));
    assert_eq!((answered, taken), (said.count("/methods/res/"), heard.count("/methods/res/")));
    // A call fails when its device was not told, lost its connection before it answered, or while the answer was on its way.
    let (untold, unanswered, cut_off) = (service.due - device.due, device.due - answered, answered - taken);
    assert!(cut_off > 0, "some were caught");
    assert_eq!(service.outcome(Outcome::Refused), untold + unanswered + cut_off, "{service:?} {device:?}");
    assert_eq!(service.due, taken + service.outcome(Outcome::Refused));
    assert_eq!(unanswered, device.outcome(Outcome::Lost));
}
