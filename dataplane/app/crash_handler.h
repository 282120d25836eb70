// What a crash leaves behind: version, signal and backtrace on standard error.
#pragma once

namespace millrace::app {

/// Installs handlers for SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT that print and then let the signal do its work (a core
/// dump).
void install_crash_handler();

}  // namespace millrace::app
