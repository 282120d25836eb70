#include "dataplane/proxy/filters/body_pipe.h"

#include <algorithm>
#include <memory>

#include "dataplane/base/assert.h"

namespace millrace::proxy {

BodyPipe::~BodyPipe() {
  for (Stage* stage = first_; stage != nullptr;) std::destroy_at(std::exchange(stage, stage->next));
}

bool BodyPipe::add(BodyFilter& filter) {
  void* memory = context_.arena.allocate(sizeof(Stage), alignof(Stage));
  if (memory == nullptr) return false;
  auto* stage = ::new (memory) Stage(filter, context_.chains);
  (last_ == nullptr ? first_ : last_->next) = stage;
  last_ = stage;
  return true;
}

void BodyPipe::push(stream::Chain&& data) {
  MR_ASSERT(is_active() && !first_->in_ended);
  first_->in.append(std::move(data));
}

void BodyPipe::end() {
  MR_ASSERT(is_active());
  first_->in_ended = true;
}

std::size_t BodyPipe::waiting() const { return first_ == nullptr ? 0 : first_->in.size(); }

// Once through is enough: what a filter gave on is taken by the next in the same run, and what the last one has made room for by
// taking, the one before it gets in the next.
BodyFilter::Outcome BodyPipe::run(stream::Chain& out, std::size_t room, Instant now) {
  for (Stage* stage = first_; stage != nullptr; stage = stage->next) {
    if (stage->out_ended) continue;
    stream::Chain& to = stage->next == nullptr ? out : stage->next->in;
    const std::size_t free = stage->next == nullptr ? room : kStageBytes - std::min(kStageBytes, to.size());
    BodyFilter::Pass pass{stage->in, stage->in_ended, to, free, false};
    if (const auto outcome = stage->filter.pass(pass, now); outcome != BodyFilter::Outcome::kPassed) return outcome;
    stage->out_ended = pass.out_ended;
    if (stage->out_ended) (stage->next == nullptr ? done_ : stage->next->in_ended) = true;
  }
  return BodyFilter::Outcome::kPassed;
}

}  // namespace millrace::proxy
