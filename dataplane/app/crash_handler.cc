#include "dataplane/app/crash_handler.h"

#include <execinfo.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "dataplane/app/version.h"

namespace millrace::app {
namespace {

constexpr std::array kSignals = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
constexpr int kMaxFrames = 64;

// Only async-signal-safe calls from here on; backtrace() is warmed up at installation, since its first call loads a library.
void print(const char* text) { [[maybe_unused]] const auto written = write(STDERR_FILENO, text, std::strlen(text)); }

void on_crash(int number, siginfo_t*, void*) {
  print("\n");
  print(kVersionText);
  print(" crashed: ");
  print(sigabbrev_np(number) == nullptr ? "unknown signal" : sigabbrev_np(number));
  print("\nbacktrace (addr2line -Cfe millrace ADDRESS names the lines):\n");
  std::array<void*, kMaxFrames> frames{};
  backtrace_symbols_fd(frames.data(), backtrace(frames.data(), kMaxFrames), STDERR_FILENO);
  raise(number);  // SA_RESETHAND has put the default action back
}

}  // namespace

void install_crash_handler() {
  std::array<void*, 1> warm_up{};
  backtrace(warm_up.data(), 1);
  struct sigaction action{};
  action.sa_sigaction = on_crash;
  action.sa_flags = static_cast<int>(SA_SIGINFO | SA_RESETHAND | SA_NODEFER);
  for (const int number : kSignals) sigaction(number, &action, nullptr);
}

void allow_core_dumps(bool allow) { prctl(PR_SET_DUMPABLE, allow ? 1 : 0); }

}  // namespace millrace::app
