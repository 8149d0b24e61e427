//! Arguments -> one command -> exit code.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    let _armed = arm();
    weir::command::main()
}

/// Reads FAILPOINTS (`drain_before_create=panic`). A panic then ends the process like kill -9: no destructor runs, and no other thread goes on
/// while a backtrace is looked up.
#[cfg(feature = "failpoints")]
fn arm() -> fail::FailScenario<'static> {
    if std::env::var_os("FAILPOINTS").is_some() {
        std::panic::set_hook(Box::new(|panic| {
            eprintln!("{panic}");
            std::process::abort();
        }));
    }
    fail::FailScenario::setup()
}
