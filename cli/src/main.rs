//! The `godwit` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    godwit_cli::main()
}
