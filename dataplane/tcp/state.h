// The states of RFC 9293 3.3.2, which of them follow each other, and what a segment's flags mean in each.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/wire/tcp_header.h"

namespace millrace::tcp {

/// LISTEN and the passive SYN-RECEIVED are not states of a connection: listener.h and half_open.h.
enum class State : std::uint8_t {
  kClosed,
  kSynSent,
  kSynReceived,
  kEstablished,
  kFinWait1,
  kFinWait2,
  kCloseWait,
  kClosing,
  kLastAck,
  kTimeWait,
};
inline constexpr std::size_t kStates = 10;

[[nodiscard]] const char* to_text(State state);

/// What to do with a segment: RFC 9293 3.10.7.
enum class Disposition : std::uint8_t {
  kDrop,          ///< flags that mean nothing here
  kSynSent,       ///< 3.10.7.3
  kSynchronized,  ///< 3.10.7.4
};

namespace detail {

// SYN, FIN, RST, ACK as 4 bits; PSH, URG and ECN bits do not decide.
[[nodiscard]] constexpr std::size_t flag_index(std::uint8_t flags) {
  return (flags & 7u) | ((flags & wire::TcpFlags::kAck) != 0 ? 8u : 0u);
}

[[nodiscard]] constexpr auto make_dispositions() {
  using F = wire::TcpFlags;
  std::array<std::array<Disposition, 16>, kStates> table{};  // kDrop
  const auto allow = [&](State state, std::uint8_t flags, Disposition what) {
    table[static_cast<std::size_t>(state)][flag_index(flags)] = what;
  };
  for (const std::uint8_t flags : {F::kSyn, F::kAck, F::kRst, std::uint8_t{F::kSyn | F::kAck}, std::uint8_t{F::kRst | F::kAck},
                                   std::uint8_t{F::kFin | F::kAck}}) {
    allow(State::kSynSent, flags, Disposition::kSynSent);
  }
  for (const State state : {State::kSynReceived, State::kEstablished, State::kFinWait1, State::kFinWait2, State::kCloseWait,
                            State::kClosing, State::kLastAck, State::kTimeWait}) {
    for (const std::uint8_t flags : {F::kAck, F::kRst, F::kSyn, std::uint8_t{F::kFin | F::kAck}, std::uint8_t{F::kRst | F::kAck},
                                     std::uint8_t{F::kSyn | F::kAck}, std::uint8_t{F::kFin | F::kRst | F::kAck}}) {
      allow(state, flags, Disposition::kSynchronized);
    }
  }
  return table;
}

[[nodiscard]] constexpr auto make_transitions() {
  using enum State;
  std::array<std::array<bool, kStates>, kStates> table{};
  const auto allow = [&](State from, State to) { table[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)] = true; };
  allow(kClosed, kSynSent);
  allow(kClosed, kEstablished);  // handed over by a completed half-open entry
  allow(kSynSent, kSynReceived);
  allow(kSynSent, kEstablished);
  allow(kSynReceived, kEstablished);
  allow(kEstablished, kFinWait1);
  allow(kEstablished, kCloseWait);
  allow(kFinWait1, kFinWait2);
  allow(kFinWait1, kClosing);
  allow(kFinWait2, kTimeWait);
  allow(kClosing, kTimeWait);
  allow(kCloseWait, kLastAck);
  for (std::size_t from = 1; from < kStates; ++from) table[from][0] = true;  // RST, abort, timeout, or the end of LAST-ACK
  return table;
}

inline constexpr auto kDispositions = make_dispositions();
inline constexpr auto kTransitions = make_transitions();

}  // namespace detail

[[nodiscard]] constexpr Disposition disposition(State state, std::uint8_t flags) {
  return detail::kDispositions[static_cast<std::size_t>(state)][detail::flag_index(flags)];
}
[[nodiscard]] constexpr bool may_follow(State from, State to) {
  return detail::kTransitions[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)];
}

}  // namespace millrace::tcp
