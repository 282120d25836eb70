// An engine that works at once: submit() does it, collect() hands the jobs back in the same order.
#pragma once

#include "tls/record_engine.h"

namespace millrace::tls {

class ImmediateKey : public RecordKey {
 public:
  /// Whether the record was sealed, or was authentic.
  [[nodiscard]] virtual bool run(RecordJob& job) = 0;
};

/// All that is left to do is to make keys, each an ImmediateKey.
class ImmediateEngine : public RecordEngine {
 public:
  [[nodiscard]] bool works_at_once() const final { return true; }
  [[nodiscard]] bool submit(RecordJob& job) final {
    job.good = static_cast<ImmediateKey*>(job.key)->run(job);
    finished_.push_back(job);
    return true;
  }
  [[nodiscard]] RecordJob* collect() final { return finished_.pop_front(); }

 private:
  IntrusiveList<RecordJob> finished_;
};

}  // namespace millrace::tls
