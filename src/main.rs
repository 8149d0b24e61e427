//! Arguments -> one command -> exit code.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Reads FAILPOINTS; without the feature there is nothing to read it for.
    let _armed = fail::FailScenario::setup();
    weir::command::main()
}
