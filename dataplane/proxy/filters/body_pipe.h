// A body's way through the filters that want to see it: each takes from its own queue and writes into the next one's.
//
//   push() --> [queue|filter] --> [queue|filter] --> run()'s `out`
//
// Who feeds it holds back what was pushed and not taken yet: waiting().
#pragma once

#include <cstddef>

#include "dataplane/proxy/filters/http_filter.h"

namespace millrace::proxy {

class BodyPipe {
 public:
  /// What waits between two filters, about.
  static constexpr std::size_t kStageBytes = 64 * 1024;

  explicit BodyPipe(FilterContext& context) : context_(context) {}
  ~BodyPipe();
  BodyPipe(const BodyPipe&) = delete;
  BodyPipe& operator=(const BodyPipe&) = delete;

  /// Behind those that are there; before the first push(). False: no memory.
  [[nodiscard]] bool add(BodyFilter& filter);
  /// Somebody wants to see the body.
  [[nodiscard]] bool is_active() const { return first_ != nullptr; }

  // While active.
  void push(stream::Chain&& data);
  /// What was pushed is all.
  void end();
  /// Bytes that the first filter has not taken yet.
  [[nodiscard]] std::size_t waiting() const;
  /// Moves what can go on to the end of `out`, about `room` bytes. What is not kPassed ends the stream.
  [[nodiscard]] BodyFilter::Outcome run(stream::Chain& out, std::size_t room, Instant now);
  /// All has come out.
  [[nodiscard]] bool is_done() const { return done_; }

 private:
  struct Stage {
    Stage(BodyFilter& given, stream::ChainPool& pool) : filter(given), in(pool) {}
    BodyFilter& filter;
    stream::Chain in;
    bool in_ended = false;
    bool out_ended = false;
    Stage* next = nullptr;
  };

  FilterContext& context_;
  Stage* first_ = nullptr;  // in the stream's arena, as all of them
  Stage* last_ = nullptr;
  bool done_ = false;
};

}  // namespace millrace::proxy
