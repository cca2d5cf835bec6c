//! The `hubstorm` command: parse, handle signals, run, exit with the documented code.

use clap::Parser;
use hubstorm::{app, cli::Cli};
use std::process::ExitCode;
use tokio::sync::watch;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return app::report_usage_error(&error.render().ansi()),
        Err(help) => help.exit(),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return app::report_start_error(&error),
    };
    let code = runtime.block_on(async {
        app::survive_file_size_limit();
        let (sender, interrupts) = watch::channel(0);
        let env = app::Env::from_process(interrupts);
        tokio::select! {
            // The handlers first: a Ctrl-C during the first steps must not end a process that others count on.
            biased;
            never = app::count_interrupts(sender), if app::handles_interrupts(&cli) => match never {},
            code = app::run(cli, env) => code,
        }
    });
    // Name resolution may still hold a blocking thread; an exit does not wait for it.
    runtime.shutdown_background();
    ExitCode::from(code)
}
