//! A run in virtual time, without sockets: the devices and the service client of a plan, and the hub that the plan describes. Bytes arrive
//! at once, so only timers and throttles take time. Used by the tests beside it.

use crate::app::build_result::{self, EmulatorReport};
use crate::clock::{RunClock, WallClock};
use crate::emulator::directory::Directory;
use crate::emulator::session::{Event, HubSession};
use crate::emulator::{Address, Config, ThrottleStats};
use crate::fleet::{self, ConnectionEnd, Context, Device, DeviceRef, Finished, ServiceDriver};
use crate::link::{Buffers, Deadlines, Endpoint};
use crate::measure::{Collector, Latency, Source};
use crate::plan::{Auth, Keys, Plan, Stay, ns};
use crate::policy::backoff::Retries;
use crate::result::model::{self, EndedBy, RunResult};
use crate::sansio::{Closed, Machine};
use crate::stalls::Stalls;
use bytes::BytesMut;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

mod service;

use service::Service;

const HOST: &str = "hub.test";
/// 00:00 UTC, when a daily quota starts.
const MIDNIGHT: Duration = Duration::from_secs(1_799_971_200);
const SECOND: Duration = Duration::from_secs(1);

/// The outcome of a run.
pub(super) struct Run {
    pub(super) result: RunResult,
    /// The hub's own counts.
    pub(super) hub: ThrottleStats,
    /// Number of messages that the hub billed.
    pub(super) billed: u64,
}

/// Runs a plan whose hub has a tier, from 00:00 UTC on.
pub(super) fn run(mut plan: Plan) -> Run {
    HOST.clone_into(&mut plan.target.host);
    let plan = Arc::new(plan);
    let zero = crate::clock::now();
    let clocks = (RunClock { zero, zero_unix: MIDNIGHT }, WallClock::of(zero, MIDNIGHT));
    let (reports, _keep) = tokio::sync::mpsc::unbounded_channel();
    let endpoints = Arc::new([Endpoint { host: HOST.to_owned(), port: 8883, ..Endpoint::default() }]);
    let shared = (Buffers::shared(), Deadlines::new());
    let context = Rc::new(Context::new(plan.clone(), endpoints, clocks.clone(), shared, reports));
    let service = ServiceDriver::new(&plan, clocks.clone(), Rc::new(Stalls::new(zero)));
    let mut simulation = Simulation {
        hub: Arc::new(Directory::new(config(&plan, clocks.1))),
        devices: devices(&context),
        service: service.map(Service::new),
        context,
        connections: HashMap::new(),
        connections_made: 0,
    };
    let collector = simulation.run();
    let end = simulation.end();
    let hub = simulation.hub.throttle().expect("the hub has a tier").stats(end);
    let finished = finished(&plan, collector, simulation.context.ns(end));
    let report = EmulatorReport {
        emulator: model::Emulator {
            accepted: simulation.connections_made,
            ..serde_json::from_str(
                r#"{"cpu_us":0,"rss_peak_bytes":0,"accepted":0,"refused":0,"telemetry":0}"#,
            )
            .expect("the other counts are 0")
        },
        shards: Vec::new(),
        throttle: Some(hub.clone()),
        faults: Vec::new(),
    };
    let used = plan.emulator.and_then(|options| options.tier).map_or(0, |tier| tier.quota_used);
    let result = build_result::result(&plan, finished, EndedBy::Plan, Some(report), 1, true, &[]);
    Run { result, billed: hub.billed - used, hub }
}

fn config(plan: &Plan, wall: WallClock) -> Config {
    let keys = plan.fleets.iter().filter_map(|fleet| match &fleet.auth {
        Auth::Sas { keys: Keys::Group(key), .. } => Some(key.clone()),
        _ => None,
    });
    Config {
        host_names: vec![HOST.to_owned()],
        group_keys: keys.collect(),
        options: plan.emulator.expect("the scenario has a built-in hub"),
        shards: 1,
        wall,
        ..Config::default()
    }
}

fn devices(context: &Rc<Context>) -> Vec<DeviceRun> {
    let plan = &context.plan;
    let all = plan.fleets.iter().zip(0_u16..).flat_map(|(fleet, number)| {
        (0..fleet.devices).map(move |index| (fleet, DeviceRef { fleet: number, index }))
    });
    let run = |(fleet, device): (_, DeviceRef)| {
        let stays = plan.schedule_of(fleet).stays(&plan.device_seed(fleet, device.index));
        DeviceRun {
            device: Device::new(context.clone(), device),
            stays: stays.take_while(|stay| stay.span.from_ns < context.load_end_ns()).collect(),
            retries: Retries::default(),
            connection: None,
            next_ns: None,
        }
    };
    all.map(run).collect()
}

fn finished(plan: &Plan, collector: Collector, ended_ns: u64) -> Finished {
    Finished {
        measurement: collector.finish(ns(plan.schedule.load_end()) / 1_000, Vec::new(), Vec::new()),
        heartbeat: Latency::default(),
        started_unix: MIDNIGHT,
        zero_unix_at_end: MIDNIGHT,
        ended: Duration::from_nanos(ended_ns),
        load_ended: plan.schedule.load_end(),
        appended: Vec::new(),
        complete: true,
        tls: None,
        faults_applied: Vec::new(),
        usage: fleet::Usage::start(),
    }
}

/// A device and its current connection.
struct DeviceRun {
    device: Device,
    /// The planned times online of the device that have not started.
    stays: VecDeque<Stay>,
    retries: Retries,
    connection: Option<Connection>,
    /// Due time of the next attempt to connect in the current stay.
    next_ns: Option<u64>,
}

struct Connection {
    hub: HubSession,
    address: Address,
    to_hub: BytesMut,
    to_device: BytesMut,
}

struct Simulation {
    context: Rc<Context>,
    hub: Arc<Directory>,
    devices: Vec<DeviceRun>,
    service: Option<Service>,
    /// The device of each open connection.
    connections: HashMap<u64, usize>,
    connections_made: u64,
}

impl Simulation {
    fn end(&self) -> Instant {
        self.context.clock.zero + self.context.plan.schedule.load_end() + self.context.plan.drain
    }

    /// Runs to the end of the drain. Returns everything that was measured.
    fn run(&mut self) -> Collector {
        let (zero, end) = (self.context.clock.zero, self.end());
        let mut collector = fleet::collector(&self.context.plan);
        // The next instant at which each device must run. The service client runs at every instant.
        let mut agenda: BTreeSet<(Instant, usize)> = BTreeSet::new();
        let mut planned: Vec<Option<Instant>> = vec![None; self.devices.len()];
        let mut touched: BTreeSet<usize> = (0..self.devices.len()).collect();
        let (mut now, mut second) = (zero, zero + SECOND);
        loop {
            while let Some((_, number)) = agenda.first().copied().filter(|(at, _)| *at <= now) {
                agenda.pop_first();
                planned[number] = None;
                touched.insert(number);
            }
            while let Some(number) = touched.pop_first() {
                self.settle(number, now);
                if let Some(at) = planned[number].take() {
                    agenda.remove(&(at, number));
                }
                planned[number] = self.devices[number].next(&self.context).map(|at| at.max(now));
                agenda.extend(planned[number].map(|at| (at, number)));
            }
            touched.extend(self.serve(now));
            if !touched.is_empty() {
                continue;
            }
            let service = self.service.as_ref().and_then(Service::next);
            let next = agenda.first().map(|(at, _)| *at).into_iter().chain(service).min();
            let next = next.map_or(end, |at| at.max(now)).min(end);
            while second <= next {
                self.close_second(&mut collector, second);
                second += SECOND;
            }
            if next >= end {
                break;
            }
            now = next;
        }
        for number in 0..self.devices.len() {
            self.end_connection(number, end, Closed::Local);
            self.devices[number].device.settle(end);
        }
        if let Some(service) = &mut self.service {
            service.driver.settle(end);
        }
        self.close_second(&mut collector, second);
        collector
    }

    /// Lets the service client make its due calls. Returns the devices to which the hub has something to send.
    fn serve(&mut self, now: Instant) -> Vec<usize> {
        let Some(service) = &mut self.service else { return Vec::new() };
        let unix = MIDNIGHT + (now - self.context.clock.zero);
        let mut woken = Vec::new();
        for address in service.step(&self.hub, now, unix) {
            let Some(number) = self.connections.get(&address.connection) else { continue };
            if let Some(connection) = &mut self.devices[*number].connection {
                connection.hub.wake();
                woken.push(*number);
            }
        }
        woken
    }

    fn close_second(&mut self, collector: &mut Collector, second: Instant) {
        let t_ns = self.context.ns(second);
        let mut recorder = self.context.recorder.borrow_mut();
        collector.add(&recorder.swap(), Source::Worker(0));
        recorder.open_second(t_ns / 1_000_000_000);
        if let Some(service) = &mut self.service {
            collector.add(&service.driver.swap(), Source::Service);
        }
        collector.tick(t_ns, None, self.context.plan.planned_online(t_ns));
        collector
            .tick_planned(t_ns, &self.context.plan.planned_by_fleet(&self.context.plan.run_loads(), t_ns));
    }

    /// Runs everything that happens to a device at this instant.
    fn settle(&mut self, number: usize, now: Instant) {
        let now_ns = self.context.ns(now);
        loop {
            let run = &mut self.devices[number];
            if let Some(connection) = &mut run.connection {
                match connection.exchange(&mut run.device, now) {
                    Some(closed) => self.end_connection(number, now, closed),
                    None => return,
                }
            } else if let Some(due_ns) = run.next_ns {
                if due_ns > now_ns {
                    return;
                }
                run.next_ns = None;
                match now_ns < run.device.offline_at_ns() {
                    true => self.connect(number, due_ns, now),
                    false => run.device.end_span(now),
                }
            } else {
                let Some(stay) = run.stays.pop_front_if(|stay| stay.span.from_ns <= now_ns) else { return };
                run.device.start_stay(stay);
                run.next_ns = Some(stay.span.from_ns);
            }
        }
    }

    fn connect(&mut self, number: usize, due_ns: u64, now: Instant) {
        let run = &mut self.devices[number];
        run.device.start_attempt(due_ns, now);
        self.connections_made += 1;
        let address = Address { shard: 0, connection: self.connections_made };
        self.connections.insert(address.connection, number);
        run.connection = Some(Connection {
            hub: HubSession::new(self.hub.clone(), now),
            address,
            to_hub: BytesMut::new(),
            to_device: BytesMut::new(),
        });
    }

    fn end_connection(&mut self, number: usize, now: Instant, closed: Closed) {
        let run = &mut self.devices[number];
        let Some(mut connection) = run.connection.take() else { return };
        self.connections.remove(&connection.address.connection);
        connection.hub.handle_closed(now, Closed::Eof);
        connection.hub.release();
        run.device.handle_closed(now, closed);
        match run.device.connection_end() {
            ConnectionEnd::Finished | ConnectionEnd::Left => run.device.end_span(now),
            ConnectionEnd::Renewal | ConnectionEnd::Method => {
                run.retries = Retries::default();
                run.next_ns = Some(self.context.ns(now));
            }
            ConnectionEnd::Lost | ConnectionEnd::Failed | ConnectionEnd::Disconnected => {
                let delay = run.device.back_off(&mut run.retries, now);
                let retry_ns = delay.map_or(u64::MAX, |delay| self.context.ns(now + delay));
                run.next_ns = Some(retry_ns.min(run.device.offline_at_ns()));
            }
        }
    }
}

impl DeviceRun {
    /// Returns when the device must run next.
    fn next(&self, context: &Context) -> Option<Instant> {
        match &self.connection {
            Some(connection) => {
                let timers = [connection.hub.poll_timeout(), self.device.poll_timeout()];
                timers.into_iter().flatten().min()
            }
            None => {
                self.next_ns.or(self.stays.front().map(|stay| stay.span.from_ns)).map(|ns| context.at(ns))
            }
        }
    }
}

impl Connection {
    /// Lets both sides handle everything that has arrived or is due. Returns how the device sees the end of the connection, if one of
    /// them closed it.
    fn exchange(&mut self, device: &mut Device, now: Instant) -> Option<Closed> {
        for _ in 0..10_000 {
            let hub =
                self.hub.handle_input(now, &mut self.to_hub).and_then(|()| self.hub.handle_timeout(now));
            let authorized = matches!(self.hub.poll_event(), Some(Event::Authorized));
            if authorized {
                assert_eq!(self.hub.claim(self.address), None, "the previous connection has ended");
                self.hub.admit(now);
            }
            self.hub.poll_output(now, &mut self.to_device);
            let from_hub = !self.to_device.is_empty();
            let input = device.handle_input(now, &mut self.to_device);
            if let Err(error) = input.and_then(|()| device.handle_timeout(now)) {
                device.record_session_error(&error, now);
                return Some(Closed::Local);
            }
            if hub.is_err() {
                return Some(Closed::Eof);
            }
            let before = self.to_hub.len();
            device.poll_output(now, &mut self.to_hub);
            device.handle_flushed(now);
            if authorized || from_hub || self.to_hub.len() > before {
                continue;
            }
            let closed = self.hub.poll_close().map(|_| Closed::Eof);
            return closed.or_else(|| device.poll_close().map(|_| Closed::Local));
        }
        panic!("endless loop at one instant");
    }
}
