//! Arguments -> one command -> exit code.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    let _armed = arm();
    weir::command::main()
}

/// Reads FAILPOINTS (`drain_before_create=panic`). A panic then ends the process like kill -9: no destructor runs, no other thread goes on.
#[cfg(feature = "failpoints")]
fn arm() -> fail::FailScenario<'static> {
    if std::env::var_os("FAILPOINTS").is_some() {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            print(panic);
            std::process::abort();
        }));
    }
    fail::FailScenario::setup()
}
