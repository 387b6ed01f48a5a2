//! The `storrent` program. [`storrent::cli`] does the work and returns the exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(storrent::cli::main())
}
