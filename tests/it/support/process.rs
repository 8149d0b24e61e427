//! Children that go when the test goes, and signals by process id.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The child gets SIGKILL when the thread that started it ends.
pub fn die_with_parent(command: &mut Command) {
    // SAFETY: prctl is async-signal-safe and touches no memory of ours between fork and exec.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
            Ok(())
        });
    }
}

/// Sends a signal to a process that may have ended.
pub fn try_signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid as i32).expect("a process id");
    let (Ok(()) | Err(_)) = rustix::process::kill_process(pid, signal);
}

/// Sends a signal to a process.
pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid as i32).expect("a process id");
    rustix::process::kill_process(pid, signal).expect("the signal is sent");
}

/// Kills whoever is left of a process group.
pub fn kill_group(leader: u32) {
    let leader = rustix::process::Pid::from_raw(leader as i32).expect("a process id");
    let (Ok(()) | Err(_)) = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
}
