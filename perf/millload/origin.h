// The origin: answers each request with the body that it asks for, and checks the request's own. Sans-I/O: over any stack.
#pragma once

#include <cstdint>

#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/pool.h"
#include "dataplane/stream/byte_stream.h"
#include "perf/millload/failures.h"
#include "perf/millload/messages.h"
#include "perf/millload/pattern.h"

namespace millrace::perf {

struct OriginConfig {
  std::size_t max_connections = 65'536;
  std::uint64_t corrupt_every = 0;  ///< a wrong byte in each such response: for tests of the verification; 0: never
};

class Origin final : public stream::Acceptor {
 public:
  Origin(stream::ChainPool& chains, const Pattern& pattern, Failures& failures, const OriginConfig& config);
  ~Origin();
  Origin(const Origin&) = delete;
  Origin& operator=(const Origin&) = delete;

  void on_accept(stream::ByteStream& stream, Instant now) override;

  [[nodiscard]] std::uint64_t accepted() const { return accepted_; }
  [[nodiscard]] std::size_t connections() const { return connections_.in_use(); }

 private:
  class Connection;

  stream::ChainPool& chains_;
  const Pattern& pattern_;
  Failures& failures_;
  const OriginConfig config_;
  HeadReader heads_;
  Pool<Connection> connections_;
  IntrusiveList<Connection> open_;
  std::uint64_t accepted_ = 0;
  std::uint64_t answered_ = 0;
};

}  // namespace millrace::perf
