// The instructions that a thread executes in user space, where the processor counts them and the kernel lets us ask
// (perf_event_open).
#pragma once

#include <cstdint>
#include <optional>

namespace millrace::worker {

class InstructionCounter {
 public:
  /// Counts the calling thread from now on.
  InstructionCounter();
  ~InstructionCounter();
  InstructionCounter(const InstructionCounter&) = delete;
  InstructionCounter& operator=(const InstructionCounter&) = delete;

  /// None on virtual machines without performance counters, or where kernel.perf_event_paranoid forbids it. A system call.
  [[nodiscard]] std::optional<std::uint64_t> read() const;

 private:
  int descriptor_ = -1;
};

}  // namespace millrace::worker
