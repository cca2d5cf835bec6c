//! Unix signals: counts Ctrl-C and the signals that count as Ctrl-C, and survives SIGXFSZ and closed output streams. `main` starts it;
//! commands read the count from `Env`.

use nix::sys::signal::Signal as Number;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Signals that this process always handles.
const ALWAYS: [Number; 2] = [Number::SIGINT, Number::SIGTERM];

/// Signals that stay ignored if the parent process ignores them, as `nohup` does with SIGHUP. Service managers and batch systems send
/// SIGALRM and SIGUSR1 as a warning before they end a process.
const UNLESS_IGNORED: [Number; 4] = [Number::SIGHUP, Number::SIGQUIT, Number::SIGALRM, Number::SIGUSR1];

/// Returns the number of Ctrl-C presses that a signal counts as. SIGQUIT counts as two, which ends a run immediately.
fn presses(number: Number) -> u8 {
    if number == Number::SIGQUIT { 2 } else { 1 }
}

/// Counts Ctrl-C, SIGTERM, SIGALRM, SIGUSR1 and SIGHUP (a closed terminal) until the process ends. SIGQUIT counts twice.
pub async fn count_interrupts(sender: watch::Sender<u8>) -> Infallible {
    let ignored = ignored_signals();
    let Some(mut handlers) = ALWAYS.into_iter().map(handler).collect::<Option<Vec<_>>>() else {
        // Without handlers, the signals end the process, which is the system's default.
        return std::future::pending().await;
    };
    let not_ignored = UNLESS_IGNORED.into_iter().filter(|number| !is_in(ignored, *number));
    handlers.extend(not_ignored.filter_map(handler));
    loop {
        let pressed = poll_fn(|cx| next(&mut handlers, cx)).await;
        sender.send_modify(|count| *count = count.saturating_add(pressed));
    }
}

fn handler(number: Number) -> Option<(Signal, u8)> {
    signal(SignalKind::from_raw(number as i32)).ok().map(|signal| (signal, presses(number)))
}

fn next(handlers: &mut [(Signal, u8)], cx: &mut Context<'_>) -> Poll<u8> {
    for (signal, presses) in handlers {
        if signal.poll_recv(cx) == Poll::Ready(Some(())) {
            return Poll::Ready(*presses);
        }
    }
    Poll::Pending
}

/// Makes a write beyond the file-size limit (`ulimit -f`) fail, as on a full disk. By default, the kernel kills the process with
/// SIGXFSZ, and the result is lost. tokio keeps the handler until the process ends.
pub fn survive_file_size_limit() {
    // Ignore the error: without a handler, the kernel's default applies.
    drop(signal(SignalKind::from_raw(Number::SIGXFSZ as i32)));
}

/// Returns the ignored signals of this process as a bit mask. Signal 1 is the lowest bit.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn is_in(mask: u64, number: Number) -> bool {
    mask >> (number as i32 - 1) & 1 == 1
}

/// Returns true if the reader of a stream has closed it: a closed pipe, or a closed terminal (EIO).
pub(super) fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe || error.raw_os_error() == Some(nix::errno::Errno::EIO as i32)
}
