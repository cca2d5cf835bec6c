//! The `hubstorm` command: parses the command line, installs the signal handlers, runs the command and returns its exit code. Everything
//! else is in the library.

use clap::Parser;
use hubstorm::app;
use hubstorm::cli::{Cli, with_hint};
use std::process::ExitCode;
use tokio::sync::watch;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            let command = std::env::args_os().nth(1).unwrap_or_default();
            return app::report_usage_error(&with_hint(error, &command.to_string_lossy()).render().ansi());
        }
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
            // Poll the signal handlers first, so that an early Ctrl-C does not kill a command that handles it.
            biased;
            never = app::count_interrupts(sender), if app::handles_interrupts(&cli) => match never {},
            code = app::run(cli, env) => code,
        }
    });
    // Do not wait for blocking threads: one may still be resolving a name.
    runtime.shutdown_background();
    ExitCode::from(code)
}
