//! The `storrent` program: [`storrent::cli`] does the work, here is its exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(storrent::cli::main())
}
