//! The health endpoints of `hubstorm emulator`, `/healthz` and `/readyz` over plain HTTP, and the client that asks them (`--health-check`).
//! Used only by `emulator`. hyper parses HTTP.
//!
//! The endpoints have a thread of their own, so that clients of this port cannot delay the accepting of devices. Each client may hold one of
//! [`CONNECTIONS_MAX`] places for at most [`CONNECTION_TIMEOUT`].

use crate::app::{AppError, environment_error};
use crate::link::listen;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, client, server};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};

/// The maximum number of connections at a time. Further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;

/// The maximum lifetime of a connection.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum number of header fields of a request.
const HEADERS_MAX: usize = 64;

/// The maximum size of a request's head: the smallest that hyper allows.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// How long to pause accepting after an error, such as a lack of descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// How long `--health-check` waits for the answer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// What the endpoints report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The hub does not listen yet.
    Starting,
    /// The hub accepts devices.
    Ready,
    /// The hub accepts no more devices.
    Stopping,
}

/// The running endpoints. Dropping it stops them.
#[derive(Debug)]
pub(super) struct Health {
    address: SocketAddr,
    state: watch::Sender<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Health {
    /// Listens at `address` and serves the endpoints on a new thread, in the state [`State::Starting`].
    ///
    /// # Errors
    /// The address cannot be used, or the thread cannot be started.
    pub(super) fn start(address: SocketAddr) -> Result<Health, super::error::EmulatorCommandError> {
        let listener = listen::bind(address)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (state, current) = watch::channel(State::Starting);
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = move || {
            runtime.block_on(async {
                let stopped = async { drop(stopped.await) };
                // A socket that was just bound is valid.
                if let Ok(listener) = TcpListener::from_std(listener) {
                    tokio::task::LocalSet::new().run_until(accept(listener, current, stopped)).await;
                }
            });
        };
        let thread = std::thread::Builder::new().name("health".to_owned()).spawn(thread)?;
        Ok(Health { address, state, stop: Some(stop), thread: Some(thread) })
    }

    /// Returns the address, with the port that the kernel chose.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what the endpoints report.
    pub(super) fn set(&self, state: State) {
        self.state.send_replace(state);
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread only answers requests, so it does not panic.
            let _ = thread.join();
        }
    }
}

/// Accepts connections until `stopped` resolves.
async fn accept(listener: TcpListener, state: watch::Receiver<State>, stopped: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let accepting = async {
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((socket, _)) = listener.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let state = state.clone();
            tokio::task::spawn_local(async move {
                // Ignore errors: the client closed the connection, sent something else than HTTP, or was too slow.
                let _ = tokio::time::timeout(CONNECTION_TIMEOUT, serve(socket, state)).await;
                drop(place);
            });
        }
    };
    tokio::select! {
        () = accepting => {}
        () = pin!(stopped) => {}
    }
}

/// Serves one request.
async fn serve(socket: TcpStream, state: watch::Receiver<State>) -> hyper::Result<()> {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let response = answer(request.method(), request.uri().path(), *state.borrow());
        async { Ok::<_, Infallible>(response) }
    });
    server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), service)
        .await
}

/// Returns the response to a request.
fn answer(method: &Method, path: &str, state: State) -> Response<String> {
    let (status, text) = match (path, state) {
        ("/healthz" | "/readyz", _) if !matches!(*method, Method::GET | Method::HEAD) => {
            (StatusCode::METHOD_NOT_ALLOWED, "use GET\n")
        }
        ("/healthz", _) => (StatusCode::OK, "ok\n"),
        ("/readyz", State::Ready) => (StatusCode::OK, "ready\n"),
        ("/readyz", State::Starting) => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        ("/readyz", State::Stopping) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        _ => (StatusCode::NOT_FOUND, "use /healthz or /readyz\n"),
    };
    let mut response = Response::new(text.to_owned());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

/// Asks the emulator whose health endpoints are at `address` whether it is ready.
///
/// # Errors
/// It does not answer, or it is not ready.
pub(super) async fn check(address: SocketAddr) -> Result<(), AppError> {
    let failed = |error: &dyn std::fmt::Display| {
        let action =
            format!("cannot ask the emulator at {address} (its --health-listen) whether it is ready");
        environment_error(&action, error)
    };
    match tokio::time::timeout(CHECK_TIMEOUT, ask(address)).await {
        Ok(Ok(StatusCode::OK)) => Ok(()),
        Ok(Ok(StatusCode::SERVICE_UNAVAILABLE)) => Err(AppError::Environment(format!(
            "the emulator at {address} is starting or stopping, so it is not ready"
        ))),
        Ok(Ok(status)) => Err(failed(&format!("it answers {status}, so it is another program"))),
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(failed(&format!("no answer within {} s", CHECK_TIMEOUT.as_secs()))),
    }
}

async fn ask(address: SocketAddr) -> io::Result<StatusCode> {
    let socket = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(io::Error::other)?;
    let mut request = Request::new(String::new());
    *request.uri_mut() = hyper::Uri::from_static("/readyz");
    let host = HeaderValue::try_from(address.to_string()).map_err(io::Error::other)?;
    request.headers_mut().insert(HOST, host);
    let response = sender.send_request(request);
    let (response, _) = tokio::join!(response, connection);
    response.map(|response| response.status()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_report_the_state() {
        use State::{Ready, Starting, Stopping};
        for (method, path, state, status, text) in [
            (Method::GET, "/healthz", Starting, 200, "ok\n"),
            (Method::HEAD, "/healthz", Stopping, 200, "ok\n"),
            (Method::GET, "/readyz", Starting, 503, "starting\n"),
            (Method::GET, "/readyz", Ready, 200, "ready\n"),
            (Method::GET, "/readyz", Stopping, 503, "stopping\n"),
            (Method::POST, "/readyz", Ready, 405, "use GET\n"),
            (Method::GET, "/", Ready, 404, "use /healthz or /readyz\n"),
            (Method::GET, "/readyz/", Ready, 404, "use /healthz or /readyz\n"),
        ] {
            let response = answer(&method, path, state);
            assert_eq!(
                (response.status().as_u16(), response.body().as_str()),
                (status, text),
                "{method} {path}"
            );
        }
    }
}
