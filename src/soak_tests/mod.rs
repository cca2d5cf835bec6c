//! A soak test in virtual time: 200 devices, their hub and its service client run for half an hour. They exercise telemetry,
//! twins, methods, cloud-to-device messages, renewals, and connections that the hub closes. Every operation ends once, and the
//! counts of the devices agree exactly with those of the hub. There are no sockets: bytes take 5 ms in each direction.
//! `balance.rs` has the test.

mod balance;
mod service;
mod wire;

use crate::clock::{RunClock, WallClock};
use crate::emulator::Address;
use crate::emulator::directory::Directory;
use crate::emulator::session::{Event as HubEvent, HubSession};
use crate::fleet::{self, ConnectionEnd, Context, Device, DeviceRef, ServiceDriver};
use crate::iothub::service::ServiceRequest;
use crate::link::{Buffers, Deadlines, Endpoint};
use crate::measure::{FleetCounts, Measurement, Operation, Outcome, Source, Totals};
use crate::plan::{self, Auth, Keys, Plan};
use crate::policy::backoff::Retries;
use crate::sansio::{Closed, Machine};
use crate::scenario::Input;
use bytes::BytesMut;
use service::Service;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::{Pipe, Wire, messages};

const HOST: &str = "hub.test";
const LATENCY: Duration = Duration::from_millis(5);
const UNIX: Duration = Duration::from_secs(1_800_000_000);

/// Number of writes after which another connection is closed with output in transit.
const CLOSE_IN_FLIGHT_EVERY: u64 = 301;

/// How often the hub closes connections, [`CLOSED_AT_A_TIME`] at a time.
const CLOSE_EVERY: Duration = Duration::from_secs(20);

const CLOSED_AT_A_TIME: u32 = 7;

const SCENARIO: &str = r#"
name = "soak"
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
name = "soak"
duration = "28m"
[[phase]]
name = "rest"
duration = "1m"
load = "0% -> 0%"
"#;

fn plan() -> Plan {
    let files = &crate::scenario::no_files;
    let input = Input { file: "soak.toml", text: SCENARIO, overrides: &[], env: &|_| None, files };
    let mut plan = plan::load(&input, &mut rand::rng()).unwrap_or_else(|errors| panic!("{errors}"));
    HOST.clone_into(&mut plan.target.host);
    plan
}

struct Connection {
    hub: HubSession,
    address: Address,
    to_hub: Pipe,
    to_device: Pipe,
    at_hub: BytesMut,
    at_device: BytesMut,
}

/// A device and its current connection.
struct DeviceRun {
    device: Device,
    retries: Retries,
    connection: Option<Connection>,
    /// Due time of the device's next attempt.
    next_ns: Option<u64>,
}

/// The state that all devices share.
struct World {
    context: Rc<Context>,
    directory: Arc<Directory>,
    connections: u64,
    /// Telemetry at the hub: how often each message arrived.
    telemetry: HashMap<(usize, u64), u64>,
    counted: u64,
    /// Messages received by devices, plus those that the hub received from online devices.
    received: Wire,
    /// Messages that devices wrote.
    written_messages: Wire,
    /// Number of changes to desired properties whose device was offline.
    not_notified: u64,
    /// Number of writes by devices.
    written: u64,
    /// Devices whose connection is to be closed with output in transit.
    to_close: Vec<usize>,
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

impl DeviceRun {
    fn next(&self, world: &World) -> Option<Instant> {
        let Some(connection) = &self.connection else { return self.next_ns.map(|ns| world.at(ns)) };
        let pipes = [connection.to_hub.next(), connection.to_device.next()];
        let timers = [connection.hub.poll_timeout(), self.device.poll_timeout()];
        pipes.into_iter().chain(timers).flatten().min()
    }

    /// Runs everything that happens to the device at this instant.
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
        panic!("device {number}: endless loop at one instant");
    }

    fn connect(&mut self, world: &mut World, number: usize, due_ns: u64, now: Instant) {
        self.device.start_attempt(due_ns, now);
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

    /// Ends the connection. Bytes that one side sent before it closed still arrive.
    fn end(&mut self, world: &mut World, now: Instant, why: Closed) {
        let Some(mut connection) = self.connection.take() else { return };
        if why == Closed::Eof {
            connection.receive_at_device(world, now + LATENCY);
            self.device.handle_input(now, &mut connection.at_device).expect("the hub sends valid MQTT");
        } else {
            connection.receive_at_hub(world, now + LATENCY);
            connection.hub.handle_input(now, &mut connection.at_hub).expect("the device sends valid MQTT");
        }
        world.counted += connection.hub.take_telemetry();
        connection.hub.handle_closed(now, Closed::Eof);
        connection.hub.release();
        self.device.handle_closed(now, why);
        let next_attempt = match self.device.connection_end() {
            ConnectionEnd::Finished | ConnectionEnd::Left => None,
            ConnectionEnd::Renewal | ConnectionEnd::Method => {
                self.retries = Retries::default();
                Some(now)
            }
            ConnectionEnd::Lost | ConnectionEnd::Failed | ConnectionEnd::Disconnected => {
                self.device.back_off(&mut self.retries, now).map(|delay| now + delay)
            }
        };
        self.next_ns = next_attempt.map(|at| world.ns(at)).filter(|ns| *ns < self.device.offline_at_ns());
    }
}

/// The result of one side's turn.
#[derive(PartialEq, Eq)]
enum Turn {
    Quiet,
    Moved,
    /// This side closed the connection.
    Over,
}

impl Connection {
    /// Receives bytes at the hub. Counts their telemetry independently of the hub.
    fn receive_at_hub(&mut self, world: &mut World, now: Instant) -> bool {
        let bytes = self.to_hub.receive(now);
        self.at_hub.extend_from_slice(&bytes);
        for message in messages(&bytes).filter(|message| message.topic.contains("/messages/events/")) {
            let seq = std::str::from_utf8(&message.payload).expect("text").parse().expect("a number");
            *world.telemetry.entry((self.address.shard, seq)).or_default() += 1;
        }
        if self.hub.is_online() {
            world.received.note(&bytes);
        }
        !bytes.is_empty()
    }

    /// Receives bytes at the device.
    fn receive_at_device(&mut self, world: &mut World, now: Instant) -> bool {
        let bytes = self.to_device.receive(now);
        self.at_device.extend_from_slice(&bytes);
        world.received.note(&bytes);
        !bytes.is_empty()
    }

    fn turn_hub(&mut self, world: &mut World, number: usize, now: Instant) -> Turn {
        let mut moved = self.receive_at_hub(world, now);
        self.hub.handle_input(now, &mut self.at_hub).unwrap_or_else(|error| panic!("{number}: {error}"));
        self.hub.handle_timeout(now).unwrap_or_else(|error| panic!("{number}: {error}"));
        match self.hub.poll_event() {
            Some(HubEvent::Authorized) => {
                assert_eq!(self.hub.claim(self.address), None, "the previous connection has ended");
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
        let mut moved = self.receive_at_device(world, now);
        device.handle_input(now, &mut self.at_device).expect("the hub sends valid MQTT");
        device.handle_timeout(now).expect("nothing times out");
        let mut out = BytesMut::new();
        device.poll_output(now, &mut out);
        device.handle_flushed(now);
        world.written_messages.note(&out);
        if !out.is_empty() {
            moved = true;
            world.written += 1;
            if world.written.is_multiple_of(CLOSE_IN_FLIGHT_EVERY) && self.hub.is_online() {
                world.to_close.push(self.address.shard);
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

/// The result of the simulation.
struct Outcomes {
    measurement: Measurement,
    world: World,
    end: Instant,
    counts: FleetCounts,
}

impl Outcomes {
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
            assert_eq!(view["cloudToDeviceMessageCount"], 0, "{device} has received all its messages");
            let version = |section: &str| view["properties"][section]["$version"].as_u64().expect("a number");
            (version("desired") - 1, version("reported") - 1)
        });
        versions.fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1))
    }
}

fn run_simulation() -> Outcomes {
    let plan = Arc::new(plan());
    let zero = crate::clock::now();
    let (reports, _keep) = tokio::sync::mpsc::unbounded_channel();
    let endpoints = Arc::new([Endpoint { host: HOST.to_owned(), port: 8883, ..Endpoint::default() }]);
    let clock = RunClock { zero, zero_unix: UNIX };
    let clocks = (clock, WallClock::of(zero, UNIX));
    let shared = (Buffers::shared(), Deadlines::new());
    let context = Rc::new(Context::new(plan.clone(), endpoints, clocks.clone(), shared, reports));
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
        received: Wire::default(),
        written_messages: Wire::default(),
        not_notified: 0,
        written: 0,
        to_close: Vec::new(),
    };
    let mut runs: Vec<DeviceRun> = (0..200_u32)
        .map(|index| {
            let mut device = Device::new(context.clone(), DeviceRef { fleet: 0, index });
            let spans = plan.schedule.online_spans(u64::from(index), 200);
            assert_eq!(spans.len(), 1);
            device.start_span(spans[0]);
            DeviceRun {
                device,
                retries: Retries::default(),
                connection: None,
                next_ns: Some(spans[0].from_ns),
            }
        })
        .collect();
    let stalls = Rc::new(crate::stalls::Stalls::new(zero));
    let driver = ServiceDriver::new(&plan, clocks, stalls).expect("the plan has [[drive]] tables");
    let load_end = zero + Duration::from_secs(29 * 60);
    let mut service = Service { driver, open: HashMap::new(), close_at: zero + CLOSE_EVERY, closed: 0 };
    let end = zero + plan.schedule.end() + plan.drain;

    // The next instant at which each device has something to do. The service client runs at every instant.
    let mut agenda: BTreeSet<(Instant, usize)> = BTreeSet::new();
    let mut planned: Vec<Option<Instant>> = vec![None; runs.len()];
    let mut now = zero;
    let mut touched: BTreeSet<usize> = (0..runs.len()).collect();
    loop {
        while let Some((_, number)) = agenda.first().copied().filter(|(at, _)| *at <= now) {
            agenda.pop_first();
            planned[number] = None;
            touched.insert(number);
        }
        while let Some(number) = touched.pop_first() {
            runs[number].settle(&mut world, number, now);
            if let Some(at) = planned[number].take() {
                agenda.remove(&(at, number));
            }
            planned[number] = runs[number].next(&world).map(|at| at.max(now));
            agenda.extend(planned[number].map(|at| (at, number)));
        }
        for address in service.step(&mut world, now, load_end) {
            let connection = runs[address.shard].connection.as_mut();
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
    for life in &mut runs {
        life.end(&mut world, end, Closed::Local);
        life.device.settle(end);
    }
    service.driver.settle(end);
    let mut collector = fleet::collector(&plan);
    collector.add(&context.recorder.borrow_mut().swap(), Source::Worker(0));
    collector.add(&service.driver.swap(), Source::Service);
    let measurement = collector.finish(u64::MAX, Vec::new(), Vec::new());
    let counts = measurement.fleets[0].counts;
    Outcomes { measurement, world, end, counts }
}
