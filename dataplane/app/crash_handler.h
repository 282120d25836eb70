// What a crash leaves behind: version, signal and backtrace on standard error, and a core dump only where one is wanted.
#pragma once

namespace millrace::app {

/// Installs handlers for SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT that print and then let the signal do its work.
void install_crash_handler();

/// Of this process. A core dump holds whatever is in memory: private keys, tokens, what clients sent.
void allow_core_dumps(bool allow);

}  // namespace millrace::app
