// Work put off to the end of the turn. Events of transports and timers only take note and wake their connection; the queue then
// services each woken connection once or more, one at a time. So no codec is ever entered from inside another one's event, and
// a burst of segments costs a connection one service.
#pragma once

#include <cstddef>

#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/time.h"

namespace millrace::proxy {

struct ReadyTag;

/// A connection that can be woken.
class Serviced : public ListNode<ReadyTag> {
 public:
  /// Does what there is to do. May wake itself again when something is left that a next pass could do.
  virtual void service(Instant now) = 0;

 protected:
  ~Serviced() = default;
};

class ReadyQueue {
 public:
  void wake(Serviced& item) {
    if (!static_cast<ListNode<ReadyTag>&>(item).is_linked()) queue_.push_back(item);
  }

  /// Until nobody is woken any more.
  void run(Instant now) {
    while (Serviced* item = queue_.pop_front()) item->service(now);
  }

 private:
  IntrusiveList<Serviced, ReadyTag> queue_;
};

}  // namespace millrace::proxy
